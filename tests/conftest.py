"""Gives the panel's settings a root of their own before Django reads them; the environment is as it was after that."""

import os
import shutil
import tempfile
from pathlib import Path

import django
import hypothesis
import pytest

from hostel.wire.config import render_config
from hostel.wire.paths import Paths

pytest_plugins = ["platform_fixtures", "edge_fixtures", "certificate_fixtures"]

# The same examples in each run: a change passes or fails by what it changes. Others: `--hypothesis-profile=default`.
hypothesis.settings.register_profile("suite", derandomize=True)
hypothesis.settings.load_profile("suite")

PANEL_ROOT = Path(tempfile.mkdtemp(prefix="hostel-tests-"))


def _set_up_django() -> None:
    config_file = Paths(PANEL_ROOT).config_file
    config_file.parent.mkdir(parents=True)
    config_file.write_text(render_config(domain="hostel.localhost", http_port=8080, https_port=8443, environment={}))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOSTEL_ROOT", str(PANEL_ROOT))
        patch.setitem(os.environ, "DJANGO_SETTINGS_MODULE", "hostel.panel.settings")
        django.setup()


_set_up_django()


def pytest_unconfigure() -> None:
    shutil.rmtree(PANEL_ROOT, ignore_errors=True)
