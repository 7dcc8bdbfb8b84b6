import os
from pathlib import Path

import pytest

from hostel.supervisor.__main__ import hostel_parts
from hostel.supervisor.daemon import describe_end, next_back_off_s
from hostel.supervisor.part import Part, StopStep, find_part, names_root
from hostel.wire.paths import Paths


def test_back_off_doubles_from_a_fifth_of_a_second_to_ten_and_is_none_after_a_minute_of_life():
    waits = [0.0]
    for _ in range(8):
        waits.append(next_back_off_s(waits[-1], lived_s=1.0))
    assert waits[1:] == [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0, 10.0]
    assert next_back_off_s(10.0, lived_s=60.0) == 0.0


@pytest.mark.parametrize(
    ("command_line", "root", "is_named"),
    [
        (b"python\0-m\0hostel.agent\0--root\0/srv/a\0", "/srv/a", True),
        (b"python\0-m\0hostel.agent\0--root\0/srv/ab\0", "/srv/a", False),
        (b"nginx: master process /usr/sbin/nginx -c /srv/a/run/hostel/edge/nginx.conf", "/srv/a", True),
        (b"nginx: master process /usr/sbin/nginx -c /srv/a/run/hostel/edge/nginx.conf", "/srv", True),
        (b"nginx: master process /usr/sbin/nginx -c /etc/nginx/nginx.conf", "/srv/a", False),
        (b"python\0-m\0hostel.agent\0--root\0/\0", "/", True),
        (b"bash\0", "/", False),
        (b"", "/", False),
    ],
)
def test_a_command_line_names_a_root_by_whole_path_components(command_line: bytes, root: str, is_named: bool):
    assert names_root(command_line, Path(root)) == is_named


@pytest.mark.parametrize(
    "record", ["", "{", "[]", '{"pid": 1}', '{"pid": 1, "start_ticks": 1, "boot_id": "", "argv": []}']
)
def test_a_record_that_is_damaged_or_of_another_boot_finds_nothing(tmp_path: Path, record: str):
    (tmp_path / "agent.json").write_text(record)
    part = Part(name="agent", argv=("/no/such/program", str(os.getpid())), stop=())
    assert find_part(part, tmp_path / "agent.json", Path("/")) is None


def test_edge_is_stopped_first_and_the_logger_last(tmp_path: Path):
    parts = hostel_parts(Paths(tmp_path))
    assert [part.name for part in parts] == ["edge", "agent", "logger"]
    assert all(part.argv[-2:] == ("--root", str(tmp_path)) for part in parts)
    assert all(isinstance(step, StopStep) for part in parts for step in part.stop)


def test_the_end_of_a_part_is_told_in_words():
    assert [describe_end(status) for status in (0, 1, -9, -40, None)] == [
        "ended with exit status 0",
        "ended with exit status 1",
        "was ended by SIGKILL",
        "was ended by signal 40",
        "ended",
    ]
