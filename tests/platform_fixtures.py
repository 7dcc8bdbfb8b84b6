"""One platform for all tests that do not kill it, and users on it. A test that asks for none starts none."""

from collections.abc import Iterator

import pytest

from live import Platform, User, running, sweep_leftovers


@pytest.fixture(scope="session")
def no_leftovers() -> None:
    sweep_leftovers()


@pytest.fixture(scope="session")
def platform(no_leftovers: None) -> Iterator[Platform]:
    with running("[limits]\nstart_deadline_s = 12.0\n[panel]\nlogins_per_minute = 1000") as platform:
        yield platform


@pytest.fixture(scope="session")
def alice(platform: Platform) -> User:
    return platform.add_user_with_server("alice")


@pytest.fixture(scope="session")
def bob(platform: Platform) -> User:
    return platform.add_user_with_server("bob")
