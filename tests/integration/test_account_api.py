"""Named tokens and the audit trail on a platform, through edge, panel and commands; and what ends a follow."""

import time
from collections.abc import Iterator
from threading import Thread
from typing import Any

import httpx
import pytest

from live import Platform, User, answering

LABEL = "trail-agnes"


@pytest.fixture(scope="module")
def agnes(platform: Platform) -> User:
    return platform.add_user_with_server("agnes")


@pytest.fixture
def api(platform: Platform, agnes: User) -> Iterator[httpx.Client]:
    with platform.api(agnes) as client:
        yield client
        client.delete(f"websites/{LABEL}.{platform.domain}/")


def make_token(api: httpx.Client, name: str, *scopes: str) -> dict[str, Any]:
    made = api.post("tokens/", json={"name": name, "scopes": list(scopes)})
    assert made.status_code == 201, made.text
    return dict(made.json())


def holder(platform: Platform, text: str, version: str = "v1") -> httpx.Client:
    base = f"{platform.panel_url}api/{version}/user/agnes/"
    return platform.visitor(base_url=base, headers={"Authorization": f"Token {text}"})


def reading(lines: Iterator[str]) -> Thread:
    """Until the stream ends; a test that fails does not wait for it."""
    thread = Thread(target=lambda: list(lines), daemon=True)
    thread.start()
    return thread


def test_a_token_for_deploys_deploys_and_the_trail_has_it(platform: Platform, agnes: User, api: httpx.Client) -> None:
    deploys, uploads = make_token(api, "deploys", "websites:write"), make_token(api, "uploads", "files")
    body = {"domain_name": f"{LABEL}.{platform.domain}", "enabled": True, "webapp": {"command": answering()}}
    with holder(platform, deploys["token"]) as client:
        assert client.post("websites/", json=body).json()["webapp"]["state"] == "running"
        lacking = client.get(f"{platform.panel_url}api/v0/user/agnes/files/path/home/agnes/answer.py")
        assert (lacking.status_code, lacking.json()["detail"][:36]) == (403, "This token lacks the scope `files`; ")
    with holder(platform, uploads["token"], "v0") as client:
        assert client.post("files/path/home/agnes/up.txt", files={"content": b"x"}).status_code == 201
        assert client.get(f"{platform.panel_url}api/v1/user/agnes/websites/").status_code == 403
    platform.hostel("user", "limits", "agnes", "websites=7")
    trail = api.get("audit/?limit=5").json()["entries"]
    told = [(entry["deed"], entry["by"]["via"], (entry["by"]["token"] or {}).get("name")) for entry in trail]
    assert told == [
        ("user.limits", "operator", None),
        ("file.write", "api", "uploads"),
        ("website.create", "api", "deploys"),
        ("token.create", "api", None),
        ("token.create", "api", None),
    ]
    assert {entry["by"]["address"] for entry in trail[1:]} <= {"127.0.0.1", "::1"}
    assert trail[0]["by"]["address"] is None
    assert trail[0]["details"] == {"user_websites": 7}
    assert trail[1]["subject"] == "/home/agnes/up.txt"
    shown = {each["name"]: each["last_used_at"] for each in api.get("tokens/").json()}
    assert None not in shown.values()


def test_a_follow_ends_with_its_token(platform: Platform, agnes: User, api: httpx.Client) -> None:
    assert platform.create(agnes, LABEL, answering()).status_code == 201
    token = make_token(api, "reader", "websites:read")
    log = f"websites/{LABEL}.{platform.domain}/logs/access/?tail=0&follow=true"
    with holder(platform, token["token"]) as client, client.stream("GET", log) as stream:
        lines = stream.iter_lines()
        next(lines)
        platform.get(LABEL, "/control")
        assert any("/control" in line for line in lines), "it goes on as long as the token is good"
        assert api.delete(f"tokens/{token['id']}/").status_code == 204
        rest = reading(lines)
        deadline = time.monotonic() + 15
        while rest.is_alive():
            assert time.monotonic() < deadline
            platform.get(LABEL, "/more")
            rest.join(0.2)


def test_a_follow_ends_with_a_suspension(platform: Platform, agnes: User, api: httpx.Client) -> None:
    """At once: the sandbox in which the user's files are read ends with all others of the user."""
    assert platform.create(agnes, LABEL, answering()).status_code == 201
    log = f"websites/{LABEL}.{platform.domain}/logs/access/?tail=0&follow=true"
    try:
        with api.stream("GET", log) as stream:
            lines = stream.iter_lines()
            next(lines)
            rest = reading(lines)
            platform.hostel("user", "suspend", "agnes")
            rest.join(3)
            assert not rest.is_alive()
    finally:
        platform.hostel("user", "resume", "agnes")
