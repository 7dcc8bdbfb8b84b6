"""Gates: protections that all tenants rely on, each tried, not assumed. While one is closed no tenant starts anything.

A gate that could not be tried is closed. What runs goes on, and the panel starts all the same: there people see why.
"""

import asyncio
import contextlib
import functools
import json
import os
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import structlog
from pyroute2.netlink.exceptions import NetlinkError

from hostel.agent import cgroup, kernel, network, sockets
from hostel.agent.errors import GateFailed
from hostel.agent.image import HOSTNAME, build_skeleton
from hostel.agent.installation import PROBE_NUMBERS, Installation
from hostel.agent.network import Namespace
from hostel.agent.oci import Container, Mount, render_config
from hostel.agent.threads import in_new_thread
from hostel.wire.errors import GateClosed, HostelError
from hostel.wire.paths import Paths
from hostel.wire.report import AgentCheck
from hostel.wire.sysctls import SYSCTLS
from hostel.wire.website import MIB, Limits

log = structlog.get_logger()

WATCH_EVERY_S = 30.0
TRY_EVERY_S = 600.0  # while all are open; while one is closed, as often as they are watched
_TRY_AGAIN_S = 0.3  # a start that finds a gate closed has it tried again, but no more often than this
_PROBE_DEADLINE_S = 10.0
_CONNECT_DEADLINE_S = 1.0
_PROBE_LIMITS = Limits(memory_bytes=64 * MIB, pids=16, cpu=1.0)
# Builtins of bash but for unshare (util-linux), which asks for what the profile refuses and nothing else would.
_PROBE = """\
while read -r key value; do
  case $key in Seccomp:|NoNewPrivs:|CapBnd:|CapEff:) echo "$key $value";; esac
done </proc/self/status
refusal=$(unshare --user true 2>&1); echo "unshare: $? ${refusal##*: }"
"""
_PROGRAMS = ("runc", "nft", "unshare")
_CONFINED = {
    "Seccomp:": "2",  # SECCOMP_MODE_FILTER
    "NoNewPrivs:": "1",
    "CapBnd:": "0000000000000000",
    "CapEff:": "0000000000000000",
    "unshare:": "1 Operation not permitted",
}


class Gate(StrEnum):
    SOCKETS = "socket directories"
    CONFINEMENT = "confinement"
    NETWORK = "network"
    KERNEL = "kernel settings"


_HINTS = {
    Gate.SOCKETS: "a kernel of 5.10 or newer is needed; for a directory named here: mount -o remount,nosymfollow DIR",
    Gate.CONFINEMENT: "`runc --version` must name libseccomp; reinstall runc and util-linux if that is not it",
    Gate.NETWORK: "`nft list table inet hostel_{id}` must show rules, and no other firewall may accept before them",
    Gate.KERNEL: "`hostel up` sets them, sysctl -w too; what lowers them is named by: grep -rE NAME /etc/sysctl*",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class GateResult:
    """What came of trying one gate; `found` says what was seen."""

    gate: Gate
    is_open: bool
    found: str
    hint: str = ""

    def as_check(self) -> AgentCheck:
        return AgentCheck(name=f"gate: {self.gate}", ok=self.is_open, message=self.found, hint=self.hint)


class Gates:
    """Tries the gates of one installation and remembers what came of it."""

    def __init__(self, paths: Paths, installation: Installation) -> None:
        self._paths = paths
        self._installation = installation
        self.mend: Callable[[], Awaitable[None]] = _do_nothing  # before each try: what the agent can mend by itself
        self.on_open: Callable[[], None] = lambda: None  # when all are open, after somebody was refused
        self._results: tuple[GateResult, ...] = ()
        self._tried_at = 0.0  # monotonic
        self._trying: asyncio.Task[None] | None = None
        self._programs: tuple[object, ...] = ()
        self._has_refused = False  # somebody waits for the gates to open

    @property
    def closed(self) -> tuple[GateResult, ...]:
        return tuple(result for result in self._results if not result.is_open)

    async def try_all(self) -> tuple[GateResult, ...]:
        """Try each gate, now; who asks meanwhile gets the same results."""
        if self._trying is None:
            self._trying = asyncio.create_task(self._try_all(), name="try gates")
        await asyncio.shield(self._trying)
        return self._results

    async def require(self, socket_directory: Path) -> None:
        """Returns when a tenant whose sockets are there may start something. Raises GateClosed.

        The mount, the settings and which programs are installed are looked at each time: that costs next to nothing.
        """
        if self.closed and self._trying is None:
            await asyncio.sleep(self._tried_at + _TRY_AGAIN_S - time.monotonic())
        if self.closed or self._trying is not None or not self._results or self._programs != _look_at_programs():
            await self.try_all()
        closed = [result.gate for result in self.closed] or _glance(socket_directory)
        if closed:
            self._has_refused = True
            raise GateClosed.of(closed)

    async def watch(self) -> None:
        """Try them again and again, for ever."""
        while True:
            is_due = time.monotonic() - self._tried_at > TRY_EVERY_S
            if is_due or self._has_refused or self.closed or not self._results:
                await self.try_all()
            await asyncio.sleep(WATCH_EVERY_S)

    # -- private

    async def _try_all(self) -> None:
        began = time.monotonic()
        try:
            self._programs = _look_at_programs()
            await self.mend()
            self._results = await asyncio.to_thread(self._results_now)
        finally:
            self._tried_at, self._trying = time.monotonic(), None
        took_ms = round((self._tried_at - began) * 1000)
        for result in self.closed:
            log.error("a gate is closed: no tenant starts anything", gate=result.gate.value, found=result.found)
        if not self.closed:
            log.info("gates are open", took_ms=took_ms)
            if self._has_refused:
                self._has_refused = False
                self.on_open()

    def _results_now(self) -> tuple[GateResult, ...]:
        """Blocks for some 150 ms, and as long as the deadlines where something hangs."""
        deeds: dict[Gate, Callable[[Namespace, Namespace], str]] = {
            Gate.SOCKETS: lambda *_: self._try_sockets(),
            Gate.CONFINEMENT: lambda one, _: self._try_confinement(one),
            Gate.NETWORK: self._try_network,
            Gate.KERNEL: lambda *_: _try_sysctls(),
        }
        try:
            with self._namespaces() as (one, two):
                return tuple(self._result(gate, functools.partial(deed, one, two)) for gate, deed in deeds.items())
        except (OSError, HostelError, NetlinkError) as error:
            why = f"no network namespace could be made: {error}"
            return tuple(self._refused(gate, f"not tried: {why}") for gate in Gate)

    def _result(self, gate: Gate, deed: Callable[[], str]) -> GateResult:
        try:
            return GateResult(gate=gate, is_open=True, found=deed())
        except GateFailed as failed:
            return self._refused(gate, str(failed))
        except Exception as error:  # whatever it is, the gate was not seen to hold
            return self._refused(gate, f"could not be tried: {type(error).__name__}: {error}")

    def _refused(self, gate: Gate, found: str) -> GateResult:
        hint = _HINTS[gate].format(id=self._installation.id)
        return GateResult(gate=gate, is_open=False, found=found, hint=hint)

    @contextlib.contextmanager
    def _namespaces(self) -> Iterator[tuple[Namespace, Namespace]]:
        """Networks of two tenants that do not exist."""
        with contextlib.ExitStack() as made:
            namespaces = []
            for number in PROBE_NUMBERS:
                made.callback(network.remove_interface, self._installation, number)
                namespace = network.ensure_namespace(self._installation, number)
                made.callback(namespace.close)
                namespaces.append(namespace)
            yield namespaces[0], namespaces[1]

    # -- the gates: each returns what it saw, or raises

    def _try_sockets(self) -> str:
        """A link to a socket, where nginx would meet it, leads nowhere."""
        place = self._paths.sockets / "gate"
        sockets.remove_tenant_directory(place)  # of an agent that was killed
        sockets.ensure_tenant_directory(place)
        try:
            with socket.socket(socket.AF_UNIX) as server:
                server.bind(str(place / "real"))
                server.listen()
                (place / "link").symlink_to("real")
                if not _answers(place / "real"):
                    raise GateFailed("not tried: the probe's own socket does not answer")
                if _answers(place / "link"):
                    raise GateFailed("a symbolic link to a socket was followed")
        finally:
            sockets.remove_tenant_directory(place)
        places = [each.path for each in os.scandir(self._paths.sockets)]
        lax = [place for place in places if os.path.ismount(place) and not sockets.is_nosymfollow(Path(place))]
        if lax:
            raise GateFailed(f"not mounted nosymfollow: {', '.join(lax[:3])}")
        return "a symbolic link to a socket leads nowhere"

    def _try_confinement(self, namespace: Namespace) -> str:
        """What the kernel says of a process in a sandbox, and what it refuses to it."""
        path = self._installation.cgroup_of(PROBE_NUMBERS[0])
        place = self._paths.run / "gate"
        shutil.rmtree(place, ignore_errors=True)  # of an agent that was killed
        cgroup.kill_trees([path])
        (place / "bundle").mkdir(mode=0o700, parents=True)
        try:
            return self._run_probe(place, path, namespace)
        finally:
            cgroup.kill_trees([path])
            shutil.rmtree(place, ignore_errors=True)

    def _run_probe(self, place: Path, path: str, namespace: Namespace) -> str:
        run, bundle = f"gate{secrets.token_hex(4)}", place / "bundle"
        build_skeleton(bundle / "rootfs", ())
        container = Container(
            hostname=HOSTNAME,
            argv=("/bin/bash", "-c", _PROBE),
            environment={"PATH": "/usr/bin:/bin", "LC_ALL": "C"},
            cwd="/",
            uid=self._installation.uid(PROBE_NUMBERS[0]),
            cgroup=f"{path}/{run}",
            network=namespace.path,
            limits=_PROBE_LIMITS,
            mounts=(Mount(source="/usr", to="/usr"),),
        )
        (bundle / "config.json").write_text(json.dumps(render_config(container)))
        argv = ["runc", "--root", str(place / "runc"), "run", "--bundle", str(bundle), run]
        done = subprocess.run(
            argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_PROBE_DEADLINE_S, check=False
        )
        if done.returncode != 0:
            raise GateFailed(f"the probe sandbox did not run: {done.stderr.strip()[-300:] or done.returncode}")
        seen = dict(line.split(" ", 1) for line in done.stdout.splitlines() if " " in line)
        astray = [f"{key} {seen.get(key, 'not said')}" for key, value in _CONFINED.items() if seen.get(key) != value]
        if astray:
            raise GateFailed(f"in a sandbox: {', '.join(astray)}")
        return "a sandbox has a filter of system calls, no capabilities, and no way to new namespaces"

    def _try_network(self, one: Namespace, two: Namespace) -> str:
        """From a tenant, neither a port of this machine nor another tenant's answers; from this machine, both do."""
        at_home = (self._installation.gateway, 0)
        next_door = (self._installation.address(PROBE_NUMBERS[1]), 0)
        with (
            socket.create_server(at_home) as own,
            in_new_thread(lambda: _listen_in(two, next_door)) as neighbour,
            in_new_thread(lambda: _listen_in(one, (self._installation.address(PROBE_NUMBERS[0]), 0))) as probe,
        ):
            for server in (own, neighbour, probe):
                socket.create_connection(server.getsockname(), _CONNECT_DEADLINE_S).close()
            for server, name in ((own, "a port of this machine"), (neighbour, "another tenant's port")):
                if in_new_thread(functools.partial(_is_reached, one, server.getsockname())):
                    raise GateFailed(f"a sandbox reaches {name}")
        return "a sandbox reaches neither this machine's ports nor another tenant's"


def _look_at_programs() -> tuple[object, ...]:
    """Another value where one of the programs that the gates rest on is not the same file any more."""
    found = [shutil.which(name) for name in _PROGRAMS]
    states = [os.stat(path) if path else None for path in found]
    return tuple(state and (state.st_dev, state.st_ino, state.st_mtime_ns) for state in states)


async def _do_nothing() -> None:
    pass


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        return client.connect_ex(str(path)) == 0


def _listen_in(namespace: Namespace, address: tuple[str, int]) -> socket.socket:
    """In a thread of its own. A socket stays in the network in which it was made."""
    kernel.enter_network(namespace.descriptor)
    return socket.create_server(address)


def _is_reached(namespace: Namespace, address: tuple[str, int]) -> bool:
    """In a thread of its own."""
    kernel.enter_network(namespace.descriptor)
    try:
        socket.create_connection(address, _CONNECT_DEADLINE_S).close()
    except OSError:
        return False
    return True


def _glance(socket_directory: Path) -> list[Gate]:
    """The gates that can be seen to be closed without trying anything."""
    found = [] if sockets.is_nosymfollow(socket_directory) else [Gate.SOCKETS]
    return [*found, Gate.KERNEL] if _lax_sysctls() else found


def _lax_sysctls() -> list[str]:
    return [f"{each.name} is {each.read()}, not {each.least}" for each in SYSCTLS if not each.is_in_force()]


def _try_sysctls() -> str:
    lax = _lax_sysctls()
    if lax:
        raise GateFailed("; ".join(lax))
    return f"{len(SYSCTLS)} settings that keep users apart are in force"
