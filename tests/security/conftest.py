"""Each test carries the id of an attack or a fault: `test_d3_...` is D3 of docs/security.md."""

import pytest


@pytest.fixture(scope="session", autouse=True)
def _no_leftovers(no_leftovers: None) -> None:
    """Asks for what `platform_fixtures` offers."""
