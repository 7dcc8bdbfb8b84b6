"""The places at which the fault schedules let a part die: off by default, and none of them forgotten."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from hostel.wire import failpoint
from hostel.wire.errors import ConfigError
from schedule_plan import LOGGER_PLACES, PLACES, RECOVERY_PLACES, SLEEP_PLACES, plan_schedule

SOURCE = Path(__file__).parents[2] / "src/hostel"
SCRIPT = """
from hostel.wire import failpoint
failpoint.arm()
for number in range(3):
    failpoint.reach("elsewhere")
    failpoint.reach("here")
    print(number, flush=True)
"""


def run(text: str | None) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if key != failpoint.VARIABLE}
    if text is not None:
        environment[failpoint.VARIABLE] = text
    return subprocess.run([sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True, check=False)


def test_nothing_happens_at_a_place_that_nobody_has_armed() -> None:
    assert run(None).stdout.split() == ["0", "1", "2"]


def test_a_process_dies_at_the_armed_place_after_the_passes() -> None:
    done = run("here:1:kill")
    assert done.returncode == -signal.SIGKILL
    assert done.stdout.split() == ["0"]


def test_a_process_stands_still_once_and_goes_on() -> None:
    pid = os.posix_spawn(
        sys.executable,
        [sys.executable, "-c", SCRIPT],
        {**os.environ, failpoint.VARIABLE: "here:0:stop"},
        file_actions=[(os.POSIX_SPAWN_OPEN, 1, "/dev/null", os.O_WRONLY, 0)],
    )
    _, status = os.waitpid(pid, os.WUNTRACED)
    assert os.WIFSTOPPED(status)
    os.kill(pid, signal.SIGCONT)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, os.WUNTRACED)[1]) == 0


@pytest.mark.parametrize("text", ["here", "here:kill", ":0:kill", "here:-1:kill", "here:0:explode", "here:0:kill:"])
def test_what_cannot_be_read_stops_the_start(text: str) -> None:
    with pytest.raises(ConfigError, match=failpoint.VARIABLE):
        failpoint.parse_failpoint(text)


def test_the_schedules_aim_at_every_place_in_the_source() -> None:
    found = [
        re.findall(r'failpoint\.reach\("(.+?)"\)', file.read_text())
        for file in SOURCE.rglob("*.py")
        if file.name != "failpoint.py"
    ]
    in_source = sorted(name for names in found for name in names)
    assert in_source == sorted((*PLACES, *RECOVERY_PLACES, *LOGGER_PLACES, *SLEEP_PLACES))


def test_the_same_seed_is_the_same_schedule_and_twenty_aim_at_every_place_of_the_agent() -> None:
    schedules = [plan_schedule(seed) for seed in range(2_000)]
    assert schedules == [plan_schedule(seed) for seed in range(2_000)]
    stages = [stage for schedule in schedules[:20] for stage in schedule.stages]
    assert {stage.fault.place for stage in stages if stage.fault} == set(PLACES)
