"""The edge as a process: start, refusals to start, restarts, crashes, and records on disk that are wrong."""

import asyncio
import dataclasses
import json
import os
import signal
import socket
import ssl
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
from edge_fixtures import DOMAIN, RunningEdge, answer, make_certificate, read_to_end, replying, unsuspecting

from hostel.agent.publication import Publication
from hostel.edge import configure
from hostel.edge.configure import Machine
from hostel.edge.errors import BadNginxConfiguration, EdgeCannotStart, MissingPrerequisite, NoCertificate, PortInUse
from hostel.edge.ports import check_port, find_holder
from hostel.edge.publish import SERIALS_AT_ONCE, Edge
from hostel.edge.workers import worker_group
from hostel.wire.codec import to_jsonable
from hostel.wire.config import read_config
from hostel.wire.errors import ConfigError, EdgeUnreachable
from hostel.wire.paths import Paths
from hostel.wire.route import RouteState
from hostel.wire.website import RunId
from waiting import until

ALICE = f"alice.{DOMAIN}"


@pytest.fixture
def stopped() -> Iterator[RunningEdge]:
    edge = RunningEdge()
    yield edge
    edge.close()


@pytest.fixture
def edge(stopped: RunningEdge) -> RunningEdge:
    return stopped.start()


def refusal(edge: RunningEdge) -> str:
    """What `python -m hostel.edge` says when it refuses to start."""
    command = [sys.executable, "-m", "hostel.edge", "--root", str(edge.root)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    assert result.returncode == 78
    assert "Traceback" not in result.stderr
    return result.stderr


def test_this_pid_becomes_the_master_of_nginx(edge: RunningEdge) -> None:
    assert edge.process is not None
    pid = edge.process.pid
    with open(f"/proc/{pid}/cmdline") as file:
        assert file.read().startswith(f"nginx: master process /usr/sbin/nginx -c {edge.paths.edge}/nginx.conf")
    assert (edge.paths.edge / "nginx.pid").read_text().strip() == str(pid)
    for worker in edge.worker_pids():
        assert os.stat(f"/proc/{worker}").st_uid != 0


def test_only_root_reaches_the_control_socket_and_the_keys(edge: RunningEdge) -> None:
    assert stat.S_IMODE(edge.paths.edge_socket.parent.stat().st_mode) == 0o700
    edge.publish(ALICE, RouteState.DISABLED)
    file = (edge.paths.routes / f"{ALICE}.json").stat()
    assert (stat.S_IMODE(file.st_mode), file.st_uid, file.st_gid) == (0o640, 0, worker_group())
    assert stat.S_IMODE(edge.paths.routes.stat().st_mode) == 0o750


def test_a_restarted_edge_finds_routes_and_certificates_on_disk(edge: RunningEdge) -> None:
    edge.running(ALICE, edge.upstream("run-1", replying(answer("alice"))))
    edge.publish(f"gone.{DOMAIN}", RouteState.DELETED)
    before = edge.call(lambda agent: agent.arrived(ALICE))
    edge.stop()
    make_certificate(edge.paths.certificates, "shop.example", "shop.example")
    edge.start()
    assert edge.get(ALICE).body == b"alice"
    assert edge.get(f"gone.{DOMAIN}").status == 404
    assert edge.call(lambda agent: agent.arrived(ALICE)) > before
    assert edge.status().routes_known == 2


def test_an_edge_that_was_killed_starts_again(edge: RunningEdge) -> None:
    assert edge.process is not None
    workers = edge.worker_pids()
    edge.running(ALICE, edge.upstream("run-1", replying(answer("alice"))))
    edge.process.kill()
    edge.process.wait()
    assert "still runs" in refusal(edge), "orphaned workers serve stale routes"
    for worker in workers:
        os.kill(worker, signal.SIGKILL)
    until(lambda: not any(os.path.exists(f"/proc/{worker}") for worker in workers), what="the orphans end")
    edge.start()
    assert edge.get(ALICE).body == b"alice"


def test_a_killed_worker_takes_its_counts_along(edge: RunningEdge) -> None:
    async def hang(*_: object) -> None:

        await asyncio.Event().wait()

    edge.running(ALICE, edge.upstream("run-1", hang))
    for _ in range(2):  # the workers that come next count as the first ones did
        connections = [edge.connect() for _ in range(12)]
        for connection in connections:
            connection.sendall(f"GET / HTTP/1.1\r\nHost: {ALICE}\r\n\r\n".encode())
        until(lambda: edge.bound("run-1") == (12, 0), what="12 bound")
        for worker in edge.worker_pids():
            os.kill(worker, signal.SIGKILL)
        until(lambda: edge.bound("run-1") == (0, 0), what="the dead count for nothing")
        for connection in connections:
            connection.close()
    edge.running(ALICE, edge.upstream("run-2", replying(answer("again"))))
    assert edge.get(ALICE).body == b"again"


@pytest.mark.parametrize("text", ["", "{", '{"domain": "alice"}', "[]", '"x"', "null"])
def test_a_torn_record_is_a_502_and_mends_with_the_next_publication(edge: RunningEdge, text: str) -> None:
    (edge.paths.routes / f"{ALICE}.json").write_text(text)
    (edge.paths.routes / f"{ALICE}.json").chmod(0o644)
    assert edge.get(ALICE).status == 502
    assert f"route record of {ALICE} cannot be used" in edge.errors()
    edge.running(ALICE, edge.upstream("run-1", replying(answer("alice"))))
    assert edge.get(ALICE).body == b"alice"


def test_a_record_of_another_domain_is_not_believed(edge: RunningEdge) -> None:
    edge.running(ALICE, edge.upstream("run-1", replying(answer("alice"))))
    (edge.paths.routes / f"{ALICE}.json").rename(edge.paths.routes / f"bob.{DOMAIN}.json")
    assert edge.get(f"bob.{DOMAIN}").status == 502


def test_an_older_record_never_replaces_a_newer_one(edge: RunningEdge) -> None:
    newer = edge.running(ALICE, edge.upstream("run-1", replying(answer("alice"))))
    older = dataclasses.replace(newer, serial=newer.serial - 1, state=RouteState.DISABLED)
    assert edge.call(lambda agent: agent.publish(older)) == newer.serial
    assert edge.get(ALICE).status == 200
    (edge.paths.routes / f"{ALICE}.json").unlink()  # nginx, too, compares for itself
    assert edge.call(lambda agent: agent.publish(older)) == newer.serial
    assert edge.get(ALICE).status == 200


def test_publishing_the_same_record_again_changes_nothing(edge: RunningEdge) -> None:
    record = edge.running(ALICE, edge.upstream("run-1", replying(answer("alice"))))
    edge.call(lambda agent: agent.publish(record))
    assert edge.get(ALICE).status == 200
    assert edge.status().routes_known == 1


def test_without_nginx_the_file_alone_is_enough(stopped: RunningEdge) -> None:
    stopped.running(ALICE, stopped.upstream("run-1", replying(answer("alice"))))
    stopped.wait_unbound("run-1")
    stopped.call(lambda agent: agent.push_certificate("sites"))
    with pytest.raises(EdgeUnreachable):
        stopped.call(lambda agent: agent.arrived(ALICE))
    stopped.start()
    assert stopped.get(ALICE).body == b"alice"


def test_an_nginx_that_does_not_answer_is_unreachable(stopped: RunningEdge) -> None:
    stopped.paths.edge_socket.parent.mkdir(parents=True)
    record = stopped.record(ALICE, RouteState.DISABLED)

    async def publish() -> None:
        async with Edge(stopped.paths, deadline_s=0.2) as agent:
            await agent.publish(record)

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(stopped.paths.edge_socket))
        listener.listen(8)
        with pytest.raises(EdgeUnreachable, match="did not answer PUT /route"):
            asyncio.run(publish())
    asyncio.run(publish())  # nobody listens at the socket that is left: the file is enough


def test_what_nginx_refuses_is_unreachable_with_its_reason(edge: RunningEdge) -> None:
    bad = edge.record(ALICE, RouteState.RUNNING)
    with pytest.raises(EdgeUnreachable, match="bad value of run"):
        edge.call(lambda agent: agent.publish(bad))
    bad = edge.record(ALICE, RouteState.RUNNING, run=RunId("r"), endpoint="file:/etc/passwd")
    with pytest.raises(EdgeUnreachable, match="bad value of endpoint"):
        edge.call(lambda agent: agent.publish(bad))
    (edge.paths.certificates / "broken.pem").write_bytes((edge.paths.certificates / "sites.pem").read_bytes())
    (edge.paths.certificates / "broken.key").write_text("nonsense")
    with pytest.raises(EdgeUnreachable, match="certificate"):
        edge.call(lambda agent: agent.push_certificate("broken"))


def test_the_last_serial_leaves_out_what_cannot_be_read(stopped: RunningEdge) -> None:
    async def last_serial(agent: Edge) -> int:
        return max((record.serial for record in agent.records()), default=0)

    assert stopped.call(last_serial) == 0
    stopped.publish(ALICE, RouteState.DISABLED, serial=41)
    stopped.publish(f"gone.{DOMAIN}", RouteState.DELETED, serial=42)
    record = stopped.record(f"foreign.{DOMAIN}", RouteState.DISABLED, serial=99)
    (stopped.paths.routes / "other.test.json").write_text(json.dumps(to_jsonable(record)))
    (stopped.paths.routes / "torn.test.json").write_text('{"serial": 100')
    (stopped.paths.routes / ".half.json.abcd").write_text('{"serial": 101}')
    assert stopped.call(last_serial) == 42


def test_nginx_says_which_records_it_holds(edge: RunningEdge) -> None:
    names = [f"known{number}.{DOMAIN}" for number in range(SERIALS_AT_ONCE + 1)]
    edge.publish(names[0], RouteState.DISABLED, serial=7)
    edge.publish(names[-1], RouteState.DISABLED, serial=2**40)
    assert edge.call(lambda agent: agent.serials(names)) == {names[0]: 7, names[-1]: 2**40}
    assert edge.call(lambda agent: agent.serials(names[1:2])) == {}
    edge.stop()
    assert edge.call(lambda agent: agent.serials(names)) == {}
    edge.start()
    assert edge.call(lambda agent: agent.serials(names)) == {}, "it reads from disk what it is asked for"
    edge.get(names[0])
    assert edge.call(lambda agent: agent.serials(names)) == {names[0]: 7}


@pytest.fixture
def publication(edge: RunningEdge) -> Callable[[], Coroutine[Any, Any, int]]:
    """An agent starts and says once more what is wanted of one website. Returns the serial that visitors meet then."""
    config = read_config(edge.paths.config_file)

    async def start_and_publish() -> int:
        async with Edge(edge.paths) as agent:
            started = await Publication.start(agent, config)
            await started.withdraw([f"again.{DOMAIN}"])
            return (await agent.serials([f"again.{DOMAIN}"])).get(f"again.{DOMAIN}", 0)

    return start_and_publish


def test_an_agent_that_starts_publishes_only_what_visitors_do_not_meet(
    edge: RunningEdge, publication: Callable[[], Coroutine[Any, Any, int]]
) -> None:
    first = asyncio.run(publication())
    assert first > 0
    assert asyncio.run(publication()) == first
    # An agent died after it had written the file and before it told nginx:
    file = edge.paths.routes / f"again.{DOMAIN}.json"
    file.write_text(file.read_text().replace(f'"serial":{first}', f'"serial":{first + 1}'))
    assert asyncio.run(publication()) == first + 2
    # A newer record is in nginx than on disk: the file was lost, and an older one brought back.
    file.write_text(file.read_text().replace(f'"serial":{first + 2}', '"serial":1'))
    assert asyncio.run(publication()) > first + 2


# -- refusals to start


def test_a_port_in_use_is_named_with_its_holder(stopped: RunningEdge) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", stopped.https_port))
        taken.listen()
        assert find_holder(stopped.https_port) == f"{_own_name()} (pid {os.getpid()})"
        reason = refusal(stopped)
    assert f"port {stopped.https_port} is taken by {_own_name()} (pid {os.getpid()})" in reason
    assert "hostel.toml" in reason


def _own_name() -> str:
    with open("/proc/self/comm") as file:
        return file.read().strip()


def test_a_port_that_another_edge_shares_out_is_in_use(edge: RunningEdge) -> None:
    with pytest.raises(PortInUse, match=r"taken by nginx \(pid"):
        check_port("127.0.0.1", edge.http_port)
    assert "still runs" in refusal(edge)


def test_an_address_of_another_machine_is_refused() -> None:
    with pytest.raises(EdgeCannotStart, match="not an address of this machine"):
        check_port("203.0.113.1", 8080)


def test_a_certificate_that_never_comes(stopped: RunningEdge) -> None:
    (stopped.paths.certificates / "sites.key").unlink()
    with pytest.raises(NoCertificate, match=r"sites\.key did not appear within 0\.1 s; is the agent running"):
        configure.wait_for_certificate(stopped.paths, deadline_s=0.1)


def test_a_certificate_that_comes_late(stopped: RunningEdge) -> None:
    key = stopped.paths.certificates / "sites.key"
    hidden = key.rename(key.with_name("hidden"))
    command = [sys.executable, "-m", "hostel.edge", "--root", str(stopped.root)]
    stopped.process = subprocess.Popen(command)
    time.sleep(0.5)
    assert not stopped.paths.edge_socket.exists()
    hidden.rename(key)
    until(stopped.paths.edge_socket.exists, what="nginx starts")


def test_missing_configuration_and_bad_values(stopped: RunningEdge) -> None:
    text = stopped.paths.config_file.read_text()
    stopped.paths.config_file.write_text(text.replace(f"http_port = {stopped.http_port}", "http_port = 0"))
    assert "listen.http_port: expected 1 to 65535" in refusal(stopped)
    stopped.paths.config_file.unlink()
    assert "does not exist" in refusal(stopped)


def test_a_root_that_cannot_be_written_into_nginx_conf() -> None:
    for root in ("/srv/a b", "/srv/$host", "/srv/a;b", '/srv/"', "/srv/{x}"):
        with pytest.raises(ConfigError, match="choose a root"):
            configure.check_paths(Paths(Path(root)))
    with pytest.raises(ConfigError, match="shorter path"):
        configure.check_paths(Paths(Path("/srv/" + "a" * 100)))


def test_a_root_that_nginx_s_workers_cannot_enter(stopped: RunningEdge) -> None:
    stopped.root.chmod(0o700)
    assert f"may not enter {stopped.root}; run: chmod o+x {stopped.root}" in refusal(stopped)


def test_a_missing_module_names_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    absent = Path("/nonexistent")
    monkeypatch.setattr(configure, "PREREQUISITES", ((absent, "ngx_http_lua_module.so", "libnginx-mod-http-lua"),))
    with pytest.raises(MissingPrerequisite, match="apt-get install libnginx-mod-http-lua"):
        configure.find_nginx()


def test_nginx_s_own_refusal_is_passed_on(stopped: RunningEdge) -> None:
    conf = stopped.root / "nginx.conf"
    conf.write_text("nonsense on;\nevents {}\n")
    with pytest.raises(BadNginxConfiguration, match='unknown directive "nonsense"'):
        configure.check_nginx_conf(configure.find_nginx(), conf)


def test_ipv6_is_skipped_where_the_machine_has_none(stopped: RunningEdge, monkeypatch: pytest.MonkeyPatch) -> None:
    text = stopped.paths.config_file.read_text().replace('["127.0.0.1"]', '["127.0.0.1", "::"]')
    stopped.paths.config_file.write_text(text)
    config = read_config(stopped.paths.config_file)
    monkeypatch.setattr(configure, "has_ipv6", lambda: False)
    assert configure.examine_machine(config).addresses == ("127.0.0.1",)
    monkeypatch.setattr(configure, "has_ipv6", lambda: True)
    assert configure.examine_machine(config).addresses == ("127.0.0.1", "::")


def test_the_configuration_listens_on_ipv6_in_brackets(stopped: RunningEdge) -> None:
    machine = Machine(addresses=("0.0.0.0", "::"), workers=2, open_files=1024)
    text = configure.render_nginx_conf(stopped.paths, read_config(stopped.paths.config_file), machine)
    assert f"listen [::]:{stopped.https_port} default_server ssl http2 reuseport" in text
    assert text.count("proxy_pass ") == text.count("proxy_ignore_headers X-Accel-Redirect ") == 12


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_browser_that_comes_again_is_spared_the_handshake_whichever_worker_it_meets(
    edge: RunningEdge, version: ssl.TLSVersion
) -> None:
    domain = f"again-{version.name.lower().replace('_', '-')}.{DOMAIN}"
    edge.running(domain, edge.upstream(f"run-{domain.split('.', maxsplit=1)[0]}", replying(answer("again"))))
    context = unsuspecting()
    context.minimum_version = context.maximum_version = version
    session, resumed = None, []
    for _ in range(12):  # the kernel gives each connection to one of the workers
        with (
            socket.create_connection(("127.0.0.1", edge.https_port), timeout=10) as plain,
            context.wrap_socket(plain, server_hostname=domain, session=session) as connection,
        ):
            connection.sendall(f"GET / HTTP/1.1\r\nHost: {domain}\r\nConnection: close\r\n\r\n".encode())
            assert read_to_end(connection).endswith(b"again")
            resumed.append(connection.session_reused)
            session = connection.session  # TLS 1.3 sends it with the answer
    assert resumed == [False, *[True] * 11]
