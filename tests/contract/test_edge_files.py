"""Static mappings at the edge: which file answers which address, how, and what is not served.

Homes are made as the agent makes them; what a tenant may put there is put there with the tenant's uid.
"""

import contextlib
import fcntl
import gzip
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from edge_fixtures import (
    DOMAIN,
    Request,
    RunningEdge,
    Upstream,
    WeakenedEdge,
    answer,
    read_to_end,
    replying,
)

from hostel.wire.route import RouteState
from hostel.wire.static_files import StaticMapping
from waiting import until

ALICE = f"alice.{DOMAIN}"
ALICE_UID, BOB_UID, EDGE_GID = 64_001, 64_002, 33
PAGE, STYLE = b"<h1>alice</h1>\n", b"body { color: teal }\n" * 40


class Home:
    """A tenant's home below the edge's root."""

    def __init__(self, edge: RunningEdge, name: str, uid: int) -> None:
        self.path, self.uid = edge.paths.homes / name, uid
        self.path.mkdir(parents=True)
        edge.paths.homes.chmod(0o711)
        edge.paths.state.chmod(0o711)
        os.chown(self.path, uid, EDGE_GID)
        self.path.chmod(0o710)

    def run(self, script: str) -> None:
        """As the tenant."""
        argv = ["setpriv", f"--reuid={self.uid}", f"--regid={self.uid}", "--clear-groups", "bash", "-ec", script]
        subprocess.run(argv, cwd=self.path, check=True, timeout=20)

    def write(self, name: str, content: bytes, *, mode: int = 0o644) -> Path:
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        path.chmod(mode)
        for step in (path, *path.parents):
            if step == self.path:
                break
            os.chown(step, self.uid, self.uid)
        return path


@pytest.fixture(scope="module")
def home(edge: RunningEdge) -> Home:
    home = furnish(edge)
    bob = Home(edge, "bob", BOB_UID)
    bob.write("public/secret.txt", b"BOB'S SECRET")
    return home


def furnish(edge: RunningEdge) -> Home:
    home = Home(edge, "alice", ALICE_UID)
    home.write("site/settings.py", b"SECRET_KEY")
    home.write("site/static/index.html", PAGE)
    home.write("site/static/style.css", STYLE)
    home.write("site/static/sub dir/index.html", b"below")
    home.write("site/static/plain/only.txt", b"only")
    home.write("site/static/caf\u00e9 100%.txt", b"odd name")
    home.write("site/static/.env", b"SECRET_KEY")
    home.write("site/static/.git/config", b"SECRET_KEY")
    home.write("site/static/.well-known/security.txt", b"Contact")
    home.write("site/static/private.txt", b"SECRET_KEY", mode=0o600)
    home.write("site/static/closed/x.txt", b"SECRET_KEY")
    (home.path / "site/static/closed").chmod(0o700)
    home.write("site/robots.txt", b"User-agent: *\n")
    return home


@pytest.fixture
def site(edge: RunningEdge, home: Home) -> Iterator[Upstream]:
    upstream = edge.upstream("run-files", replying(answer("the website")))
    edge.running(ALICE, upstream, static_files=mappings(home))
    yield upstream
    edge.loop.run(upstream.stop())


def mappings(home: Home, *more: tuple[str, str]) -> tuple[StaticMapping, ...]:
    pairs = [*more, ("/static/", "site/static"), ("/robots.txt", "site/robots.txt"), ("/lib", "site/static/plain")]
    return tuple(StaticMapping(url=url, path=str(home.path / path)) for url, path in pairs)


SERVED = {
    "/static/style.css": STYLE,
    "/static/": PAGE,
    "/static/index.html": PAGE,
    "//static///style.css": STYLE,
    "/other/../static/./style.css": STYLE,
    "/static/style.css?v=2": STYLE,
    "/static/sub%20dir/": b"below",
    "/static/caf%C3%A9%20100%25.txt": b"odd name",
    "/static/.well-known/security.txt": b"Contact",
    "/robots.txt": b"User-agent: *\n",
    "/lib/only.txt": b"only",
}


@pytest.mark.parametrize("path", SERVED)
def test_a_mapping_answers_with_the_file(edge: RunningEdge, site: Upstream, path: str) -> None:
    found = edge.get(ALICE, path)
    assert (found.status, found.body, site.requests) == (200, SERVED[path], [])
    assert found.headers["x-content-type-options"] == "nosniff"


def test_other_addresses_go_to_the_website(edge: RunningEdge, site: Upstream) -> None:
    paths = ["/", "/statics/style.css", "/robots.txt.bak", "/library/only.txt", "/Static/style.css"]
    assert {edge.get(ALICE, path).body for path in paths} == {b"the website"}


def test_the_first_mapping_that_fits_counts(edge: RunningEdge, home: Home, site: Upstream) -> None:
    """And a file that is not there is not looked for in the next one, nor asked of the website."""
    edge.running(ALICE, site, static_files=mappings(home, ("/static/plain", "site"), ("/static", "site/static/plain")))
    assert edge.get(ALICE, "/static/plain/robots.txt").body == b"User-agent: *\n"
    assert edge.get(ALICE, "/static/only.txt").body == b"only"
    absent = edge.get(ALICE, "/static/style.css")
    assert (absent.status, absent.headers["hostel-error-code"], site.requests) == (404, "no_such_file", [])
    edge.running(ALICE, site, static_files=mappings(home, ("/", "site")))
    assert edge.get(ALICE, "/robots.txt").body == b"User-agent: *\n"
    assert edge.get(ALICE, "/").status == 404


def test_files_are_served_as_browsers_want_them(edge: RunningEdge, home: Home, site: Upstream) -> None:
    whole = edge.get(ALICE, "/static/style.css", "Accept-Encoding: gzip")
    assert whole.headers["content-type"] == "text/css; charset=utf-8"
    assert "content-encoding" not in whole.headers
    etag, modified = whole.headers["etag"], whole.headers["last-modified"]
    assert edge.get(ALICE, "/static/style.css", f"If-None-Match: {etag}").status == 304
    assert edge.get(ALICE, "/static/style.css", f"If-Modified-Since: {modified}").status == 304
    part = edge.get(ALICE, "/static/style.css", "Range: bytes=5-14")
    assert (part.status, part.body) == (206, STYLE[5:15])
    beyond = edge.get(ALICE, "/static/style.css", "Range: bytes=900000-")
    assert (beyond.status, beyond.headers["hostel-error-code"]) == (416, "no_such_range")
    assert beyond.headers["content-range"] == f"bytes */{len(STYLE)}"
    assert edge.get(ALICE, "/static/style.css", 'If-Match: "x"').headers["hostel-error-code"] == "precondition_failed"
    headed = edge.send("HEAD", ALICE, "/static/style.css")
    assert (headed.status, headed.body, headed.headers["content-length"]) == (200, b"", str(len(STYLE)))
    assert edge.send("POST", ALICE, "/static/style.css", body=b"x" * 100).status == 405
    home.write("site/static/app.js", b"plain")
    home.write("site/static/app.js.gz", gzip.compress(b"packed"))
    packed = edge.get(ALICE, "/static/app.js", "Accept-Encoding: gzip")
    assert (packed.headers["content-encoding"], gzip.decompress(packed.body)) == ("gzip", b"packed")
    assert packed.headers["content-type"].startswith("text/javascript")
    assert edge.get(ALICE, "/static/app.js").body == b"plain"
    assert edge.log_lines(ALICE)[-1].split('"')[1] == "GET /static/app.js HTTP/1.1"


MOVED = {
    "/static": "/static/",
    "/static/sub%20dir": "/static/sub%20dir/",
    "//static//plain?a=b%20c": "/static/plain/?a=b%20c",
}


@pytest.mark.parametrize("path", MOVED)
def test_a_directory_without_its_slash_moves_there(edge: RunningEdge, site: Upstream, path: str) -> None:
    moved = edge.get(ALICE, path)
    assert (moved.status, moved.headers["location"], moved.body) == (301, MOVED[path], b"")


def test_files_are_served_while_the_website_is_down_but_not_when_it_is_off(edge: RunningEdge, home: Home) -> None:
    for state in (RouteState.HELD, RouteState.FAILED):
        edge.publish(ALICE, state, static_files=mappings(home))
        assert edge.get(ALICE, "/static/style.css").body == STYLE
    for state, code in (("disabled", "website_disabled"), ("suspended", "account_suspended")):
        edge.publish(ALICE, RouteState(state), static_files=mappings(home))
        assert edge.get(ALICE, "/static/style.css").headers["hostel-error-code"] == code


# -- attacks

OUT = [
    "/static../settings.py",
    "/static..%2fsettings.py",
    "/static/../settings.py",
    "/static/..%2fsettings.py",
    "/static/%2e%2e/settings.py",
    "/static/%2e%2e%2fsettings.py",
    "/static/.%2e/settings.py",
    "/static/..;/settings.py",
    "/static/..%5csettings.py",
    "/static/..\\settings.py",
    "/static/%252e%252e/settings.py",
    "/static/%252e%252e%252fsettings.py",
    "/static/%c0%ae%c0%ae/settings.py",
    "/static/..%c0%afsettings.py",
    "/static/....//settings.py",
    "/static/.../settings.py",
    "/static//../settings.py",
    "/static/./../settings.py",
    "/static/plain/../../settings.py",
    "/static/plain/..%2f..%2fsettings.py",
    "/static/..%00/settings.py",
    "/static/%00../settings.py",
    "/static/style.css/../../settings.py",
    "/static/style.css%00.py",
    "/static/..%ff/settings.py",
    "/lib../index.html",
    "/lib/../../settings.py",
    "/lib/%2e%2e/%2e%2e/settings.py",
    "/robots.txt/../settings.py",
    "/robots.txt/settings.py",
    "/static/../../../../../../../../etc/passwd",
    "/static/%2e%2e/%2e%2e/%2e%2e/%2e%2e/%2e%2e/%2e%2e/etc/passwd",
]


@pytest.mark.parametrize("path", OUT)
def test_c1_c8_no_spelling_of_an_address_leads_out_of_a_mapping(
    edge: RunningEdge, home: Home, site: Upstream, path: str
) -> None:
    """Either no mapping fits, and the website gets it, or there is no such file; never what lies beside."""
    found = edge.get(ALICE, path)
    assert b"SECRET_KEY" not in found.body
    assert b"root:" not in found.body
    assert found.status in (400, 404) or found.body == b"the website"


def test_c1_the_file_beside_the_mapping_is_there_for_one_that_has_it(
    edge: RunningEdge, home: Home, site: Upstream
) -> None:
    """Control of the above: nothing but the address keeps it back."""
    edge.running(ALICE, site, static_files=mappings(home, ("/all", "site")))
    assert edge.get(ALICE, "/all/settings.py").body == b"SECRET_KEY"


LINKS = {
    "passwd": "/etc/passwd",
    "secret": "../../../bob/public/secret.txt",
    "bob": "../../../bob/public",
    "environ": "/proc/self/environ",
    "root": "/",
    "via": "secret",
    "maps": "/proc/self/maps",
}


def link_out(home: Home) -> list[str]:
    """Links in alice's mapping to what is not hers; returns the addresses that would show it."""
    home.run("; ".join(f"ln -sfn {target} site/static/{name}" for name, target in LINKS.items()))
    return [f"/static/{name}" for name in LINKS] + ["/static/bob/secret.txt", "/static/root/etc/passwd"]


def test_c2_a_link_to_what_is_another_users_or_the_systems_is_not_followed(
    edge: RunningEdge, home: Home, site: Upstream
) -> None:
    for path in link_out(home):
        found = edge.get(ALICE, path)
        assert (found.status, found.headers["hostel-error-code"]) == (403, "file_forbidden"), path
    home.run("ln -sfn style.css site/static/own.css; ln -sfn plain site/static/own")
    assert edge.get(ALICE, "/static/own.css").body == STYLE  # control: links to one's own are
    assert edge.get(ALICE, "/static/own/only.txt").body == b"only"


def test_c2_c3_c6_without_the_rule_about_links_they_are_followed() -> None:
    """Control: the same requests, nginx's disable_symlinks off."""
    with WeakenedEdge(("nginx.conf", "disable_symlinks if_not_owner", "disable_symlinks off; #")) as edge:
        home = furnish(edge)
        Home(edge, "bob", BOB_UID).write("public/secret.txt", b"BOB'S SECRET")
        link_out(home)
        home.run("ln -sfn ../bob/public pub")
        edge.publish(ALICE, RouteState.FAILED, static_files=mappings(home, ("/pub/", "pub")))
        assert edge.get(ALICE, "/static/passwd").body.startswith(b"root:")
        assert edge.get(ALICE, "/static/secret").body == b"BOB'S SECRET"
        assert edge.get(ALICE, "/pub/secret.txt").body == b"BOB'S SECRET"
        assert edge.get(ALICE, "/static/environ").status == 200


def test_c2_a_link_that_changes_while_it_is_read_leads_nowhere_either(
    edge: RunningEdge, home: Home, site: Upstream
) -> None:
    """A name that is now a file of one's own, now a link to another's: each answer is the one or a refusal."""
    home.write("site/static/flip", b"own")
    flip = (
        "import os\n"
        "os.symlink('../../../bob/public/secret.txt', 'site/static/l')\n"
        "while True:\n"
        "    os.rename('site/static/l', 'site/static/flip')\n"
        "    open('site/static/f', 'w').write('own'); os.rename('site/static/f', 'site/static/flip')\n"
        "    os.symlink('../../../bob/public/secret.txt', 'site/static/l')\n"
    )
    argv = ["setpriv", f"--reuid={ALICE_UID}", f"--regid={ALICE_UID}", "--clear-groups", sys.executable, "-c", flip]
    seen: set[bytes] = set()
    codes: set[int] = set()
    with subprocess.Popen(argv, cwd=home.path, umask=0o022) as racer:
        try:
            end = time.monotonic() + 2
            while time.monotonic() < end:
                with edge.connect() as connection:
                    asked = f"GET /static/flip HTTP/1.1\r\nHost: {ALICE}\r\n\r\n".encode()
                    last = f"GET /static/flip HTTP/1.1\r\nHost: {ALICE}\r\nConnection: close\r\n\r\n".encode()
                    connection.sendall(asked * 200 + last)
                    raw = read_to_end(connection)
                seen |= {word for word in (b"SECRET",) if word in raw}
                codes |= {int(line.split()[1]) for line in raw.split(b"\r\n") if line.startswith(b"HTTP/1.1 ")}
                codes |= {int(part[:3]) for part in raw.split(b"HTTP/1.1 ")[1:]}
        finally:
            racer.kill()
    assert seen == set()
    assert {200, 403} <= codes <= {200, 403, 404}


def test_c3_a_mapping_that_is_a_link_to_another_home_shows_nothing(
    edge: RunningEdge, home: Home, site: Upstream
) -> None:
    home.run("ln -sfn ../bob/public pub; ln -sfn site/static mine; ln -sfn /etc etc")
    edge.running(ALICE, site, static_files=mappings(home, ("/pub/", "pub"), ("/mine/", "mine"), ("/etc/", "etc")))
    assert edge.get(ALICE, "/pub/secret.txt").status == 403
    assert edge.get(ALICE, "/pub").status == 403
    assert edge.get(ALICE, "/etc/passwd").status == 403
    assert edge.get(ALICE, "/mine/style.css").body == STYLE  # control


def test_c6_what_is_no_file_is_not_served_and_keeps_nobody_waiting(
    edge: RunningEdge, home: Home, site: Upstream
) -> None:
    """A FIFO, a socket and devices; and a file that its owner holds a lease on, which a plain open() would wait for."""
    static = home.path / "site/static"
    home.run("mkfifo site/static/fifo; chmod 644 site/static/fifo")
    os.mknod(static / "zero", 0o666 | stat.S_IFCHR, os.makedev(1, 5))  # a user cannot; were it there nevertheless
    with socket.socket(socket.AF_UNIX) as server, leased(home.write("site/static/leased.txt", b"leased")):
        server.bind(str(static / "socket"))
        (static / "socket").chmod(0o666)
        for name in ("fifo", "zero", "socket", "leased.txt"):
            began = time.monotonic()
            found = edge.get(ALICE, f"/static/{name}")
            assert (found.status, found.headers["hostel-error-code"]) == (404, "no_such_file"), name
            assert time.monotonic() - began < 1
    assert edge.get(ALICE, "/static/leased.txt").body == b"leased"  # control


@contextlib.contextmanager
def leased(path: Path) -> Iterator[None]:
    """Python ignores the signal by which the kernel asks for the lease; it is kept until the file is closed."""
    before = signal.signal(signal.SIGIO, signal.SIG_IGN)
    try:
        with path.open("r+b") as file:
            fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_WRLCK)
            yield
    finally:
        signal.signal(signal.SIGIO, before)


def test_c7_names_that_begin_with_a_dot_are_not_served(edge: RunningEdge, home: Home, site: Upstream) -> None:
    for path in ("/static/.env", "/static/%2eenv", "/static/.git/config", "/static/%2Egit/config", "/static/sub/.x"):
        found = edge.get(ALICE, path)
        assert (found.status, found.headers["hostel-error-code"]) == (404, "no_such_file"), path
    edge.running(ALICE, site, static_files=mappings(home, ("/named", "site/static/.env")))
    assert edge.get(ALICE, "/named").body == b"SECRET_KEY"  # control: what the owner has named is wanted


def test_c10_a_page_cannot_change_its_type_by_its_content(edge: RunningEdge, home: Home, site: Upstream) -> None:
    home.write("site/static/picture.png", b"<script>alert(1)</script>")
    home.write("site/static/unknown.xyz", b"<script>alert(1)</script>")
    for name, kind in (("picture.png", "image/png"), ("unknown.xyz", "application/octet-stream")):
        found = edge.get(ALICE, f"/static/{name}")
        assert (found.headers["content-type"], found.headers["x-content-type-options"]) == (kind, "nosniff")


# -- what may not be read


@pytest.fixture
def told(edge: RunningEdge) -> Iterator[list[str]]:
    lines: list[str] = []

    async def note(request: Request, _reader: object, writer: object) -> None:
        lines.append(request.line)
        writer.write(answer("", status="202 Accepted"))  # type: ignore[attr-defined]

    agent = edge.agent(note)
    yield lines
    edge.loop.run(agent.stop())


def test_a_file_that_others_may_not_read_is_forbidden_and_the_agent_is_told_once(
    edge: RunningEdge, home: Home, site: Upstream, told: list[str]
) -> None:
    path = str(home.path / "site/static/private.txt").replace("/", "%2F")

    def is_told() -> bool:
        refused = edge.get(ALICE, "/static/private.txt")
        assert (refused.status, refused.headers["hostel-error-code"]) == (403, "file_forbidden")
        return bool(told)

    until(is_told, what="the agent hears of it: of one file a second")
    assert is_told()
    assert told == [f"POST /refused_file/{ALICE}?path={path} HTTP/1.1"]
    assert edge.get(ALICE, "/static/closed/x.txt").status == 403


def test_many_files_under_way_are_refused_and_those_that_end_give_their_place_back(
    edge: RunningEdge, home: Home, site: Upstream
) -> None:
    home.write("site/static/large.bin", b"\0" * (8 << 20))
    edge.running(ALICE, site, static_files=mappings(home), max_websockets=2)
    asked = f"GET /static/large.bin HTTP/1.1\r\nHost: {ALICE}\r\n\r\n".encode()
    with contextlib.ExitStack() as stack:
        slow = [stack.enter_context(edge.connect()) for _ in range(2)]
        for connection in slow:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.sendall(asked)
            assert connection.recv(12) == b"HTTP/1.1 200"
        refused = edge.get(ALICE, "/static/style.css")
        assert (refused.status, refused.headers["hostel-error-code"]) == (503, "too_many_files")
        assert edge.get(ALICE, "/").body == b"the website"
    until(lambda: edge.get(ALICE, "/static/style.css").status == 200, what="places are free again")


def test_files_that_shrink_while_they_are_sent_write_no_line(edge: RunningEdge, home: Home, site: Upstream) -> None:
    before = edge.errors()
    large = home.write("site/static/shrinking.bin", b"")
    os.truncate(large, 256 << 20)
    with edge.connect() as connection:
        connection.sendall(f"GET /static/shrinking.bin HTTP/1.1\r\nHost: {ALICE}\r\n\r\n".encode())
        assert connection.recv(12) == b"HTTP/1.1 200"
        os.truncate(large, 4096)
        assert len(read_to_end(connection)) < 256 << 20  # cut, never padded
    assert edge.errors() == before


def test_a_record_without_mappings_or_with_broken_ones(edge: RunningEdge, site: Upstream) -> None:
    edge.running(ALICE, site)
    assert edge.get(ALICE, "/static/style.css").body == b"the website"
    with pytest.raises(Exception, match="static_files"):
        edge.running(ALICE, site, static_files=(StaticMapping(url="static", path="/x/y"),))
