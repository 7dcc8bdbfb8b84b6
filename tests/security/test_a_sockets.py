"""A1 to A9 and A12: what a tenant puts where its website should listen."""

import asyncio
import contextlib
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from edge_fixtures import DOMAIN, RunningEdge, answer, in_background, replying

from hostel.agent import kernel, sockets
from hostel.agent.sockets import Found
from hostel.wire.route import RouteState
from live import Platform, User, answering
from waiting import until

BOB = f"bob.{DOMAIN}"
BOBS_UID = 64_000  # nobody has it
FOLLOWING = kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC  # and symlinks are followed


class Tenants:
    """The agent's own mount for bob's sockets, below a real nginx; alice's website is beside it."""

    def __init__(self, edge: RunningEdge, mount: Callable[[Path], None]) -> None:
        self.edge = edge
        self.alice = edge.upstream("run-alice", replying(answer("alice")))
        edge.running(f"alice.{DOMAIN}", self.alice)
        self.bobs = edge.paths.sockets / "2"
        mount(self.bobs)
        self.run = self.bobs / "run-bob"
        sockets.make_run_directory(self.run, uid=BOBS_UID, edge_gid=33)
        self.upstream = edge.upstream("../2/run-bob", replying(answer("bob", "Connection: close")))  # not pooled

    @property
    def socket(self) -> Path:
        return self.run / "app.sock"

    def publish(self) -> None:
        self.edge.publish(BOB, RouteState.RUNNING, run="run-bob", endpoint=f"unix:{self.socket}", hold_s=0.05)

    def close(self) -> None:
        self.edge.loop.run(self.upstream.stop())
        sockets.remove_tenant_directory(self.bobs)


def mount_following(directory: Path) -> None:
    directory.mkdir(mode=0o711, parents=True)
    kernel.mount_tmpfs(str(directory), flags=FOLLOWING, options="size=256k,mode=0711")


@contextlib.contextmanager
def tenants(mount: Callable[[Path], None] = sockets.ensure_tenant_directory) -> Iterator[Tenants]:
    with RunningEdge() as edge:
        both = Tenants(edge, mount)
        try:
            both.publish()
            yield both
        finally:
            both.close()


@pytest.fixture(scope="module")
def guarded() -> Iterator[Tenants]:
    with tenants() as both:
        yield both


@contextlib.contextmanager
def replaced(both: Tenants, make: Callable[[Path], object]) -> Iterator[None]:
    """In the place of bob's socket lies what `make` makes; his route is published, as after a look of the agent."""
    kept = both.socket.rename(both.run / "kept")
    try:
        make(both.socket)
        both.publish()
        yield
    finally:
        if both.socket.is_dir() and not both.socket.is_symlink():
            both.socket.rmdir()
        both.socket.unlink(missing_ok=True)
        kept.rename(both.socket)
        both.socket.chmod(sockets.NGINX_MAY_CONNECT)
        both.publish()


def test_a1_a_symlinked_socket_reaches_nobody(guarded: Tenants) -> None:
    assert guarded.edge.get(BOB).body == b"bob"
    with replaced(guarded, lambda path: path.symlink_to(guarded.alice.path)):
        response = guarded.edge.get(BOB)
    assert (response.status, response.headers["hostel-error-code"]) == (502, "website_refused")
    assert not guarded.alice.requests
    assert guarded.edge.get(BOB).body == b"bob"


def test_a1_control_on_a_mount_that_follows_it_reaches_alice() -> None:
    with tenants(mount_following) as both, replaced(both, lambda path: path.symlink_to(both.alice.path)):
        assert both.edge.get(BOB).body == b"alice"


def swap_while_asking(both: Tenants, seconds: float) -> set[bytes]:
    """The bodies that bob's visitors get while his socket and a link to alice's take turns, hundreds a second.

    Ends early when one is alice's.
    """
    over = threading.Event()
    link, kept = both.run / "link", both.run / "kept"
    link.symlink_to(both.alice.path)
    os.link(both.socket, kept)

    def swap() -> None:
        while not over.is_set():
            os.link(kept, both.run / "new")
            os.rename(both.run / "new", both.socket)
            shutil.copyfile(link, both.run / "newlink", follow_symlinks=False)
            os.rename(both.run / "newlink", both.socket)

    bodies: set[bytes] = set()
    until = time.monotonic() + seconds
    with in_background(swap):
        try:
            while time.monotonic() < until and b"alice" not in bodies:
                response = both.edge.get(BOB)
                bodies.add(response.body if response.status == 200 else b"")
        finally:
            over.set()
    both.socket.unlink()
    link.unlink()
    os.rename(kept, both.socket)
    return bodies


def test_a2_swapped_after_any_check_it_reaches_nobody(guarded: Tenants) -> None:
    assert swap_while_asking(guarded, 1.5) <= {b"", b"bob"}
    assert guarded.edge.get(BOB).body == b"bob"


def test_a2_control_on_a_mount_that_follows_the_race_is_won() -> None:
    with tenants(mount_following) as both:
        assert b"alice" in swap_while_asking(both, 10.0)


def bind(path: Path, kind: socket.SocketKind) -> None:
    """A socket that nobody has open any more: its name stays."""
    with socket.socket(socket.AF_UNIX, kind) as bound:
        bound.bind(str(path))
    path.chmod(0o666)


WRONG: dict[str, Callable[[Path], object]] = {
    "file": lambda path: path.write_text("x"),
    "fifo": os.mkfifo,
    "directory": lambda path: path.mkdir(),
    "datagram": lambda path: bind(path, socket.SOCK_DGRAM),
    "seqpacket": lambda path: bind(path, socket.SOCK_SEQPACKET),
    "dead": lambda path: bind(path, socket.SOCK_STREAM),
}


@pytest.mark.parametrize("kind", WRONG)
def test_a3_anything_but_a_listening_socket_is_a_502_at_once_and_not_ready(guarded: Tenants, kind: str) -> None:
    """Its control is the first line: with the socket in place it serves."""
    assert guarded.edge.get(BOB).body == b"bob"
    with replaced(guarded, WRONG[kind]):
        began = time.monotonic()
        assert guarded.edge.get(BOB).status == 502
        assert time.monotonic() - began < 0.05 + 0.3  # the hold is 0.05 s here
        found = asyncio.run(sockets.probe(guarded.run, uid=0))
        assert found in (Found.REFUSES, Found.UNUSABLE)
        assert guarded.edge.get(f"alice.{DOMAIN}").body == b"alice"


def test_a3_a_socket_of_somebody_else_is_not_ready(guarded: Tenants) -> None:
    """Control: for its owner, which is root in this test, it is."""
    assert asyncio.run(sockets.probe(guarded.run, uid=BOBS_UID)) is Found.UNUSABLE
    assert asyncio.run(sockets.probe(guarded.run, uid=0)) is Found.ACCEPTS


@pytest.mark.parametrize("deed", ["chmod", "unlink"])
def test_a5_a_tenant_that_breaks_its_socket_breaks_its_own_website_only(guarded: Tenants, deed: str) -> None:
    before = len(guarded.edge.errors())
    make: Callable[[Path], object] = (lambda path: None) if deed == "unlink" else forbid
    with replaced(guarded, make):
        assert {guarded.edge.get(BOB).status for _ in range(20)} == {502}
        assert guarded.edge.get(f"alice.{DOMAIN}").body == b"alice"
    assert len(guarded.edge.errors()) - before < 20, "test_f_logs.py has the log of many requests"
    assert guarded.edge.get(BOB).body == b"bob"


def forbid(path: Path) -> None:
    os.link(path.with_name("kept"), path)
    path.chmod(0)


# -- in a real sandbox


def host_socket(platform: Platform, tenant: str, label: str) -> Path:
    """Where the socket of a website lies on the host."""
    route = (platform.paths.routes / f"{label}.{platform.domain}.json").read_text()
    (path,) = [word for word in route.split('"') if word.startswith("unix:")]
    return Path(path.removeprefix("unix:"))


@pytest.fixture
def alices(platform: Platform, alice: User) -> Iterator[Path]:
    """Alice's website, and its socket on the host."""
    assert platform.create(alice, "a-alice", answering("alice")).json()["webapp"]["state"] == "running"
    yield host_socket(platform, "alice", "a-alice")
    platform.delete(alice, "a-alice")


SWAPPING = """\
(while ! [ -S $DOMAIN_SOCKET ]; do :; done; until [ -e ~/swap ]; do sleep 0.02; done; rm -f ~/swap
 mv $DOMAIN_SOCKET $DOMAIN_SOCKET.kept; ln -s {target} $DOMAIN_SOCKET; : > ~/swapped) & exec python3 answer.py bob"""


def test_a1_swapped_in_a_sandbox_it_reaches_nobody(platform: Platform, bob: User, alices: Path) -> None:
    command = " ".join(SWAPPING.format(target=alices).split())
    assert platform.create(bob, "swap-bob", command).json()["webapp"]["state"] == "running"
    try:
        assert platform.get("swap-bob").json()["word"] == "bob"
        platform.shell("bob", "rm -f swapped; : > swap; while ! [ -e swapped ]; do sleep 0.02; done; rm swapped")
        place = host_socket(platform, "bob", "swap-bob")
        until(place.is_symlink, what="the link lies there")
        assert os.readlink(place) == str(alices)
        for _ in range(3):
            with contextlib.suppress(Exception):
                shown = platform.visitor(timeout=2).get(platform.url("swap-bob"))
                assert "alice" not in shown.text
        assert platform.get("a-alice").json()["word"] == "alice"
    finally:
        platform.delete(bob, "swap-bob")


def test_a4_a_server_that_lets_nobody_in_is_served_and_neighbours_stay_out(
    platform: Platform, bob: User, alices: Path
) -> None:
    assert platform.create(bob, "umask-bob", "umask 077; exec python3 answer.py bob").status_code == 201
    assert platform.get("umask-bob").json()["word"] == "bob"
    platform.delete(bob, "umask-bob")
    uid = platform.shell("bob", "id -u").strip()
    ask = ["curl", "-s", "--max-time", "5", "--unix-socket", str(alices), "http://x/"]
    as_bob = subprocess.run(["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", *ask], check=False)
    assert as_bob.returncode == 7  # could not connect
    own = alices.stat().st_uid
    control = ["setpriv", f"--reuid={own}", f"--regid={own}", "--clear-groups", *ask]
    assert b"alice" in subprocess.run(control, capture_output=True, check=True).stdout


FILLING = 'for i in $(seq 600); do : > "${DOMAIN_SOCKET}$i" || break; done 2> ~/filled; exec python3 answer.py bob'


def test_a7_a_tenant_that_fills_its_sockets_place_hurts_nobody_else(
    platform: Platform, bob: User, alice: User, alices: Path
) -> None:
    """No control: it would be one place for all, which is not built any more; that the attack bites is shown."""
    platform.create(bob, "fill-bob", FILLING)
    assert "No space left on device" in platform.shell("bob", "cat filled; rm filled")
    with platform.api(alice) as api:
        assert api.post(f"websites/a-alice.{platform.domain}/reload/").status_code == 200
    assert platform.get("a-alice").json()["word"] == "alice"
    assert host_socket(platform, "alice", "a-alice") != alices, "it has a new run"
    platform.delete(bob, "fill-bob")


def test_a8_whoever_gets_a_domain_next_never_meets_the_old_process(platform: Platform, bob: User) -> None:
    """The process that is deleted goes on answering on connections that nginx has pooled, until it is ended."""
    asked: list[str] = []
    for word in ("first", "second", "third"):
        assert platform.create(bob, "again-bob", f"trap '' TERM; python3 answer.py {word}").status_code == 201
        asked += [f"{word}:{platform.get('again-bob').json()['word']}" for _ in range(40)]
        platform.delete(bob, "again-bob")
    assert [text for text in asked if len(set(text.split(":"))) != 1] == []


def test_a8_control_with_one_path_for_both_the_pooled_connection_meets_the_old_one(guarded: Tenants) -> None:
    domain, edge = f"reused.{DOMAIN}", guarded.edge
    old = edge.upstream("reused", replying(answer("old")))
    edge.running(domain, old)
    with edge.connect() as connection:
        for _ in range(4):
            connection.sendall(f"GET / HTTP/1.1\r\nHost: {domain}\r\n\r\n".encode())
            assert connection.recv(4096).endswith(b"old")
        old.path.unlink()
        edge.upstream("reused", replying(answer("new")))
        connection.sendall(f"GET / HTTP/1.1\r\nHost: {domain}\r\n\r\n".encode())
        assert connection.recv(4096).endswith(b"old"), "so a run's name and path must never be used again"


LATE = """\
import os, socket, subprocess, sys, time
listener = socket.socket(socket.AF_UNIX)
listener.bind(os.environ["DOMAIN_SOCKET"])
time.sleep(0.7)  # the file is there, and refuses
listener.listen(100)
time.sleep(0.7)  # connect() succeeds, and nobody answers
while True:
    connection, _ = listener.accept()
    if connection.recv(65536):
        connection.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 4\\r\\nConnection: close\\r\\n\\r\\nlate")
    connection.close()
"""


def test_a9_the_route_is_switched_when_the_server_accepts_and_not_before(platform: Platform, bob: User) -> None:
    """No control here: that neither the file nor connect() tells is the sleeps of the server below."""
    platform.hostel("shell", "bob", "--", "bash", "-c", "cat > late.py", stdin=LATE)
    assert platform.create(bob, "late-bob", answering("early")).status_code == 201
    over, answers = threading.Event(), []

    def visit() -> None:
        while not over.is_set():
            began = time.monotonic()
            shown = platform.get("late-bob")
            answers.append((shown.status_code, "late" if shown.text == "late" else "early", time.monotonic() - began))

    with in_background(visit), platform.api(bob) as api:
        try:
            began = time.monotonic()
            changed = api.patch(
                f"websites/late-bob.{platform.domain}/", json={"webapp": {"command": "exec python3 late.py"}}
            )
            took_s = time.monotonic() - began
            until(lambda: answers[-1][1] == "late", what="the new run serves")
        finally:
            over.set()
    assert changed.json()["webapp"]["deploy"]["phase"] in ("done", "draining")
    assert took_s > 1.3
    assert {status for status, _, _ in answers} == {200}
    assert max(took_s for _, _, took_s in answers) < 0.6, "nobody waited for the new run"
    platform.delete(bob, "late-bob")


UNLINKING = """\
import atexit, os, signal, sys, runpy
signal.signal(signal.SIGTERM, lambda *_: sys.exit())
path = os.environ["DOMAIN_SOCKET"]
sys.argv = ["answer.py", sys.argv[1]]
try:
    runpy.run_path("answer.py", run_name="__main__")
finally:
    os.path.exists(path) and os.unlink(path)
"""


def test_a12_a_run_that_removes_the_socket_as_it_ends_removes_its_own(platform: Platform, bob: User) -> None:
    """No control: it would be one directory for two runs."""
    platform.hostel("shell", "bob", "--", "bash", "-c", "cat > unlinking.py", stdin=UNLINKING)
    assert platform.create(bob, "tidy-bob", "exec python3 unlinking.py one").status_code == 201
    first = host_socket(platform, "bob", "tidy-bob")
    with platform.api(bob) as api:
        assert api.post(f"websites/tidy-bob.{platform.domain}/reload/").status_code == 200
    until(lambda: not first.exists(), what="the old one has ended")
    assert platform.get("tidy-bob").json()["word"] == "one"
    assert host_socket(platform, "bob", "tidy-bob").parent != first.parent
    platform.delete(bob, "tidy-bob")
