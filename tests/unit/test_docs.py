"""The README states no figure that the file named beside it does not hold."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
ROW = re.compile(
    r"^\| (?P<question>.+) \| (?P<answer>.+) \| \[(?P<name>[\w.]+)\]\((?P<file>bench/results/[\w.]+)\) \|$"
)
NUMBER = re.compile(r"(?<![\w.])\d[\d,]*(?:\.\d+)?(?![\w.]\d)")


def rows() -> Iterator[tuple[str, str, Path]]:
    section = (ROOT / "README.md").read_text().split("## What was measured", 1)[1].split("\n## ", 1)[0]
    for line in section.splitlines():
        if match := ROW.match(line):
            yield match["question"], match["answer"], ROOT / match["file"]


def numbers_in(value: Any) -> Iterator[float]:
    """Every number of a result, also those in its texts and the length of its lists."""
    if isinstance(value, bool | None):
        return
    if isinstance(value, int | float):
        yield float(value)
    elif isinstance(value, str):
        yield from (float(number.replace(",", "")) for number in NUMBER.findall(value))
    elif isinstance(value, list):
        yield float(len(value))
        for each in value:
            yield from numbers_in(each)
    else:
        for key, each in value.items():
            yield from numbers_in(key)
            yield from numbers_in(each)


def is_held(shown: str, held: set[float]) -> bool:
    """Whether a number as it is shown is one of those held, rounded as far as it is."""
    text = shown.replace(",", "")
    digits = len(text.partition(".")[2])
    half = 0.5 * 10**-digits + 1e-9
    return any(abs(float(text) - number) <= half for number in held)


def test_there_are_rows_to_compare() -> None:
    assert len(list(rows())) >= 9


@pytest.mark.parametrize(("question", "answer", "file"), list(rows()), ids=lambda value: str(value)[:40])
def test_the_readme_states_only_what_a_result_holds(question: str, answer: str, file: Path) -> None:
    held = set(numbers_in(json.loads(file.read_text())))
    missing = [number for number in NUMBER.findall(answer) if not is_held(number, held)]
    assert not missing, f"{question}: {file.name} holds no {missing}"


def test_control_a_figure_that_nothing_holds_is_found() -> None:
    held = set(numbers_in({"ratio": 0.658, "times": [1, 2], "text": "took 1,001 ms"}))
    assert is_held("0.66", held)
    assert is_held("1,001", held)
    assert not is_held("0.65", held)
    assert not is_held("67", held)
