"""The real clients, unmodified: the `pa` command, pythonanywhere-core and the founding document's script."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from live import Platform, User, answering

CLIENTS = Path(__file__).parents[2] / ".venv-clients/bin"

SEED_SCRIPT = """
import os, requests
api_token, username = os.environ["API_TOKEN"], os.environ["PYTHONANYWHERE_USERNAME"]
domain_name = f"{username}.{os.environ['PYTHONANYWHERE_DOMAIN']}"
api_base = f"https://{os.environ['PYTHONANYWHERE_SITE']}/api/v1/user/{username}/"
headers = {"Authorization": f"Token {api_token}"}
response = requests.post(
    f"{api_base}websites/",
    headers=headers,
    json={"domain_name": domain_name, "enabled": True, "webapp": {"command": os.environ["COMMAND"]}},
)
print(response.status_code, response.json()["domain_name"])
for enabled in (False, True):
    answer = requests.patch(f"{api_base}websites/{domain_name}/", headers=headers, json={"enabled": enabled})
    print(answer.json()["enabled"])
print(requests.delete(f"{api_base}websites/{domain_name}/", headers=headers).status_code)
"""

CORE_SCRIPT = """
import os
from pythonanywhere_core.website import Website
website, domain = Website(), os.environ["DOMAIN"]
website.create(domain_name=domain, command=os.environ["COMMAND"])
assert website.get(domain_name=domain)["enabled"] is True
assert [each["domain_name"] for each in website.list()] == [domain]
assert website.reload(domain_name=domain) == {"status": "OK"}
website.delete(domain_name=domain)
assert website.list() == []
"""


@pytest.fixture(scope="module")
def carol(platform: Platform) -> User:

    return platform.add_user_with_server("carol")


@pytest.fixture
def environment(platform: Platform, carol: User) -> Iterator[dict[str, str]]:
    """What the issue says a user sets, and nothing of the host's."""
    yield {
        "PATH": f"{CLIENTS}:{os.environ['PATH']}",
        "HOME": "/nonexistent",
        "PYTHONANYWHERE_SITE": f"www.{platform.domain}:{platform.https_port}",
        "PYTHONANYWHERE_DOMAIN": platform.domain,
        "PYTHONANYWHERE_USERNAME": carol.name,
        "API_TOKEN": carol.token,
        "REQUESTS_CA_BUNDLE": str(platform.ca_file),
        "COMMAND": answering(),
        "DOMAIN": f"carol.{platform.domain}",
        "COLUMNS": "200",
    }
    with platform.api(carol) as api:
        api.delete(f"websites/carol.{platform.domain}/")


def run(environment: dict[str, str], *argv: str, check: bool = True) -> str:
    done = subprocess.run(argv, env=environment, text=True, capture_output=True, timeout=120, check=False)
    assert done.returncode == 0 or not check, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_pa_creates_shows_reloads_and_deletes(platform: Platform, environment: dict[str, str]) -> None:
    domain = environment["DOMAIN"]
    created = run(environment, "pa", "website", "create", "-d", domain, "-c", environment["COMMAND"])
    assert "live" in created
    assert platform.get("carol").status_code == 200
    assert domain in run(environment, "pa", "website", "get")
    shown = run(environment, "pa", "website", "get", "-d", domain)
    assert environment["COMMAND"] in shown
    assert f"/var/log/{domain}.error.log" in shown
    assert "reloaded" in run(environment, "pa", "website", "reload", "-d", domain)
    assert "deleted" in run(environment, "pa", "website", "delete", "-d", domain)
    assert platform.get("carol").status_code == 404


def test_pa_says_so_when_the_website_exists(environment: dict[str, str]) -> None:
    arguments = ("pa", "website", "create", "-d", environment["DOMAIN"], "-c", environment["COMMAND"])
    run(environment, *arguments)
    assert "You already have a website for" in run(environment, *arguments, check=False)


def test_the_core_library_works(environment: dict[str, str]) -> None:
    run(environment, str(CLIENTS / "python"), "-c", CORE_SCRIPT)


def test_the_founding_script_works(environment: dict[str, str]) -> None:
    shown = run(environment, str(CLIENTS / "python"), "-c", SEED_SCRIPT)
    assert shown.split("\n")[:4] == [f"201 {environment['DOMAIN']}", "False", "True", "204"]


def test_pa_works_inside_a_sandbox_with_nothing_set(platform: Platform, carol: User) -> None:
    """The platform's names, its certificate, the token and the user name are all there in a console."""
    platform.create(carol, "carol", answering())
    platform.shell("carol", "python3 -m venv pa && pa/bin/pip install --quiet pythonanywhere==0.19.3")
    shown = platform.shell("carol", "COLUMNS=200 pa/bin/pa website get")
    assert f"carol.{platform.domain}" in shown
    platform.delete(carol, "carol")
