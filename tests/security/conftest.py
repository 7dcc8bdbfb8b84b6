"""Each test carries the id of an attack or a fault: `test_d3_...` is D3 of docs/security.md."""

from collections.abc import Iterator

import pytest

from live import Platform, User


@pytest.fixture(scope="session", autouse=True)
def _no_leftovers(no_leftovers: None) -> None:
    """Asks for what `platform_fixtures` offers."""


@pytest.fixture(scope="session")
def spare(no_leftovers: None) -> Iterator[Platform]:
    """A platform to be killed, meddled with and called without end. It has the default limit of logins."""
    spare = Platform(settings="[limits]\nstart_deadline_s = 12.0\n[panel]\nrequests_per_minute = 1000000")
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
