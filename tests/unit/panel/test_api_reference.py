"""docs/reference/api.md names every call, key, bound and code there is."""

import re
from pathlib import Path

import pytest
from drf_spectacular.generators import SchemaGenerator

from hostel.panel.accounts.models import User
from hostel.panel.api.description import DESCRIPTION
from hostel.panel.api.shapes_webapp import WebappChange
from hostel.panel.websites.models import LIMITS, RESTS, SETTINGS, Website
from hostel.wire.errors import Reason
from hostel.wire.website import Phase, State

REFERENCE = (Path(__file__).parents[3] / "docs/reference/api.md").read_text()


def row_of(name: str) -> list[str]:
    """The cells of the table row that begins with `name`."""
    found = re.search(rf"^\| `{name}` \|(.*)\|$", REFERENCE, re.MULTILINE)
    assert found, f"no row for {name}"
    return [cell.strip() for cell in found[1].split(" | ")]


def test_every_call_is_there():
    for path, verbs in SchemaGenerator().get_schema(public=True)["paths"].items():
        call = (
            path.removeprefix("/api/v1/user/{username}/")
            .replace("{domain_name}", "<domain>")
            .replace("{name}", "<name>")
            .replace("{mapping_id}", "<id>")
            .replace("{kind}", "<kind>")
            .replace("{token_id}", "<id>")
        )
        for verb in verbs:
            if not call.startswith("/"):
                assert f"`{verb.upper()} {call}`" in REFERENCE


@pytest.mark.parametrize("name", SETTINGS)
def test_every_setting_is_there_with_its_bounds_and_default(name):
    accepted, default, _ = row_of(name)
    field = WebappChange().fields[name]
    if SETTINGS[name] in (int, float):
        assert accepted.split(",")[0] == f"{field.min_value:.9g} to {field.max_value:.9g}"
    value = Website(owner=User()).in_force[name]
    words = str(value).lower() if isinstance(value, bool | str) else f"{value:g}"
    assert (words or "empty") in default.replace("`", "").split(" ")


@pytest.mark.parametrize("name", LIMITS)
def test_every_limit_is_there_with_its_bounds_and_default(name):
    accepted, default, _ = row_of(name)
    field = WebappChange().fields[name]
    assert accepted.startswith(f"{field.min_value:.9g} to {field.max_value:.9g},")
    assert default.endswith(f"{Website(owner=User()).in_force[name]:g}")


@pytest.mark.parametrize("name", RESTS)
def test_every_setting_of_sleep_is_there_with_the_plans_default(name):
    accepted, default, _ = row_of(name)
    assert default.endswith(str(Website(owner=User()).in_force[name]))
    assert "`null`" in accepted


@pytest.mark.parametrize("word", [*Reason, *State, *Phase])
def test_every_reason_state_and_phase_is_there(word):
    assert f"`{word}`" in REFERENCE


def test_every_code_of_the_description_is_there():
    codes = re.findall(r"`(\w+)`", DESCRIPTION.partition("| status |")[2])
    assert len(codes) > 25
    assert [code for code in codes if f"`{code}`" not in REFERENCE] == []
