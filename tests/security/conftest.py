"""Each test carries the id of an attack or a fault: `test_d3_...` is D3 of docs/security.md."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from live import Platform, User
from stepped_clock import SteppedClock


@pytest.fixture(scope="session", autouse=True)
def _no_leftovers(no_leftovers: None) -> None:
    """Asks for what `platform_fixtures` offers."""


class Spare(Platform):
    """Its supervisor, agent and logger live by a clock that can be stepped."""

    def __init__(self, clock: SteppedClock) -> None:
        super().__init__(settings="[limits]\nstart_deadline_s = 12.0\n[panel]\nrequests_per_minute = 1000000")
        self._clock = clock

    def _environment(self) -> dict[str, str]:
        return super()._environment() | self._clock.environment


@pytest.fixture(scope="session")
def spare_clock() -> Iterator[SteppedClock]:
    directory = Path(tempfile.mkdtemp(prefix="stepped-clock-", dir="/tmp"))  # pytest's own are closed to others
    directory.chmod(0o755)
    yield SteppedClock(directory)
    shutil.rmtree(directory)


@pytest.fixture(scope="session")
def spare(no_leftovers: None, spare_clock: SteppedClock) -> Iterator[Platform]:
    """A platform to be killed, meddled with and called without end. It has the default limit of logins."""
    spare = Spare(spare_clock)
    try:
        spare.up()
        yield spare
    finally:
        spare.remove()


@pytest.fixture(scope="session")
def mona(spare: Platform) -> User:
    return spare.add_user_with_server("mona")


@pytest.fixture(scope="session")
def otto(spare: Platform) -> User:
    return spare.add_user_with_server("otto")
