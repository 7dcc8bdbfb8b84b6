"""Runs schemathesis over the published description of a panel's API, as one user who must not meet another."""

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from live import Platform, User

SCHEMATHESIS = Path(sys.executable).with_name("st")
CHECKS = (
    "not_a_server_error",
    "content_type_conformance",
    "response_schema_conformance",
    "status_code_conformance",
    "ignored_auth",
    "use_after_free",
    "no_row_of_the_other",
    "errors_carry_their_code",
)
PHASES = ("examples", "coverage", "fuzzing", "stateful")
DEADLINE_S = 1800


@dataclass(frozen=True, slots=True, kw_only=True)
class Fuzz:
    """Who fuzzes, whom it must not meet, and the word that stands in the other's rows alone."""

    me: User
    other: User
    mark: str
    examples: int  # an operation, in the phase "fuzzing"; and scenarios, in the phase "stateful"
    phases: tuple[str, ...] = PHASES
    checks: tuple[str, ...] = CHECKS
    only: tuple[str, ...] = ()  # operations, as in "GET /api/..."; () means all

    def arguments(self, url: str, report: Path) -> list[str]:
        return [
            *(str(SCHEMATHESIS), "--no-color", "run", f"{url}api/schema/", "--url", url),
            *("--report", "json", "--report-json-path", str(report)),
            *("--phases", ",".join(self.phases), "--checks", ",".join(self.checks)),
            *("--max-examples", str(self.examples), "--continue-on-failure", "--no-shrink"),
            *("--generation-database", "none", "--suppress-health-check", "all", "--warnings", "off"),
            *(word for name in self.only for word in ("--include-name", name)),
            *("--header", f"Authorization: Token {self.me.token}"),
        ]


def run_fuzz(
    platform: Platform, fuzz: Fuzz, directory: Path, *, url: str = "", more: tuple[str, ...] = ()
) -> dict[str, Any]:
    """The report of one run against the platform's panel, or the one at `url`; with `exit` and `output` beside it."""
    report = directory / "report.json"
    argv = [*fuzz.arguments(url or platform.panel_url, report), "--tls-verify", str(platform.ca_file), *more]
    told = {"me": fuzz.me.name, "other": fuzz.other.name, "mark": fuzz.mark, "domain": platform.domain}
    counts = directory / "counts.json"
    environment = {
        **os.environ,
        "SCHEMATHESIS_HOOKS": "api_fuzz_hooks",
        "PYTHONPATH": str(Path(__file__).parent),
        "HOSTEL_FUZZ": json.dumps({**told, "counts": str(counts)}),
    }
    done = subprocess.run(
        argv, cwd=directory, env=environment, capture_output=True, text=True, timeout=DEADLINE_S, check=False
    )
    found = json.loads(report.read_text()) if report.exists() else {}
    scenarios = re.search(r"Scenarios:\s+(\d+)", done.stdout)
    return {
        **found,
        "calls": json.loads(counts.read_text()),
        "scenarios": int(scenarios[1]) if scenarios else 0,
        "exit": done.returncode,
        "output": done.stdout + done.stderr,
    }
