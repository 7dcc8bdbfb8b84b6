"""The three logs over the API: their ends, and what comes, also over a rotation and a lost connection."""

import json
from collections.abc import Iterator

import httpx
import pytest

from live import Platform, User

TALKING = "import asyncio, sys; print('first'); print('käse <b>', file=sys.stderr); exec(open('answer.py').read())"


@pytest.fixture
def log(platform: Platform, alice: User) -> Iterator[str]:
    """Relative to the user's API: the server log of a website that writes a line for each request."""
    label = "log-alice"
    platform.hostel("shell", "alice", "--", "bash", "-c", "cat > talking.py", stdin=TALKING)
    created = platform.create(alice, label, "python3 talking.py hello")
    assert created.json()["webapp"]["state"] == "running", created.text
    yield f"websites/{label}.{platform.domain}/logs/"
    platform.delete(alice, label)


def test_the_end_of_each_log_is_shown(platform: Platform, alice: User, log: str) -> None:
    assert platform.get("log-alice", "/wanted").status_code == 200
    with platform.api(alice) as api:
        assert api.get(f"{log}server/").json()["lines"][0] == "first"
        assert api.get(f"{log}error/").json()["lines"] == ["käse <b>"]
        assert '"GET /wanted HTTP/' in api.get(f"{log}access/?tail=1").json()["lines"][0]
        assert api.get(f"{log}access/?tail=0").json()["lines"] == []
        assert api.get(f"{log}other/").status_code == 404
        for wrong in ("x", "-1", "5001", "1e3"):
            refused = api.get(f"{log}access/?tail={wrong}")
            assert refused.json() == {"tail": ["Give a whole number from 0 to 5,000."]}


def test_a_stranger_reads_no_log(platform: Platform, alice: User, bob: User, log: str) -> None:
    with platform.visitor(headers={"Authorization": f"Token {bob.token}"}) as client:
        assert client.get(f"{platform.panel_url}api/v1/user/alice/{log}access/").status_code == 403
        assert client.get(f"{platform.panel_url}api/v1/user/bob/{log}access/").status_code == 404


def test_lines_come_as_they_are_written_and_none_is_lost_between_two_connections(
    platform: Platform, alice: User, log: str
) -> None:
    with platform.api(alice) as api:
        with api.stream("GET", f"{log}access/?tail=0&follow=true") as stream:
            assert stream.headers["Content-Type"] == "text/event-stream"
            events = read_events(stream)
            position, _ = next(events)
            platform.get("log-alice", "/one")
            position, line = next(events)
            assert "/one" in line
        platform.get("log-alice", "/two")
        platform.get("log-alice", "/three")
        headers = {"Last-Event-ID": position}
        with api.stream("GET", f"{log}access/?follow=true", headers=headers) as stream:
            events = read_events(stream)
            assert ["/two" in next(events)[1], "/three" in next(events)[1]] == [True, True]


def test_a_rotation_loses_no_follower(platform: Platform, alice: User, log: str) -> None:
    file = platform.paths.site_logs / f"alice/log-alice.{platform.domain}.server.log"
    with platform.api(alice) as api, api.stream("GET", f"{log}server/?tail=0&follow=true") as stream:
        events = read_events(stream)
        next(events)
        with file.open("a") as old:
            old.write("before\n")
        file.rename(f"{file}.1")
        file.write_text("after\n")
        assert [next(events)[1], next(events)[1]] == ["before", "after"]


def test_a_user_follows_a_few_logs_at_once(platform: Platform, alice: User, log: str) -> None:
    with platform.api(alice) as api:
        streams = [api.stream("GET", f"{log}error/?follow=true") for _ in range(5)]
        opened = [stream.__enter__() for stream in streams]
        try:
            for answer in opened[:4]:
                next(read_events(answer))
            refused = opened[4]
            assert (refused.status_code, refused.headers["Hostel-Error-Code"]) == (429, "too_many_followers")
        finally:
            for stream in streams:
                stream.__exit__(None, None, None)


def read_events(stream: httpx.Response) -> Iterator[tuple[str, str]]:
    """Position and line of each event; a position alone has no line."""
    position = ""
    for text in stream.iter_lines():
        if text.startswith("id: "):
            position = text.removeprefix("id: ")
        if text.startswith("data:"):
            data = text.removeprefix("data:").strip()
            yield position, json.loads(data) if data else ""
