"""Who may import whom: every part speaks to the others by messages alone."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src/hostel"
PARTS = ("agent", "cli", "edge", "logger", "panel", "supervisor", "wire")
# The agent publishes what it decides: the edge's publisher is the one part it is given.
ALLOWED = {("agent", "hostel.edge.publish")}
STANDARD_LIBRARY_ONLY = ("wire", "logger")
# Names beyond ASCII have one spelling by IDNA 2008, whose tables Python lacks; and who may set a cookie for whom stands
# in the Public Suffix List. Both are asked where names are decided.
BESIDE = {("names.py", "idna"), ("suffixes.py", "publicsuffixlist")}


def imports(part: str) -> Iterator[tuple[Path, str]]:
    for file in (SOURCE / part).rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                yield from ((file, alias.name) for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                yield file, node.module


@pytest.mark.parametrize("part", PARTS)
def test_a_part_imports_the_wire_and_itself(part: str) -> None:
    for file, name in imports(part):
        if name.split(".")[0] == "hostel" and name != "hostel":
            other = name.split(".")[1]
            assert other in (part, "wire") or (part, name) in ALLOWED, f"{file}: {name}"


@pytest.mark.parametrize("part", STANDARD_LIBRARY_ONLY)
def test_wire_and_logger_need_the_standard_library_and_two_tables_only(part: str) -> None:
    for file, name in imports(part):
        top = name.split(".")[0]
        assert top == "hostel" or top in sys.stdlib_module_names or (file.name, top) in BESIDE, f"{file}: {name}"
