"""The API as schemathesis finds it, over its published description, on a real platform with two users.

Everything is real: edge, panel, agent, sandboxes. What the fuzzing creates would start thousands of sandboxes, so most
of its commands end at once, only three domains of its own exist, and each of its calls is followed by the next one.

`make test` makes few examples an operation, `make soak` 200 and all phases, and keeps its result in
bench/results/fuzz.json.
"""

import contextlib
import os
import secrets
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from api_fuzz import Fuzz, run_fuzz
from benchmark import write_result
from live import Platform, User, free_port
from machine import describe

TESTS = Path(__file__).parents[1]
EXAMPLES = 200
ONE = "GET /api/v1/user/{username}/websites/{domain_name}/"


@pytest.fixture(scope="module")
def fuzz(spare: Platform, mona: User, otto: User) -> Fuzz:
    return Fuzz(me=mona, other=otto, mark=mark_rows(spare, otto), examples=8, phases=("fuzzing", "stateful"))


def mark_rows(platform: Platform, user: User) -> str:
    """Leave the user two websites, switched off, and a file, which hold the word that is returned."""
    mark = f"mark{secrets.token_hex(8)}"
    with platform.api(user) as api:
        for row in api.get("websites/").json():
            assert api.delete(f"websites/{row['domain_name']}/").status_code == 204
        for label in (user.name, f"kept-{user.name}"):
            domain = f"{label}.{platform.domain}"
            body = {"domain_name": domain, "enabled": False, "webapp": {"command": f": {mark}"}}
            assert api.post("websites/", json=body).status_code == 201
            variable = {"name": "MARK", "value": mark, "is_secret": False}
            assert api.post(f"websites/{domain}/environment/", json=variable).status_code == 201
    platform.shell(user.name, f"echo {mark} > kept.txt; ln -sfn /home link; mkdir -p a")
    return mark


def rows_of(platform: Platform, user: User) -> list[dict[str, Any]]:
    with platform.api(user) as api:
        rows = list(api.get("websites/").json())
    return [*rows, {"files": platform.shell(user.name, "cat kept.txt; ls")}]


def assert_nothing_found(platform: Platform, fuzz: Fuzz, directory: Path) -> dict[str, Any]:
    before = rows_of(platform, fuzz.other)
    found = run_fuzz(platform, fuzz, directory)
    assert found["exit"] == 0, found["output"][-8000:]
    assert (found["complete"], found["failures"], found["errors"]) == (True, [], [])
    if "fuzzing" in fuzz.phases:
        assert found["operations"]["tested"] == (len(fuzz.only) or found["operations"]["total"])
    assert rows_of(platform, fuzz.other) == before, "neither shown nor changed"
    assert len(before) == 3
    return found


def calls_of(calls: Mapping[str, int], phase: str) -> dict[str, int]:
    """How many calls each operation got in a phase."""
    return {name.removesuffix(f" {phase}"): count for name, count in calls.items() if name.endswith(phase)}


def test_g4_g14_fuzzing_finds_no_server_error_and_no_row_of_the_other(
    spare: Platform, fuzz: Fuzz, tmp_path: Path
) -> None:
    found = assert_nothing_found(spare, fuzz, tmp_path)
    assert len(calls_of(found["calls"], "fuzzing")) == found["operations"]["total"]
    assert found["scenarios"] > 3


@contextlib.contextmanager
def careless_panel(platform: Platform) -> Iterator[str]:
    """The address of a panel over the same database, with a fault."""
    port = free_port()
    argv = [sys.executable, "-P", str(TESTS / "careless_panel.py"), str(port)]
    environment = {**os.environ, "HOSTEL_ROOT": str(platform.root)}
    with (platform.root / "careless.log").open("wb") as log:
        process = subprocess.Popen(argv, env=environment, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 20
        while not _answers(port):
            assert process.poll() is None, (platform.root / "careless.log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}/"
    finally:
        process.terminate()
        process.wait(20)


def _answers(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/login/").status_code < 500
    except httpx.HTTPError:
        return False


def test_g4_fuzzing_finds_a_view_that_shows_anybodys_rows(spare: Platform, fuzz: Fuzz, tmp_path: Path) -> None:
    """Positive control, by the same checks: the look-up of the website is not the owner's."""
    edge = ("--header", f"Host: www.{spare.domain}", "--header", "X-Forwarded-Proto: https")
    with careless_panel(spare) as url:
        found = run_fuzz(
            spare, replace(fuzz, phases=("fuzzing",), only=(ONE,), examples=150), tmp_path, url=url, more=edge
        )
    assert found["exit"] == 1, found["output"][-4000:]
    assert "a row of otto is shown to mona" in found["output"]


@pytest.mark.soak
def test_g4_g14_fuzzing_at_length(spare: Platform, mona: User, otto: User, tmp_path: Path) -> None:
    """200 examples an operation and 200 scenarios, as each of the two users."""
    runs, machine = {}, describe()
    for me, other in ((mona, otto), (otto, mona)):
        long = Fuzz(me=me, other=other, mark=mark_rows(spare, other), examples=EXAMPLES)
        found = assert_nothing_found(spare, long, tmp_path)
        calls, scenarios = Counter(found["calls"]), found["scenarios"]
        while few := [name for name, count in calls_of(calls, "fuzzing").items() if count < EXAMPLES]:
            again = replace(long, phases=("fuzzing",), only=tuple(few))  # the library may stop short of the number
            calls += Counter(assert_nothing_found(spare, again, tmp_path)["calls"])
        while scenarios < EXAMPLES:  # one run of that phase ends when a scenario meets rows that an earlier one left
            more = assert_nothing_found(spare, replace(long, phases=("stateful",)), tmp_path)
            calls += Counter(more["calls"])
            scenarios += more["scenarios"]
        runs[me.name] = {
            **{key: found[key] for key in ("seed", "failures", "errors")},
            "calls": dict(calls),
            "scenarios": scenarios,
        }
        about = {"machine": machine, "schemathesis": found["schemathesis_version"], "examples_an_operation": EXAMPLES}
        write_result("fuzz", {**about, "runs": runs})
