"""Each framework's example as the wizard makes it: built, found to be good by the doctor, and live.

Minutes of installing: `make soak` runs it. The browser's recipe does the same with Django in each run of the tests.
"""

import time

import pytest

from hostel.panel.websites.frameworks import FRAMEWORKS
from hostel.wire.codec import to_jsonable
from hostel.wire.workshop import BuildOrder, Project
from live import Platform, User

pytestmark = pytest.mark.soak

BUILT_S = 600.0
EXAMPLES = [framework for framework in FRAMEWORKS.values() if framework.has_example]


@pytest.fixture(scope="module")
def exa(platform: Platform) -> User:
    return platform.add_user("exa")


@pytest.mark.parametrize("framework", EXAMPLES, ids=[framework.key for framework in EXAMPLES])
def test_an_example_serves(platform: Platform, exa: User, framework) -> None:  # type: ignore[no-untyped-def]
    home, name = "/home/exa", framework.key
    virtualenv, directory = f"{home}/.virtualenvs/{name}", f"{home}/{name}"
    order = BuildOrder(
        virtualenv=virtualenv, packages=framework.packages, directory=directory, files=framework.example()
    )
    begun = platform.ask_agent("PUT", f"/tenants/exa/build?path={home}", to_jsonable(order))
    assert begun.status_code == 200, begun.text
    wait_for_build(platform, home)
    application = framework.find_application(Project())
    line = framework.command_of(virtualenv=virtualenv, application=application)
    webapp = {"command": line, "working_directory": directory, "listens_on": framework.listens_on.value}
    with platform.api(exa) as api:
        checked = api.post("websites/check/", json=webapp).json()
        assert checked["is_good"], checked
        assert checked["mended"] == "", checked
        project = platform.ask_agent("GET", f"/tenants/exa/project?path={directory}").json()
        assert project["applications"] or project["scripts"], "the wizard finds the application of the example"
    created = platform.create(exa, "exa", line, **{key: webapp[key] for key in ("working_directory", "listens_on")})
    try:
        assert created.json()["webapp"]["state"] == "running", created.text
        answer = platform.get("exa")
        assert answer.status_code == 200
        assert framework.key == "streamlit" or "Hello" in answer.text
    finally:
        platform.delete(exa, "exa")
        platform.shell(exa.name, f"rm -rf {virtualenv} {directory}")


def wait_for_build(platform: Platform, home: str) -> None:
    until = time.monotonic() + BUILT_S
    while (told := platform.ask_agent("GET", f"/tenants/exa/build?path={home}").json())["state"] == "running":
        assert time.monotonic() < until, told
        time.sleep(1)
    assert told["state"] == "done", told
