"""What users get wrong: each has one clear answer, and the platform goes on."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from live import Platform, User, answering


def webapp(answer: httpx.Response) -> dict[str, object]:
    return dict(answer.json()["webapp"])


BROKEN = {
    "exits": ("echo oops >&2; exit 3", "exited", "exit code 3"),
    "absent": ("/nowhere/uvicorn --uds $DOMAIN_SOCKET", "command_not_found", "not found"),
    "noexec": ("/etc/passwd", "command_not_executable", "mode"),
    "tcp": ("python3 -m http.server 8000 --bind 127.0.0.1", "listened_elsewhere", "127.0.0.1:8000"),
    "path": (
        "python3 -c 'import socket,time;s=socket.socket(1);s.bind(\"/tmp/x.sock\");s.listen();time.sleep(99)'",
        "listened_elsewhere",
        "/tmp/x.sock",
    ),
    "datagram": (
        "python3 -c 'import os,socket,time;s=socket.socket(1,2);s.bind(os.environ[\"DOMAIN_SOCKET\"]);time.sleep(99)'",
        "listened_elsewhere",
        "datagram socket",
    ),
    "file": ("touch $DOMAIN_SOCKET; sleep 99", "socket_unusable", "no stream socket"),
    "symlink": ("ln -s /tmp/a $DOMAIN_SOCKET; sleep 99", "socket_unusable", "no stream socket"),
    "memory": ("python3 -c 'x = bytes(1) * (900 << 20)'", "out_of_memory", "MiB"),
}


@pytest.fixture(scope="module")
def broken(platform: Platform, alice: User, bob: User) -> Iterator[dict[str, httpx.Response]]:
    """All broken websites, created at once: the platform must manage. The one of bob's is "silent"."""

    def create(name: str) -> httpx.Response:
        return platform.create(alice, f"{name}-alice", BROKEN[name][0])

    with ThreadPoolExecutor(len(BROKEN) + 1) as pool:
        silent = pool.submit(platform.create, bob, "silent-bob", "sleep 600")
        answers = dict(zip(BROKEN, pool.map(create, BROKEN), strict=True))
        answers["silent"] = silent.result()
    yield answers
    for name in BROKEN:
        platform.delete(alice, f"{name}-alice")
    platform.delete(bob, "silent-bob")


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_command_fails_with_a_typed_reason(broken: dict[str, httpx.Response], name: str) -> None:
    answer = broken[name]
    _, reason, words = BROKEN[name]
    assert answer.status_code == 201
    shown = webapp(answer)
    assert (shown["state"], shown["reason"]) == ("failed", reason), answer.text
    assert words in str(shown["detail"])


def test_the_last_stderr_lines_are_in_the_answer(broken: dict[str, httpx.Response]) -> None:
    assert webapp(broken["exits"])["stderr"] == ["oops"]


def test_visitors_of_a_failed_site_learn_nothing(platform: Platform, broken: dict[str, httpx.Response]) -> None:
    shown = platform.get("exits-alice")
    assert (shown.status_code, shown.headers["cache-control"]) == (502, "no-store")
    assert "Something went wrong" in shown.text
    assert "oops" not in shown.text


def test_d8_a_command_that_never_listens_fails_at_its_deadline(broken: dict[str, httpx.Response]) -> None:
    answer = broken["silent"]
    assert answer.status_code == 201
    shown = webapp(answer)
    # The call waits 45 seconds at most; the deadline of this platform is set below that.
    assert (shown["state"], shown["reason"]) == ("failed", "never_listened")


REFUSED_DOMAINS = [
    "other.example.org",
    "bob.hostel.localhost",
    "x-bob.hostel.localhost",
    "www.hostel.localhost",
    "api.hostel.localhost",
    "www-alice.hostel.localhost",
    "alice.hostel.localhost.",
    "a.alice.hostel.localhost",
    "-alice.hostel.localhost",
    "alice",
    "",
    "al ice.hostel.localhost",
    "../alice.hostel.localhost",
    f"{'x' * 70}-alice.hostel.localhost",
    f"{'x' * 40}.{'y' * 40}-alice.hostel.localhost",
    "älice.hostel.localhost",
]


@pytest.mark.parametrize("domain", REFUSED_DOMAINS)
def test_a_domain_that_is_not_ones_own_is_refused(platform: Platform, alice: User, domain: str) -> None:
    with platform.api(alice) as api:
        answer = api.post(
            "websites/", json={"domain_name": domain, "enabled": True, "webapp": {"command": answering()}}
        )
    assert answer.status_code == 400
    assert list(answer.json()["domain_name"][0])  # one sentence at least


@pytest.mark.parametrize("command", [None, "", "   ", "a\nb", "a\0b", "x" * 20_000])
def test_a_command_that_cannot_be_is_refused(platform: Platform, alice: User, command: str | None) -> None:
    with platform.api(alice) as api:
        answer = api.post(
            "websites/",
            json={"domain_name": "alice.hostel.localhost", "enabled": True, "webapp": {"command": command}},
        )
        assert answer.status_code == 400
        assert "command" in json.dumps(answer.json())
        assert api.get("websites/").status_code == 200


@pytest.mark.parametrize("body", ["[]", '"x"', "1", "null", "{", ""])
def test_json_that_is_no_object_is_refused(platform: Platform, alice: User, body: str) -> None:
    with platform.api(alice) as api:
        answer = api.post("websites/", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400


def test_a_taken_domain_is_refused_in_any_letter_case(platform: Platform, alice: User) -> None:
    assert platform.create(alice, "taken-alice", answering()).status_code == 201
    for label in ("taken-alice", "TAKEN-Alice"):
        again = platform.create(alice, label, answering())
        assert again.status_code == 400
        assert again.json() == {"domain_name": ["domain with this domain name already exists."]}
    assert platform.get("taken-alice").json()["word"] == "hello"
    platform.delete(alice, "taken-alice")


def test_strangers_get_401_or_403_and_never_learn_who_exists(platform: Platform, alice: User, bob: User) -> None:
    stranger = User("alice", "", "0" * 40)
    with platform.api(stranger) as api:
        answer = api.get("websites/")
        assert (answer.status_code, answer.json()) == (401, {"detail": "Invalid token."})
    for name in ("alice", "nobodyatall"):
        with platform.api(User(name, "", bob.token)) as api:
            answer = api.get("websites/")
            assert answer.status_code == 403
            assert answer.json() == {"detail": "You do not have permission to perform this action."}


def test_unknown_sites_methods_and_types_have_their_codes(platform: Platform, alice: User) -> None:
    with platform.api(alice) as api:
        assert api.get("websites/none-alice.hostel.localhost/").status_code == 404
        assert api.put("websites/", json={}).status_code == 405
        assert api.post("websites/", content="x", headers={"Content-Type": "text/plain"}).status_code == 415


@pytest.mark.parametrize("path", ["websites", "websites/", "websites//", "/websites/"])
def test_slashes_never_redirect(platform: Platform, alice: User, path: str) -> None:
    with platform.api(alice) as api:
        answer = api.get(f"{api.base_url}{path}")
    assert (answer.status_code, type(answer.json())) == (200, list)


def test_a_site_typed_in_capitals_keeps_them_in_its_logs(platform: Platform, alice: User) -> None:
    created = platform.create(alice, "Big-Alice", answering())
    assert created.status_code == 201
    assert created.json()["logfiles"]["error"] == "/var/log/Big-Alice.hostel.localhost.error.log"
    assert platform.get("big-alice").status_code == 200
    assert "Big-Alice.hostel.localhost.access.log" in platform.shell("alice", "ls /var/log")
    platform.delete(alice, "Big-Alice")
