"""Which known holes a version of runc has, by its version number and its distribution's changelog."""

import gzip
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

DEBIAN_CHANGELOG = Path("/usr/share/doc/runc/changelog.Debian.gz")
FIXED_RELEASES = "1.3.6, 1.4.3 or later"

Release = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Advisory:
    """`fixed` maps a branch to its first fixed patch release; later branches than those named are fixed."""

    cve: str
    fixed: Mapping[tuple[int, int], int]

    def affects(self, release: Release) -> bool:
        branch, patch = release[:2], release[2]
        return patch < self.fixed[branch] if branch in self.fixed else branch < max(self.fixed)


ADVISORIES = (
    Advisory("CVE-2024-21626", {(1, 1): 12}),
    Advisory("CVE-2024-45310", {(1, 1): 14, (1, 2): 0}),
    Advisory("CVE-2025-31133", {(1, 2): 8, (1, 3): 3, (1, 4): 0}),
    Advisory("CVE-2025-52565", {(1, 2): 8, (1, 3): 3, (1, 4): 0}),
    Advisory("CVE-2025-52881", {(1, 2): 8, (1, 3): 3, (1, 4): 0}),
    Advisory("CVE-2026-41579", {(1, 3): 6, (1, 4): 3}),
)


def parse_release(version_text: str) -> Release | None:
    """The release in what `runc --version` prints, `1.1.5+ds1` and the like included."""
    match = re.search(r"^runc version (\d+)\.(\d+)\.(\d+)", version_text, re.MULTILINE)
    return (int(match[1]), int(match[2]), int(match[3])) if match else None


def open_advisories(release: Release, changelog: str) -> list[str]:
    """CVE ids that `release` is open to. A distribution that names one in its changelog has patched it."""
    return [advisory.cve for advisory in ADVISORIES if advisory.affects(release) and advisory.cve not in changelog]


def read_changelog() -> str:
    """The changelog of Debian's runc, "" where there is none (a machine without documentation)."""
    try:
        return gzip.decompress(DEBIAN_CHANGELOG.read_bytes()).decode(errors="replace")
    except (OSError, EOFError):
        return ""
