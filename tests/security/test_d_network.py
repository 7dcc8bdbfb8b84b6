"""D11 to D13: what a tenant's network reaches, and what not."""

import json
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from hostel.agent.installation import Installation
from hostel.agent.tenant import read_record
from hostel.wire.codec import parse
from live import Platform, User, answering, free_port
from outside import FAR, PRIVATE, outside
from sandboxed import in_namespaces_without, prepared, python

# Tries each address:port and says what came of it.
CONNECT = """
import errno, json, socket, sys
def connect(target):
    address, port = target.rsplit(":", 1)
    try:
        socket.create_connection((address, int(port)), 5).close()
    except TimeoutError:
        return "timeout"
    except OSError as error:
        return errno.errorcode[error.errno]
    return "connected"
print(json.dumps({target: connect(target) for target in sys.argv[1:]}))
"""


def connect(platform: Platform, user: User, *targets: str) -> dict[str, str]:
    return dict(json.loads(python(platform, user, CONNECT, *targets)))


@pytest.fixture(scope="module")
def network_outside() -> Iterator[None]:
    with outside():
        yield


@pytest.fixture(scope="module")
def installation(platform: Platform) -> Installation:
    return parse(Installation, json.loads(platform.paths.installation_file.read_bytes()))


@contextmanager
def rule_first(installation: Installation, chain: str, rule: str) -> Iterator[None]:
    """A rule before all others of a chain: the defence is off meanwhile."""
    table = ("inet", f"hostel_{installation.id}", chain)
    add = ["nft", "--echo", "--handle", "insert", "rule", *table, *rule.split()]
    shown = subprocess.run(add, capture_output=True, text=True, check=True).stdout
    handle = shown.rsplit("# handle ", 1)[1].strip()
    try:
        yield
    finally:
        subprocess.run(["nft", "delete", "rule", *table, "handle", handle], check=True)


ABSTRACT = "import socket; socket.socket(socket.AF_UNIX).connect(chr(0) + 'hostel-test-bus'); print('reached')"


def test_d11_abstract_sockets_of_others_are_out_of_reach(platform: Platform, alice: User) -> None:
    with socket.socket(socket.AF_UNIX) as bus:
        bus.bind("\0hostel-test-bus")
        bus.listen()
        with prepared(platform, alice, ("/usr/bin/python3", "-c", ABSTRACT)) as (argv, _):
            tried = subprocess.run(argv, capture_output=True, text=True, check=False)
        assert "ConnectionRefusedError" in tried.stderr
        shared = python(platform, alice, ABSTRACT, change=in_namespaces_without("network"))
    assert shared == "reached\n"


def test_d12_the_machines_own_ports_refuse_but_for_the_edges(
    platform: Platform, alice: User, installation: Installation
) -> None:
    with socket.create_server(("0.0.0.0", free_port())) as server:
        port = server.getsockname()[1]
        addresses = {installation.gateway, *subprocess.check_output(["hostname", "-I"], text=True).split()}
        own = [f"{address}:{port}" for address in addresses if ":" not in address]
        edge = f"{installation.gateway}:{platform.https_port}"
        refused = connect(platform, alice, f"127.0.0.1:{port}", *own, edge)
        assert refused.pop(edge) == "connected"
        assert set(refused.values()) == {"ECONNREFUSED"}
        with rule_first(installation, "input", "accept"):
            reached = connect(platform, alice, f"{installation.gateway}:{port}")
        assert set(reached.values()) == {"connected"}
        shared = python(platform, alice, CONNECT, f"127.0.0.1:{port}", change=in_namespaces_without("network"))
        assert json.loads(shared) == {f"127.0.0.1:{port}": "connected"}


@pytest.mark.usefixtures("network_outside")
def test_d12_private_networks_and_link_local_refuse(
    platform: Platform, alice: User, installation: Installation
) -> None:
    private = [f"{address}:8080" for address in PRIVATE]
    shown = connect(platform, alice, f"{FAR}:8080", *private)
    assert shown.pop(f"{FAR}:8080") == "connected"
    assert set(shown.values()) == {"ECONNREFUSED"}
    with rule_first(installation, "from_tenant", "accept"):
        assert set(connect(platform, alice, *private).values()) == {"connected"}


def test_d12_another_tenants_ports_refuse(
    platform: Platform, alice: User, bob: User, installation: Installation
) -> None:
    """Of a site that runs. A site's own connections to itself go on."""
    serve = "python3 -m http.server 8000 >/dev/null 2>&1 & exec python3 answer.py"
    platform.create(alice, "alice", serve)
    record = read_record(platform.paths.tenants / "alice.json")
    target = f"{installation.address(record.number)}:8000"
    assert connect(platform, alice, target) == {target: "connected"}
    assert connect(platform, bob, target) == {target: "ECONNREFUSED"}
    with rule_first(installation, "forward", "accept"):
        assert connect(platform, bob, target) == {target: "connected"}
    platform.delete(alice, "alice")


@pytest.mark.usefixtures("network_outside")
def test_d13_mail_to_port_25_is_refused(platform: Platform, alice: User, installation: Installation) -> None:
    assert connect(platform, alice, f"{FAR}:25", f"{FAR}:8080") == {
        f"{FAR}:25": "ECONNREFUSED",
        f"{FAR}:8080": "connected",
    }
    with rule_first(installation, "from_tenant", "accept"):
        assert connect(platform, alice, f"{FAR}:25") == {f"{FAR}:25": "connected"}


# Opens connections and keeps them; then, with those open, asks for more, slower than the rate allows; then closes half.
HOARD = """
import socket, sys, time
target, wanted = (sys.argv[1], 8080), int(sys.argv[2])
def one(): return socket.create_connection(target, 5)
kept = []
for _ in range(wanted):
    try: kept.append(one())
    except ConnectionRefusedError: pass
time.sleep(1.2)
try: kept.append(one()); more = "connected"
except ConnectionRefusedError: more = "refused"
for each in kept[::2]: each.close()
time.sleep(0.2)
one()
print(len(kept), more)
"""


@pytest.fixture(scope="module")
def modest(platform: Platform, bob: User) -> Iterator[int]:
    """Bob may have 24 connections meanwhile."""
    platform.hostel("user", "limits", "bob", "connections=24")
    yield 24
    platform.hostel("user", "limits", "bob", "connections=default")


@pytest.mark.usefixtures("network_outside")
def test_d13_a_tenant_opens_no_more_connections_than_its_plan_has(
    platform: Platform, alice: User, bob: User, modest: int
) -> None:
    """The control is alice, with the usual plan."""
    assert python(platform, bob, HOARD, FAR, "60").split() == [str(modest), "refused"]
    assert python(platform, alice, HOARD, FAR, "60").split() == ["61", "connected"]


CHURN = """
import socket, sys
refused = 0
for _ in range(int(sys.argv[2])):
    try: socket.create_connection((sys.argv[1], 8080), 5).close()
    except ConnectionRefusedError: refused += 1
print(refused)
"""


@pytest.mark.usefixtures("network_outside")
def test_d13_a_tenant_that_opens_and_closes_without_end_is_slowed(
    platform: Platform, alice: User, bob: User, modest: int
) -> None:
    """Closed connections stay in the kernel's table, which all tenants share."""
    assert int(python(platform, bob, CHURN, FAR, "200")) > 150
    assert int(python(platform, alice, CHURN, FAR, "200")) == 0


@pytest.mark.usefixtures("network_outside")
def test_d13_the_sites_of_a_tenant_at_its_limit_go_on(platform: Platform, bob: User, modest: int) -> None:
    """What visitors send comes over a unix socket."""
    platform.create(bob, "bob", answering())
    assert int(python(platform, bob, CHURN, FAR, "60")) > 0
    assert platform.get("bob").status_code == 200
    platform.delete(bob, "bob")
