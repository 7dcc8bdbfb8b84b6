"""Integration tests start platforms of their own too: what killed tests left goes first."""

import pytest


@pytest.fixture(scope="session", autouse=True)
def _no_leftovers(no_leftovers: None) -> None:
    """Asks for what `platform_fixtures` offers."""
