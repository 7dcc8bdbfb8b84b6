"""The recipe that the project was founded on, literally, as user xanthippe: from mkvirtualenv to DELETE."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

import httpx
import pytest

from live import Platform, User

MESSAGE = {"message": "Hello from async Django!"}
VENV = "/home/xanthippe/.virtualenvs/async_django_venv"
COMMAND = f"{VENV}/bin/uvicorn --app-dir /home/xanthippe/asyncdjango --uds $DOMAIN_SOCKET asyncdjango.asgi:application "
BUILD = """

source virtualenvwrapper.sh
mkvirtualenv async_django_venv --python=$(command -v python3.10 || command -v python3) || exit
pip install --quiet requests "uvicorn[standard]" django || exit
django-admin startproject asyncdjango || exit
cat > asyncdjango/asyncdjango/urls.py <<'PYTHON'
from django.http import JsonResponse
from django.urls import path


async def hello(request):
    return JsonResponse({"message": "Hello from async Django!"})


urlpatterns = [path("", hello)]
PYTHON
sed -i 's/^ALLOWED_HOSTS = .*/ALLOWED_HOSTS = [".hostel.localhost"]/' asyncdjango/asyncdjango/settings.py
"""


@dataclass(frozen=True)
class Recipe:
    platform: Platform
    user: User

    @property
    def domain(self) -> str:
        return f"xanthippe.{self.platform.domain}"

    def create(self) -> httpx.Response:
        return self.platform.create(self.user, "xanthippe", COMMAND)

    def visit(self) -> httpx.Response:
        return self.platform.get("xanthippe")


@pytest.fixture(scope="module")
def recipe(platform: Platform) -> Recipe:
    user = platform.add_user("xanthippe")
    platform.shell("xanthippe", BUILD)
    return Recipe(platform, user)


@pytest.fixture
def site(recipe: Recipe) -> Iterator[httpx.Response]:
    """The website, live; its creation's answer."""
    answer = recipe.create()
    assert answer.status_code == 201, answer.text
    yield answer
    with recipe.platform.api(recipe.user) as api:
        api.delete(f"websites/{recipe.domain}/")


def test_the_virtualenv_has_the_python_that_was_asked_for(recipe: Recipe) -> None:
    asked = "$(command -v python3.10 || command -v python3)"  # a machine need not have 3.10
    script = f"{VENV}/bin/python --version; readlink -f {VENV}/bin/python; {asked} --version"
    version, path, wanted = recipe.platform.shell("xanthippe", script).split("\n")[:3]
    assert version == wanted
    assert path.startswith(("/opt/python/3.", "/usr/bin/"))  # not a patch release's own folder


def test_create_answers_the_object_that_clients_know(recipe: Recipe, site: httpx.Response) -> None:
    body = site.json()
    domain = recipe.domain
    assert {key: body[key] for key in ("user", "domain_name", "enabled", "logfiles")} == {
        "user": "xanthippe",
        "domain_name": domain,
        "enabled": True,
        "logfiles": {kind: f"/var/log/{domain}.{kind}.log" for kind in ("access", "error", "server")},
    }
    assert body["webapp"]["command"] == COMMAND
    assert body["webapp"]["domains"] == [{"domain_name": domain, "enabled": True}]
    assert body["webapp"]["state"] == "running"
    assert isinstance(body["webapp"]["id"], int)


@pytest.mark.parametrize("times", [25, pytest.param(100, marks=pytest.mark.soak)])
def test_the_first_request_after_the_201_is_always_answered(recipe: Recipe, times: int) -> None:
    answered = 0
    for _ in range(times):
        created = recipe.create()
        assert created.status_code == 201, created.text
        first = recipe.visit()
        answered += first.status_code == 200 and first.json() == MESSAGE
        recipe.platform.delete(recipe.user, "xanthippe")
    assert answered == times
    assert recipe.platform.edge_status("xanthippe")["held_total"] == 0


def test_the_three_logs_tell_what_happened(recipe: Recipe, site: httpx.Response) -> None:
    shell = recipe.platform.shell
    assert recipe.visit().json() == MESSAGE
    log = f"/var/log/{recipe.domain}"
    error = shell("xanthippe", f"cat {log}.error.log")
    assert "Started server process [1]" in error
    assert f"Uvicorn running on unix socket /var/sockets/{recipe.domain}/app.sock" in error
    assert re.search(r'^INFO: .* - "GET / HTTP/1.1" 200 OK$', shell("xanthippe", f"cat {log}.server.log"), re.MULTILINE)
    last = shell("xanthippe", f"tail -n 1 {log}.access.log")
    assert re.fullmatch(
        r"(\S+) - - \[\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d \+0000\] "
        r'"GET / HTTP/1\.1" 200 39 "-" "python-httpx/[\d.]+" "\1" response-time=\d+\.\d{3}\n',
        last,
    ), last


@pytest.mark.parametrize("deed", [": >", "rm -f", "mv -t /tmp", "chmod 777", "ln -sf /etc/passwd"])
def test_the_logs_cannot_be_altered_by_their_owner(recipe: Recipe, site: httpx.Response, deed: str) -> None:
    recipe.visit()
    file = f"/var/log/{recipe.domain}.error.log"
    before = recipe.platform.shell("xanthippe", f"cat {file}")
    tried = recipe.platform.hostel("shell", "xanthippe", "--", "bash", "-c", f"{deed} {file}", check=False)
    assert tried.returncode != 0
    assert recipe.platform.shell("xanthippe", f"cat {file}").startswith(before)


def test_list_and_get_give_the_same_object(recipe: Recipe, site: httpx.Response) -> None:
    with recipe.platform.api(recipe.user) as api:
        listed = api.get("websites/")
        one = api.get(f"websites/{recipe.domain}/")
    assert (listed.status_code, one.status_code) == (200, 200)
    assert listed.json() == [one.json()]


def test_disabled_shows_so_and_enabled_serves_again(recipe: Recipe, site: httpx.Response) -> None:
    with recipe.platform.api(recipe.user) as api:
        off = api.patch(f"websites/{recipe.domain}/", json={"enabled": False})
        assert (off.status_code, off.json()["enabled"]) == (200, False)
        shown = recipe.visit()
        assert (shown.status_code, shown.headers["cache-control"]) == (503, "no-store")
        assert "disabled" in shown.text.lower()
        on = api.patch(f"websites/{recipe.domain}/", json={"enabled": True})
        assert (on.status_code, on.json()["enabled"]) == (200, True)
    assert recipe.visit().json() == MESSAGE


def test_reload_serves_the_changed_code(recipe: Recipe, site: httpx.Response) -> None:
    urls = "asyncdjango/asyncdjango/urls.py"
    assert recipe.visit().json() == MESSAGE  # Django reads urls.py with its first request
    recipe.platform.shell("xanthippe", f"sed -i 's/Hello from/A changed/' {urls}")
    try:
        assert recipe.visit().json() == MESSAGE
        with recipe.platform.api(recipe.user) as api:
            answer = api.post(f"websites/{recipe.domain}/reload/")
        assert (answer.status_code, answer.json()) == (200, {"status": "OK"})
        assert recipe.visit().json() == {"message": "A changed async Django!"}
    finally:
        recipe.platform.shell("xanthippe", f"sed -i 's/A changed/Hello from/' {urls}")


def test_after_delete_the_domain_is_coming_soon(recipe: Recipe) -> None:
    assert recipe.create().status_code == 201
    with recipe.platform.api(recipe.user) as api:
        gone = api.delete(f"websites/{recipe.domain}/")
        assert (gone.status_code, gone.content) == (204, b"")
        assert api.get(f"websites/{recipe.domain}/").status_code == 404
    shown = recipe.visit()
    assert (shown.status_code, shown.headers["cache-control"]) == (404, "no-store")
    assert "Coming Soon!" in shown.text


def test_the_site_is_served_over_http_too(recipe: Recipe, site: httpx.Response) -> None:
    answer = httpx.get(recipe.platform.url("xanthippe", https=False), trust_env=False)
    assert (answer.status_code, answer.json()) == (200, MESSAGE)


def test_the_authority_is_constrained_to_the_sites_domain(recipe: Recipe) -> None:
    printed = recipe.platform.hostel("ca")
    assert printed.stdout.strip() == str(recipe.platform.ca_file)
    assert "trust" in printed.stderr.lower()
