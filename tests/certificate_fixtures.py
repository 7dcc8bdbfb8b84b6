"""A DNS and a certificate authority of the tests' own, and a platform that asks them: Debian's pebble and its DNS."""

import contextlib
import http.server
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from edge_fixtures import make_certificate

from live import Platform, User, free_port, send_signal

START_DEADLINE_S = 20.0


class FakeDns:
    """pebble-challtestsrv: a real DNS server that says what it is told to."""

    def __init__(self) -> None:
        self.port, self.management = free_port(), free_port()
        listen = ("-dns01", f"127.0.0.1:{self.port}", "-management", f"127.0.0.1:{self.management}")
        others = ("-http01", "", "-https01", "", "-tlsalpn01", "", "-doh", "")
        self._process = subprocess.Popen(
            ["pebble-challtestsrv", *listen, *others[:6], "-defaultIPv6", "", "-defaultIPv4", "127.0.0.1"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_for_answer(f"http://127.0.0.1:{self.management}/")

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def tell(self, verb: str, **about: object) -> None:
        answer = httpx.post(f"http://127.0.0.1:{self.management}/{verb}", json=about, trust_env=False)
        assert answer.status_code == 200, answer.text

    def set_cname(self, name: str, target: str) -> None:
        self.tell("set-cname", host=f"{name}.", target=f"{target}.")

    def set_txt(self, name: str, value: str) -> None:
        self.tell("set-txt", host=f"{name}.", value=value)

    def set_addresses(self, name: str, *addresses: str) -> None:
        self.tell("add-a", host=f"{name}.", addresses=list(addresses))

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(10)


class Front:
    """What stands before Pebble's directory: renewal information (RFC 9773), which Debian's Pebble lacks, and the
    refusals of an authority that issues no more for now.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self.asked: list[str] = []  # certificates that were asked about
        self.due: set[str] = set()  # those that are to be renewed now
        self.is_limited = False
        self.may_answer = threading.Event()  # cleared: an authority that takes its time
        self.may_answer.set()
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, name="front of the authority")
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def answer(self, path: str) -> tuple[int, dict[str, object]]:
        if path == "/dir":
            self.may_answer.wait()
            with httpx.Client(verify=False, trust_env=False) as client:
                directory = client.get(self._url).json()
            order = {"newOrder": f"{self.url}/limited"} if self.is_limited else {}
            return 200, {**directory, "renewalInfo": f"{self.url}/renewal", **order}
        if path == "/limited":
            problem = "urn:ietf:params:acme:error:rateLimited"
            return 429, {"type": problem, "detail": "too many certificates already issued", "status": 429}
        name = path.rpartition("/")[2]
        self.asked.append(name)
        begin = datetime.now(UTC) + (timedelta(minutes=-5) if name in self.due else timedelta(days=30))
        window = {"start": begin.isoformat(), "end": (begin + timedelta(minutes=1)).isoformat()}
        return 200, {"suggestedWindow": window}

    def _handler(front) -> type[http.server.BaseHTTPRequestHandler]:  # noqa: N805
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length", "0")))
                try:
                    status, said = front.answer(self.path)
                except httpx.HTTPError:  # Pebble is stopped
                    status, said = 502, {}
                body = json.dumps(said).encode()
                self.send_response(status)
                kind = "application/problem+json" if status == 429 else "application/json"
                for name, value in (("Content-Type", kind), ("Content-Length", str(len(body))), ("Retry-After", "1")):
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            do_POST = do_GET  # noqa: N815

            def log_message(self, *_: object) -> None: ...

        return Handler


def wait_for_answer(url: str) -> None:
    """Until something answers there, whatever it says."""
    give_up = time.monotonic() + START_DEADLINE_S
    while True:
        with contextlib.suppress(httpx.TransportError), httpx.Client(verify=False, trust_env=False) as client:
            client.get(url)
            return
        assert time.monotonic() < give_up, f"nothing answers at {url}"
        time.sleep(0.02)


class Pebble:
    """A real ACME server, which asks `dns` where a name is, and looks there on `http_port`.

    It refuses every third nonce.
    """

    def __init__(self, dns: FakeDns, *, http_port: int) -> None:
        self._directory = Path(tempfile.mkdtemp(prefix="hostel-pebble-"))
        make_certificate(self._directory, "pebble", "localhost")
        self.ca_file = self._directory / "pebble.pem"
        self.port, self._management = free_port(), free_port()
        self._dns = dns
        configuration = {
            "listenAddress": f"127.0.0.1:{self.port}",
            "managementListenAddress": f"127.0.0.1:{self._management}",
            "certificate": str(self.ca_file),
            "privateKey": str(self._directory / "pebble.key"),
            "httpPort": http_port,
            "tlsPort": 1,
        }
        self._configuration = self._directory / "pebble.json"
        self._configuration.write_text(json.dumps({"pebble": configuration}))
        self._process: subprocess.Popen[bytes] | None = None
        self.front = Front(self.url)

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}/dir"

    def settings(self) -> str:
        return f'[certificates]\nacme_directory = "{self.front.url}/dir"\nacme_ca_file = "{self.ca_file}"\n'

    def start(self, **environment: str) -> None:
        faults = {"PEBBLE_WFE_NONCEREJECT": "33", "PEBBLE_VA_NOSLEEP": "1"}
        self._process = subprocess.Popen(
            ["pebble", "-config", str(self._configuration), "-dnsserver", self._dns.address, "-strict"],
            env={**os.environ, **faults, **environment},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_for_answer(self.url)

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(10)
            self._process = None

    def root(self) -> str:
        """The certificate that all it issues leads to; another one after each start."""
        with httpx.Client(verify=False, trust_env=False) as client:
            return client.get(f"https://localhost:{self._management}/roots/0").text

    def close(self) -> None:
        self.stop()
        self.front.close()
        shutil.rmtree(self._directory)


@pytest.fixture(scope="session")
def fake_dns() -> Iterator[FakeDns]:
    dns = FakeDns()
    yield dns
    dns.close()


@pytest.fixture(scope="session")
def authorities(no_leftovers: None, fake_dns: FakeDns) -> Iterator[tuple[Platform, Pebble]]:
    """A platform that asks `fake_dns`, and an authority that it obtains certificates from."""
    platform = Platform()
    pebble = Pebble(fake_dns, http_port=platform.http_port)
    platform.add_settings(f'[domains]\nresolvers = ["{fake_dns.address}"]\n{pebble.settings()}')
    try:
        pebble.start()
        platform.up()
        yield platform, pebble
    finally:
        platform.remove()
        pebble.close()


@pytest.fixture(scope="session")
def certified(authorities: tuple[Platform, Pebble]) -> Platform:
    return authorities[0]


@pytest.fixture(scope="session")
def pebble(authorities: tuple[Platform, Pebble]) -> Pebble:
    return authorities[1]


@pytest.fixture(scope="session")
def dora(certified: Platform) -> User:
    return certified.add_user_with_server("dora")


@pytest.fixture(scope="session")
def emil(certified: Platform) -> User:
    return certified.add_user_with_server("emil")


def give_domain(platform: Platform, user: User, dns: FakeDns, name: str, *, label: str) -> str:
    """A domain of the website `label`, proven; returns the path of its certificate in the API."""
    domains = f"websites/{label}.{platform.domain}/domains/"
    with platform.api(user) as api:
        added = api.post(domains, json={"domain_name": name})
        assert added.status_code == 201, added.text
        dns.set_txt(f"_hostel.{name}", added.json()["records"][1]["value"])
        assert api.post(f"{domains}{name}/check/").status_code == 200
    return f"domains/{name}/ssl/"


def served_certificate(platform: Platform, name: str) -> x509.Certificate:
    """What a browser gets that asks for `name`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    address = ("127.0.0.1", platform.https_port)
    with (
        socket.create_connection(address, timeout=10) as plain,
        context.wrap_socket(plain, server_hostname=name) as tls,
    ):
        der = tls.getpeercert(binary_form=True)
    assert der
    return x509.load_der_x509_certificate(der)


def is_trusted(platform: Platform, name: str, root: str) -> bool:
    """Whether a browser that knows `root` believes that it talks to `name`."""
    context = ssl.create_default_context(cadata=root)
    address = ("127.0.0.1", platform.https_port)
    with socket.create_connection(address, timeout=10) as plain:
        try:
            context.wrap_socket(plain, server_hostname=name).close()
        except ssl.SSLError:
            return False
    return True


def kill_agent(platform: Platform) -> None:
    """And wait for the next one."""
    before = platform.part_pid("agent")
    send_signal(before, signal.SIGKILL)
    give_up = time.monotonic() + 30
    while platform.part_pid("agent") in (0, before) or not agent_answers(platform):
        assert time.monotonic() < give_up, "no agent came back"
        time.sleep(0.05)


def agent_answers(platform: Platform) -> bool:
    with socket.socket(socket.AF_UNIX) as client, contextlib.suppress(OSError):
        client.connect(str(platform.paths.agent_for_root / "agent.sock"))
        client.sendall(b"GET /health HTTP/1.0\r\n\r\n")
        return client.recv(64).startswith(b"HTTP/1.1 200")
    return False
