"""The certificate of the sites domain: a wildcard by DNS-01 from a real ACME server, or the operator's files."""

import asyncio
import base64
import contextlib
import shutil
import socketserver
import struct
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dns.message
import dns.opcode
import dns.rcode
import dns.tsig
import dns.update
import pytest
from cryptography import x509
from edge_fixtures import make_certificate

from certificate_fixtures import FakeDns, Pebble
from hostel.agent.acme import Authority
from hostel.agent.certificates import ensure_certificates
from hostel.agent.dns_challenges import answer_by_dns
from hostel.agent.sites_certificate import SitesCertificate
from hostel.agent.upload import dns_names
from hostel.edge.publish import Edge
from hostel.wire.config import SITES_ACME, SITES_FILES, CertificatesConfig, Config, SitesConfig
from hostel.wire.paths import Paths

DOMAIN = "sites.example"
SECRET = base64.b64encode(b"0123456789abcdef0123456789abcdef").decode()
KEY_FILE = f'key "hostel-key" {{\n\talgorithm hmac-sha256;\n\tsecret "{SECRET}";\n}};\n'
INSTALLATION = "1a2b3c4d"


class Primary:
    """A DNS server that takes signed updates of one zone, and hands their TXT records on to `dns`."""

    def __init__(self, fake: FakeDns) -> None:
        self.updates = 0
        keyring = {dns.name.from_text("hostel-key"): dns.tsig.Key("hostel-key", SECRET, "hmac-sha256")}
        primary = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                (length,) = struct.unpack("!H", self.rfile.read(2))
                wire = self.rfile.read(length)
                try:
                    update = dns.message.from_wire(wire, keyring=keyring)
                    code = dns.rcode.NOERROR if update.had_tsig else dns.rcode.REFUSED
                except dns.exception.DNSException:
                    return  # a signature that is wrong gets no answer
                if code == dns.rcode.NOERROR and isinstance(update, dns.update.UpdateMessage):
                    primary.take(update, fake)
                response = dns.message.make_response(update)
                response.set_rcode(code)
                answer = response.to_wire()
                self.wfile.write(struct.pack("!H", len(answer)) + answer)

        self.server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, name="primary DNS server")
        self.thread.start()

    def take(self, update: dns.update.UpdateMessage, fake: FakeDns) -> None:
        zone = update.zone[0].name
        for changed in update.update:
            name = changed.name.derelativize(zone).to_text()
            self.updates += 1
            if changed.deleting:
                fake.tell("clear-txt", host=name)
            else:
                for record in changed:
                    fake.tell("set-txt", host=name, value=record.strings[0].decode())

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server.server_address[1]}"

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def primary(fake_dns: FakeDns) -> Iterator[Primary]:
    primary = Primary(fake_dns)
    yield primary
    primary.close()


@pytest.fixture(scope="module")
def lone_pebble(fake_dns: FakeDns) -> Iterator[Pebble]:
    pebble = Pebble(fake_dns, http_port=1)
    with contextlib.closing(pebble):
        pebble.start()
        yield pebble


def config(**certificates: object) -> Config:
    wanted = CertificatesConfig(dns_wait_s=0, **certificates)  # type: ignore[arg-type]
    return Config(sites=SitesConfig(domain=DOMAIN), certificates=wanted)


def look(directory: Path, config: Config, pebble: Pebble | None = None) -> datetime:
    """One look; no edge listens, which is as good as one that has heard."""
    now = datetime.now(UTC)
    ensure_certificates(directory, config, installation=INSTALLATION, now=now)
    authority = answer = None
    if pebble is not None:
        authority = Authority(pebble.url, account_file=directory / "acme-account.json", ca_file=str(pebble.ca_file))
        answer = answer_by_dns(config.certificates, sites_domain=DOMAIN)

    async def refresh() -> datetime:
        async with Edge(Paths(directory.parent)) as edge:
            sites = SitesCertificate(directory, config, edge, installation=INSTALLATION)
            return await sites.refresh(authority, answer, now=now)

    return asyncio.run(refresh())


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Where `Paths` has it."""
    directory = Paths(tmp_path).certificates
    directory.mkdir(parents=True)
    return directory


def load(directory: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate((directory / "sites.pem").read_bytes())


def names_of(certificate: x509.Certificate) -> set[str]:
    return set(dns_names(certificate))


def test_a_wildcard_is_obtained_by_signed_updates(
    directory: Path, tmp_path: Path, lone_pebble: Pebble, primary: Primary
) -> None:
    key_file = tmp_path / "key"
    key_file.write_text(KEY_FILE)
    wanted = config(
        sites=SITES_ACME, acme_directory=lone_pebble.url, dns_server=primary.address, dns_key_file=str(key_file)
    )
    look(directory, wanted, lone_pebble)
    obtained = load(directory)
    assert "Pebble" in obtained.issuer.rfc4514_string()
    assert names_of(obtained) == {DOMAIN, f"*.{DOMAIN}"}
    assert primary.updates >= 2
    assert (directory / "sites.key").stat().st_mode & 0o777 == 0o600
    look(directory, wanted, lone_pebble)
    assert load(directory) == obtained, "it is not due"


def test_a_refused_update_leaves_what_was_served(
    directory: Path, tmp_path: Path, lone_pebble: Pebble, primary: Primary
) -> None:
    key_file = tmp_path / "key"
    key_file.write_text(KEY_FILE.replace(SECRET, base64.b64encode(b"another secret").decode()))
    wanted = config(
        sites=SITES_ACME, acme_directory=lone_pebble.url, dns_server=primary.address, dns_key_file=str(key_file)
    )
    before = datetime.now(UTC)
    again_at = look(directory, wanted, lone_pebble)
    assert "own authority" in load(directory).issuer.rfc4514_string()
    assert before + timedelta(minutes=5) < again_at <= before + timedelta(hours=1, minutes=1)
    assert primary.updates == 0


def test_a_program_of_the_operators_does_as_well(
    directory: Path, tmp_path: Path, lone_pebble: Pebble, fake_dns: FakeDns
) -> None:
    hook = tmp_path / "hook"
    url = f"http://127.0.0.1:{fake_dns.management}"
    python = shutil.which("python3")
    hook.write_text(
        f"#!{python}\nimport json, sys, urllib.request\ndeed, name, text = sys.argv[1:]\n"
        f"verb = 'set-txt' if deed == 'add' else 'clear-txt'\n"
        f"about = json.dumps({{'host': name + '.', 'value': text}}).encode()\n"
        f"urllib.request.urlopen('{url}/' + verb, data=about)\nopen('{tmp_path}/calls', 'a').write(deed + chr(10))\n"
    )
    hook.chmod(0o755)
    wanted = config(sites=SITES_ACME, acme_directory=lone_pebble.url, dns_hook=str(hook))
    look(directory, wanted, lone_pebble)
    assert names_of(load(directory)) == {DOMAIN, f"*.{DOMAIN}"}
    calls = (tmp_path / "calls").read_text().split()
    assert sorted(set(calls)) == ["add", "remove"]
    assert calls.count("add") == calls.count("remove")


def test_files_of_the_operators_are_served_if_they_can_be(directory: Path, tmp_path: Path) -> None:
    wanted = config(
        sites=SITES_FILES, sites_chain_file=str(tmp_path / "good.pem"), sites_key_file=str(tmp_path / "good.key")
    )
    make_certificate(tmp_path, "good", DOMAIN, f"*.{DOMAIN}")
    look(directory, wanted)
    good = (tmp_path / "good.pem").read_bytes()
    assert (directory / "sites.pem").read_bytes() == good
    make_certificate(tmp_path, "good", DOMAIN)
    look(directory, wanted)
    assert (directory / "sites.pem").read_bytes() == good, "no wildcard: not taken"
    (tmp_path / "good.pem").unlink()
    look(directory, wanted)
    assert (directory / "sites.pem").read_bytes() == good
