"""Ports of runs: each for one run, in turn, and none that a run still has."""

import json
from pathlib import Path

from hostel.agent.ports import COUNT, FIRST, Ports
from hostel.wire.website import RunId


def make_run(runs: Path, name: str, port: int) -> RunId:
    (runs / name).mkdir(parents=True)
    (runs / name / "run.json").write_text(json.dumps({"run": name, "port": port}))
    return RunId(name)


def test_ports_are_given_in_turn_also_by_a_successor(tmp_path: Path) -> None:
    ports = Ports(tmp_path / "runs", tmp_path / "last")
    assert [ports.take(RunId(name)) for name in "abc"] == [FIRST, FIRST + 1, FIRST + 2]
    assert Ports(tmp_path / "runs", tmp_path / "last").take(RunId("d")) == FIRST + 3
    (tmp_path / "last").write_text("torn")
    assert Ports(tmp_path / "runs", tmp_path / "last").take(RunId("e")) == FIRST


def test_a_port_that_a_run_still_has_is_left_out_and_all_come_before_one_comes_again(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    make_run(runs, "old", FIRST + 1)
    make_run(runs, "socket", 0)
    (runs / "torn").mkdir()
    (runs / "torn" / "run.json").write_text("{")
    ports = Ports(runs, tmp_path / "last")
    (tmp_path / "last").write_text(str(FIRST + COUNT - 2))
    ports = Ports(runs, tmp_path / "last")
    assert [ports.take(RunId(name)) for name in "abc"] == [FIRST + COUNT - 1, FIRST, FIRST + 2]
