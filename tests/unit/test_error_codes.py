"""The edge's codes are documented, each with its status, and no others are."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = ROOT / "src/hostel/edge/lua/pages.lua"
REFERENCE = ROOT / "docs/reference/errors.md"


def built() -> set[tuple[str, str]]:
    return set(re.findall(r"^    (\w+) = \{ status = (\d+),", PAGES.read_text(), re.MULTILINE))


def documented() -> set[tuple[str, str]]:
    rows = [line.split("|")[1:3] for line in REFERENCE.read_text().splitlines() if line.startswith("| ")]
    found = [(re.findall(r"`(\w+)`", codes), re.findall(r"\d{3}", statuses)) for statuses, codes in rows]
    return {pair for codes, statuses in found if codes for pair in zip(codes, statuses, strict=True)}


def test_the_reference_has_every_code_of_the_edge_and_no_other() -> None:
    assert len(built()) > 20
    assert documented() == built()
