"""A real edge in a temporary root, small real upstreams on unix sockets, and raw clients, for tests of the edge."""

import asyncio
import contextlib
import datetime
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self, TypeVar

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from hostel.edge.__main__ import prepare
from hostel.edge.publish import Edge, EdgeStatus
from hostel.wire.config import render_config
from hostel.wire.errors import EdgeUnreachable
from hostel.wire.paths import Paths
from hostel.wire.route import RouteRecord, RouteState
from hostel.wire.website import RunId
from live import free_port
from waiting import until

DOMAIN = "hostel.test"
T = TypeVar("T")
Handler = Callable[["Request", asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def unsuspecting() -> ssl.SSLContext:
    """For clients that take any certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def make_certificate(directory: Path, name: str, *host_names: str) -> None:
    """Write a self-signed `<name>.pem` and `<name>.key`."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host_names[0])])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=2))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host) for host in host_names]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (directory / f"{name}.pem").write_bytes(certificate.public_bytes(pem))
    key_text = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (directory / f"{name}.key").write_bytes(key_text)
    (directory / f"{name}.key").chmod(0o600)


class Loop:
    """An event loop in a thread of its own, where the upstreams run while a test blocks."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, name="upstreams")
        self._thread.start()

    def run(self, coroutine: Coroutine[Any, Any, T], *, deadline_s: float = 20.0) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(deadline_s)

    def close(self) -> None:
        self.run(self._cancel_all())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()

    async def _cancel_all(self) -> None:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    line: str
    headers: dict[str, str]  # names in lower case
    body: bytes
    lines: tuple[str, ...] = ()  # of the headers, as they came


@dataclass(slots=True)
class Upstream:
    """An HTTP/1.1 server on a unix socket that keeps every request it got. `handler` answers."""

    path: Path
    handler: Handler
    requests: list[Request] = field(default_factory=list)
    server: asyncio.Server | None = None
    writers: set[asyncio.StreamWriter] = field(default_factory=set)

    async def start(self) -> Self:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.parent.chmod(0o755)
        self.path.unlink(missing_ok=True)
        self.server = await asyncio.start_unix_server(self._serve, str(self.path), backlog=1024)
        self.path.chmod(0o666)
        return self

    async def stop(self) -> None:
        """Stop listening and cut every connection."""
        if self.server is not None:
            # A connection that is just being accepted must find the server open: asyncio leaves it half made otherwise.
            for listener in self.server.sockets:
                asyncio.get_running_loop().remove_reader(listener.fileno())
            await asyncio.sleep(0)
            self.server.close()
            self.server = None
        for writer in list(self.writers):
            writer.transport.abort()
        await asyncio.sleep(0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.add(writer)
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
                while True:
                    request = await self._read(reader)
                    self.requests.append(request)
                    await self.handler(request, reader, writer)
                    await writer.drain()
        finally:
            self.writers.discard(writer)
            writer.transport.abort()

    async def _read(self, reader: asyncio.StreamReader) -> Request:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        line, *lines = head.removesuffix("\r\n\r\n").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (text.partition(":") for text in lines)}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        return Request(line=line, headers=headers, body=body, lines=tuple(lines))


def answer(text: str, *extra: str, status: str = "200 OK") -> bytes:
    body = text.encode()
    return "\r\n".join([f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *extra, "", ""]).encode() + body


def replying(reply: bytes) -> Handler:
    """Send `reply` to every request, byte for byte."""

    async def handle(_request: Request, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(reply)

    return handle


async def say_length(request: Request, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(answer(f"{len(request.body)}"))


@dataclass(frozen=True, slots=True)
class Response:
    status: int
    headers: dict[str, str]
    body: bytes


def parse_response(raw: bytes) -> Response:
    head, _, body = raw.partition(b"\r\n\r\n")
    status_line, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (text.partition(":") for text in lines)}
    return Response(int(status_line.split()[1]), headers, body)


def read_to_end(connection: socket.socket, *, deadline_s: float = 20.0) -> bytes:
    parts = []
    give_up = time.monotonic() + deadline_s
    with contextlib.suppress(ConnectionResetError, ssl.SSLEOFError):
        while part := connection.recv(65536):
            parts.append(part)
            assert time.monotonic() < give_up, "the response trickles in"
    return b"".join(parts)


def read_until(connection: socket.socket, end: bytes) -> bytes:
    read = b""
    while end not in read:
        part = connection.recv(65536)
        assert part, f"closed before {end!r} came: {read!r}"
        read += part
    return read


class RunningEdge:
    """`python -m hostel.edge` in a root of its own."""

    def __init__(self, *, settings: dict[str, str] | None = None) -> None:
        """`settings` replaces lines of hostel.toml."""
        self.root = Path(tempfile.mkdtemp(prefix="edge-", dir="/tmp"))
        self.root.chmod(0o755)  # nginx's workers are not root
        self.paths = Paths(self.root)
        self.http_port, self.https_port = free_port(), free_port()
        self.loop = Loop()
        self.serial = 0
        self.upstreams: list[Upstream] = []
        self.process: subprocess.Popen[bytes] | None = None
        self._settings = {'["0.0.0.0", "::"]': '["127.0.0.1"]'} | (settings or {})
        self._prepare()

    def _prepare(self) -> None:
        self.paths.config_file.parent.mkdir(parents=True)
        text = render_config(domain=DOMAIN, http_port=self.http_port, https_port=self.https_port, environment={})
        for old, new in self._settings.items():
            assert old in text
            text = text.replace(old, new)
        self.paths.config_file.write_text(text)
        self.paths.certificates.mkdir(parents=True)
        make_certificate(self.paths.certificates, "sites", DOMAIN, f"*.{DOMAIN}")
        for directory in (self.paths.agent_for_edge, self.paths.site_logs / "alice"):
            directory.mkdir(parents=True)
        shutil.chown(self.paths.site_logs / "alice", group="www-data")
        (self.paths.site_logs / "alice").chmod(0o775)

    # -- the process

    def start(self) -> Self:
        try:
            with (self.root / "stderr").open("wb") as stderr:
                self.process = subprocess.Popen(self._command(), stderr=stderr)
            until(self._is_up, what="nginx answers on its control socket")
        except BaseException:
            self.close()
            raise
        return self

    def _command(self) -> list[str]:
        return [sys.executable, "-m", "hostel.edge", "--root", str(self.root)]

    def _is_up(self) -> EdgeStatus | None:
        assert self.process is not None
        if self.process.poll() is not None:
            raise AssertionError((self.root / "stderr").read_text())
        with contextlib.suppress(EdgeUnreachable):
            return self.status()
        return None

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(10)
        self.process = None

    def close(self) -> None:
        self.stop()
        for upstream in self.upstreams:
            self.loop.run(upstream.stop())
        self.loop.close()
        shutil.rmtree(self.root)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def worker_pids(self) -> list[int]:
        assert self.process is not None
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return [int(pid) for pid in children.split()]

    # -- the agent's side

    def call(self, deed: Callable[[Edge], Coroutine[Any, Any, T]]) -> T:
        async def call() -> T:
            async with Edge(self.paths) as edge:
                return await deed(edge)

        return asyncio.run(call())

    def status(self, domain: str | None = None) -> EdgeStatus:
        return self.call(lambda edge: edge.status(domain))

    def bound(self, run: str) -> tuple[int, int]:
        bound = self.call(lambda edge: edge.bound(RunId(run)))
        return bound.plain, bound.streaming

    def wait_unbound(self, run: str) -> None:
        """nginx uncounts a request after it has sent the last byte of the answer."""
        until(lambda: self.bound(run) == (0, 0), what=f"{run} is bound to nothing")

    def record(self, domain: str, state: RouteState, **fields: Any) -> RouteRecord:
        self.serial += 1
        access_log = self.paths.site_logs / "alice" / f"{domain}.access.log"
        known: dict[str, Any] = {
            "domain": domain,
            "serial": self.serial,
            "state": state,
            "host": f"{domain}:{self.http_port}",
            "https_host": f"{domain}:{self.https_port}",
            "access_log": str(access_log),
        }
        return RouteRecord(**(known | fields))

    def publish(self, domain: str, state: RouteState, **fields: Any) -> RouteRecord:
        record = self.record(domain, state, **fields)
        self.call(lambda edge: edge.publish(record))
        return record

    def running(self, domain: str, upstream: Upstream, **fields: Any) -> RouteRecord:
        """Publish that `upstream` is the run of `domain`."""
        fields.setdefault("run", upstream.path.parent.name)
        return self.publish(domain, RouteState.RUNNING, endpoint=f"unix:{upstream.path}", **fields)

    def upstream(self, run: str, handler: Handler) -> Upstream:
        return self._listen(Upstream(self.paths.sockets / "1" / run / "app.sock", handler))

    def agent(self, handler: Handler) -> Upstream:
        """What listens where the agent takes wakes."""
        return self._listen(Upstream(self.paths.agent_for_edge / "agent.sock", handler))

    def _listen(self, upstream: Upstream) -> Upstream:
        self.upstreams.append(upstream)
        return self.loop.run(upstream.start())

    # -- visitors

    def connect(self, *, tls: str | None = None, alpn: str | None = None, source: str = "127.0.0.1") -> socket.socket:
        port = self.https_port if tls is not None else self.http_port
        connection = socket.create_connection(("127.0.0.1", port), timeout=10, source_address=(source, 0))
        if tls is None:
            return connection
        context = unsuspecting()
        if alpn:
            context.set_alpn_protocols([alpn])
        return context.wrap_socket(connection, server_hostname=tls or None)

    def raw(self, data: bytes, *, tls: str | None = None, until: bytes | None = None) -> bytes:
        """Send `data` on a connection of its own; returns all bytes until the edge closes it, or until `until`."""
        with self.connect(tls=tls) as connection:
            connection.sendall(data)
            return read_until(connection, until) if until else read_to_end(connection)

    def get(self, host: str, path: str = "/", *extra: str, tls: str | None = None) -> Response:
        return self.send("GET", host, path, *extra, tls=tls)

    def send(
        self, method: str, host: str, path: str, *extra: str, body: bytes = b"", tls: str | None = None
    ) -> Response:
        lines = [f"{method} {path} HTTP/1.1", f"Host: {host}", "Connection: close", *extra]
        if body or method == "POST":
            lines.append(f"Content-Length: {len(body)}")
        return parse_response(self.raw("\r\n".join([*lines, "", ""]).encode("latin-1") + body, tls=tls))

    def log_lines(self, domain: str) -> list[str]:
        path = self.paths.site_logs / "alice" / f"{domain}.access.log"
        return path.read_text().splitlines() if path.exists() else []

    def errors(self) -> str:
        return (self.paths.log / "edge.error.log").read_text()


class WeakenedEdge(RunningEdge):
    """An edge with one defence off, to show that a probe which fails elsewhere would succeed without it.

    `changes`: a file below the edge's directory, text that stands in it, and what is put in its place.
    """

    def __init__(self, *changes: tuple[str, str, str], settings: dict[str, str] | None = None) -> None:
        super().__init__(settings=settings)
        self._changes = changes

    def _command(self) -> list[str]:
        command = prepare(self.paths)
        for name, old, new in self._changes:
            file = self.paths.edge / name
            text = file.read_text()
            assert old in text, f"{name} has no {old!r}"
            file.write_text(text.replace(old, new))
        return command


HEARD = replying(answer("{}", status="202 Accepted"))  # what the agent says to a wake


@pytest.fixture(scope="module")
def edge() -> Iterator[RunningEdge]:
    with RunningEdge() as edge:
        yield edge


@pytest.fixture
def agent(edge: RunningEdge) -> Iterator[Upstream]:
    """Hears wakes and does nothing; the test publishes."""
    agent = edge.agent(HEARD)
    yield agent
    edge.loop.run(agent.stop())


def wakes(agent: Upstream, domain: str) -> int:
    """How many it has heard."""
    return [request.line for request in agent.requests].count(f"POST /wake/{domain} HTTP/1.1")


@contextlib.contextmanager
def in_background(deed: Callable[[], T]) -> Iterator[Callable[[], T]]:
    """Run `deed` in a thread; yields a function that waits for its result."""
    results: list[T] = []
    faults: list[BaseException] = []

    def work() -> None:
        try:
            results.append(deed())
        except BaseException as fault:
            faults.append(fault)

    thread = threading.Thread(target=work)
    thread.start()

    def result() -> T:
        thread.join(20)
        assert not thread.is_alive(), "the request does not end"
        if faults:
            raise faults[0]
        return results[0]

    try:
        yield result
    finally:
        thread.join(20)
