"""Static mappings through the API, the agent and the edge, with files that users wrote in their sandboxes."""

import json
import time
from collections.abc import Iterator

import httpx
import pytest

from live import Platform, User, answering

LABEL = "files-alice"


@pytest.fixture(scope="module")
def api(platform: Platform, alice: User) -> Iterator[httpx.Client]:
    assert platform.create(alice, LABEL, answering("website")).json()["webapp"]["state"] == "running"
    script = "mkdir -p pub/css; echo teal > pub/css/a.css; echo mine > pub/private; chmod 600 pub/private"
    platform.shell("alice", f"{script}; ln -s /etc pub/etc; echo robots > robots.txt")
    with platform.api(alice) as api:
        yield api
    platform.delete(alice, LABEL)


@pytest.fixture(scope="module")
def path(platform: Platform) -> str:
    return f"websites/{LABEL}.{platform.domain}/"


def test_a_mapping_holds_at_once_and_until_it_is_removed(platform: Platform, api: httpx.Client, path: str) -> None:
    before = platform.get(LABEL).json()["run"]
    made = api.post(f"{path}static_files/", json={"url": "/static/", "path": "/home/alice/pub/"})
    assert made.status_code == 201
    assert platform.get(LABEL, "/static/css/a.css").text == "teal\n"
    one = f"{path}static_files/{made.json()['id']}/"
    assert api.patch(one, data={"url": "/s"}).json()["url"] == "/s"
    assert platform.get(LABEL, "/s/css/a.css").text == "teal\n"
    assert platform.get(LABEL, "/static/css/a.css").text != "teal\n"
    assert api.put(one, json={"url": "/robots.txt", "path": "/home/alice/robots.txt"}).status_code == 200
    assert platform.get(LABEL, "/robots.txt").text == "robots\n"
    assert api.delete(one).status_code == 204
    assert platform.get(LABEL, "/robots.txt").text != "robots\n"
    assert platform.get(LABEL).json()["run"] == before


def test_the_error_log_says_what_keeps_visitors_from_a_file(platform: Platform, api: httpx.Client, path: str) -> None:
    made = api.post(f"{path}static_files/", json={"url": "/static/", "path": "/home/alice/pub"})
    for name in ("private", "etc/passwd"):
        assert platform.get(LABEL, f"/static/{name}").status_code == 403
        time.sleep(1.1)  # of one website one file a second is told of
    deadline = time.monotonic() + 10
    wanted = ("run: chmod o+r /home/alice/pub/private", "visitors do not get what /home/alice/pub/etc links to")
    while True:
        lines = "\n".join(api.get(f"{path}logs/error/").json()["lines"])
        if all(text in lines for text in wanted):
            break
        assert time.monotonic() < deadline, lines
        time.sleep(0.05)
    assert api.delete(f"{path}static_files/{made.json()['id']}/").status_code == 204


def test_c4_the_agent_takes_no_path_outside_the_home_from_a_panel_either(
    platform: Platform, api: httpx.Client, path: str
) -> None:
    domain = f"{LABEL}.{platform.domain}"
    spec = json.loads((platform.paths.websites / f"{domain}.json").read_text())["spec"]
    spec["version"]["revision"] += 1_000
    for wrong in ("/etc", "/home/bob", "/home/alice/../bob", "/home/alice\0/x"):
        spec["static_files"] = [{"url": "/static/", "path": wrong}]
        refused = platform.ask_agent("PUT", f"/websites/{domain}", spec)
        assert (refused.status_code, refused.json()["code"]) == (400, "invalid_mapping")
    assert api.get(path).json()["webapp"]["state"] == "running"
