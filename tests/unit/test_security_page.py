"""docs/security.md says of each attack what is true of the tests."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
GROUPS = {"A": 23, "B": 19, "C": 10, "D": 25, "K": 6, "F": 4, "G": 16, "H": 10, "I": 13}
# What may be neither given up nor left to trust: the catalogue's "must never regress".
NEVER_ACCEPTED = {
    *(f"A{number}" for number in range(1, 9)),
    *(f"B{number}" for number in range(1, 8)),
    *(f"C{number}" for number in range(1, 6)),
    *(f"D{number}" for number in (*range(1, 7), 11, 12, *range(16, 21))),
    *("K2", "K3", "F1", "F2", "G4", "G5", "G6", "G7", "H4", "H5", "H6", "I1"),
}
ACCEPTED_MOST = 12


def table() -> dict[str, str]:
    page = (ROOT / "docs/security.md").read_text()
    return dict(re.findall(r"^\| ([A-K]\d+) \| [^|]+ \| ([^|]+?) \|$", page, re.MULTILINE))


def test_each_attack_stands_there_once() -> None:
    assert list(table()) == [f"{group}{number + 1}" for group, count in GROUPS.items() for number in range(count)]


def test_what_is_called_tested_has_a_test_that_names_it() -> None:
    tests = [file.read_text() for file in (ROOT / "tests").rglob("test_*.py")]
    names = [name for text in tests for name in re.findall(r"def test_(\w+)", text)]
    found = {attack.upper() for name in names for attack in re.findall(r"(?:^|_)([a-k]\d+)(?=_)", name)}
    assert {attack for attack, word in table().items() if word.startswith("tested")} - found == set()


def test_little_is_accepted_and_nothing_that_must_hold() -> None:
    words = table()
    assert {word.partition(":")[0] for word in words.values()} <= {"tested", "later", "accepted"}
    accepted = {attack for attack, word in words.items() if word.startswith("accepted")}
    assert all(re.fullmatch(r"accepted: .{15,}", words[attack]) for attack in accepted)
    assert len(accepted) <= ACCEPTED_MOST
    assert not accepted & NEVER_ACCEPTED
