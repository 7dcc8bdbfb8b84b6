"""`make demo`: the parts of it that decide something."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parents[3] / "scripts/demo.py"


@pytest.fixture(scope="module")
def demo() -> ModuleType:
    spec = importlib.util.spec_from_file_location("demo", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["demo"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def test_pips_settings_go_into_sandboxes_but_paths_do_not(demo: ModuleType) -> None:
    listed = """\
:env:.cert='/etc/ssl/bundle.pem'
:env:.default-timeout='180'
:env:.find-links='/opt/wheels'
global.extra-index-url='file:///opt/simple https://mirror.example/simple'
global.index-url='https://old.example/simple'
install.index-url='https://new.example/simple'
install.trusted-host='a.example\\nb.example'
global.no-such-thing='1'
"""
    assert demo.parse_pip_settings(listed) == {
        "PIP_EXTRA_INDEX_URL": "https://mirror.example/simple",
        "PIP_INDEX_URL": "https://new.example/simple",
        "PIP_TRUSTED_HOST": "a.example b.example",
        "PIP_DEFAULT_TIMEOUT": "180",
    }


def test_the_recipe_is_the_documents_own(demo: ModuleType) -> None:
    home = "/home/xanthippe"
    server = f"{home}/.virtualenvs/async_django_venv/bin/uvicorn --app-dir {home}/asyncdjango"
    expected = f"{server} --uds $DOMAIN_SOCKET asyncdjango.asgi:application "
    assert expected == demo.COMMAND
    compile(demo.URLS, "urls.py", "exec")
