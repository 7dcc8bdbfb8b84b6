"""WebSockets and streams through the whole platform: as on a bare server, drained by class, back spread over time."""

import asyncio
import contextlib
import json
import os
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from hostel.wire.process import ProcessIdentity
from live import SITES, Platform, User
from servers import install, put

UVICORN = "venv/bin/uvicorn --uds $DOMAIN_SOCKET --no-access-log streaming:app"
MIB = 1 << 20
DRAIN_S, GRACE_S = 3.0, 1.0
CLIENTS, SPREAD_S = 1000, 6.0
CLOSED_BY_RESTART, CLOSED_BY_NOBODY = 1012, 1006
UPGRADE = (
    "GET / HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)


@pytest.fixture(scope="module")
def fay(platform: Platform) -> User:
    user = platform.add_user("fay")
    install(platform, user)
    put(platform, user, "streaming.py", (SITES / "streaming.py").read_text())
    return user


@contextlib.contextmanager
def serving(platform: Platform, user: User, label: str, *, command: str = UVICORN, **budgets: float) -> Iterator[str]:
    created = platform.create(user, label, command, **{"grace_s": GRACE_S, **budgets})
    assert created.json()["webapp"]["state"] == "running", created.text
    try:
        yield label
    finally:
        platform.delete(user, label)


@pytest.fixture(scope="module")
def site(platform: Platform, fay: User) -> Iterator[str]:
    with serving(platform, fay, "fay") as label:
        yield label


def open_socket(platform: Platform, label: str, *, https: bool = True, **options: Any) -> connect:
    scheme, port, tls = ("wss", platform.https_port, platform.tls()) if https else ("ws", platform.http_port, None)
    address = f"{scheme}://{label}.{platform.domain}:{port}/talk"
    return connect(address, ssl=tls, proxy=None, max_size=None, **options)


async def about(websocket: ClientConnection) -> dict[str, Any]:
    """What the site says of the WebSocket."""
    await websocket.send("about")
    return dict(json.loads(await websocket.recv()))


def visitor(platform: Platform) -> httpx.AsyncClient:
    return httpx.AsyncClient(verify=platform.tls(), trust_env=False, timeout=60)


async def reload(platform: Platform, user: User, label: str) -> None:
    address = f"{platform.panel_url}api/v1/user/{user.name}/websites/{label}.{platform.domain}/reload/"
    async with visitor(platform) as client:
        answer = await client.post(address, headers={"Authorization": f"Token {user.token}"})
    assert answer.json() == {"status": "OK"}


@pytest.mark.parametrize("https", [True, False], ids=["https", "http"])
def test_a_websocket_works_as_on_a_bare_server(platform: Platform, site: str, https: bool) -> None:
    offered = ["chat.v2", "chat.v1"]

    async def talk() -> None:
        origin = "https://elsewhere.example"
        async with open_socket(platform, site, https=https, subprotocols=offered, origin=origin) as websocket:
            assert websocket.subprotocol == "chat.v2"
            said = await about(websocket)
            assert (said["path"], said["subprotocols"]) == ("/talk", offered)
            assert said["headers"]["origin"] == origin
            assert said["headers"]["x-forwarded-proto"] == ("https" if https else "http")
            await asyncio.wait_for(await websocket.ping(b"are you there"), 5)
            for message in ("", "grüß dich", b"", b"\0\xff" * 100, os.urandom(MIB), "ä" * (MIB // 2)):
                await websocket.send(message)
                assert await websocket.recv() == message
            await websocket.send("close 4001 enough")
            with pytest.raises(ConnectionClosed) as closed:
                await websocket.recv()
        assert closed.value.rcvd is not None
        assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4001, "enough")

    asyncio.run(talk())


@pytest.mark.parametrize("path", ["/events", "/parts"])
def test_a_stream_arrives_part_by_part(platform: Platform, site: str, path: str) -> None:
    with platform.visitor() as client, client.stream("GET", platform.url(site, f"{path}?n=5&pause=0.2")) as response:
        delays = [time.time() - float(line.split()[-1]) for line in response.iter_lines() if line]
    assert len(delays) == 5
    assert max(delays) < 0.18, "a part came no sooner than the next one"


def test_idle_time_outs_are_each_website_s_own(platform: Platform, fay: User, site: str) -> None:
    async def end_of_silent_socket_s(label: str) -> float:
        async with open_socket(platform, label) as websocket:
            began = time.monotonic()
            with contextlib.suppress(ConnectionClosed):
                await websocket.recv()
            return time.monotonic() - began

    async def end_of_silent_stream_s(label: str) -> float:
        began = time.monotonic()
        async with visitor(platform) as client, client.stream("GET", platform.url(label, "/events?pause=60")) as events:
            await end_of(events)
        return time.monotonic() - began

    async def compare(short: str) -> list[float]:
        ends = (end_of_silent_socket_s, end_of_silent_stream_s)
        neighbours = [asyncio.create_task(end(site)) for end in ends]
        ended = await asyncio.gather(*(end(short) for end in ends))
        assert not any(neighbour.done() for neighbour in neighbours)
        for neighbour in neighbours:
            neighbour.cancel()
        return ended

    with serving(platform, fay, "short-fay", websocket_timeout_s=3, read_timeout_s=2) as short:
        socket_s, stream_s = asyncio.run(compare(short))
    assert 2.9 < socket_s < 3.6
    assert 1.9 < stream_s < 2.6


@dataclass(frozen=True, slots=True)
class Reload:
    """What became of what the old run had in hand. Seconds count from the reload's answer."""

    was_slow_answered: bool
    socket_s: float
    socket_code: int
    stream_s: float
    process_s: float
    phases: list[str]  # of the deploy, each once


async def reload_with_streams(platform: Platform, user: User, label: str) -> Reload:
    """Reload a website that has a WebSocket, an event stream and a slow request in hand."""
    old = show(platform, label)["run"]
    async with (
        visitor(platform) as client,
        open_socket(platform, label) as websocket,
        client.stream("GET", platform.url(label, "/events?pause=0.1")) as events,
    ):
        run = (await about(websocket))["run"]
        slow = asyncio.create_task(client.get(platform.url(label, "/slow?s=2")))
        async with asyncio.timeout(10):
            while bound(platform, old) != {"plain": 1, "streaming": 2}:
                await asyncio.sleep(0.01)
        await reload(platform, user, label)
        began = time.monotonic()
        async with asyncio.TaskGroup() as group:
            socket = group.create_task(end_of_talk(websocket, run))
            stream = group.create_task(end_of(events))
            over = group.create_task(end_of_run(platform, label, old))
            group.create_task(visit_next_run(platform, label, run, over))
        return Reload(
            was_slow_answered=(await slow).json() == {"run": run},
            socket_s=socket.result()[0] - began,
            socket_code=socket.result()[1],
            stream_s=stream.result() - began,
            process_s=over.result()[0] - began,
            phases=over.result()[1],
        )


def show(platform: Platform, label: str) -> dict[str, Any]:
    """A website as the agent reports it."""
    return ask(platform.paths.agent_for_root / "agent.sock", f"/websites/{label}.{platform.domain}")


def bound(platform: Platform, run: str) -> dict[str, int]:
    """What the edge has in flight for a run."""
    return ask(platform.paths.edge_socket, f"/bound?run={run}")


def ask(socket: Path, path: str) -> dict[str, Any]:
    with httpx.Client(transport=httpx.HTTPTransport(uds=str(socket)), base_url="http://part") as client:
        return dict(client.get(path).json())


async def end_of_talk(websocket: ClientConnection, run: str) -> tuple[float, int]:
    """When and with which code a WebSocket is closed; until then its own run answers on it."""
    try:
        while True:
            assert (await about(websocket))["run"] == run
            await asyncio.sleep(0.05)
    except ConnectionClosed as closed:
        return time.monotonic(), closed.rcvd.code if closed.rcvd else CLOSED_BY_NOBODY


async def end_of(response: httpx.Response) -> float:
    """When a stream ends, in whichever way."""
    with contextlib.suppress(httpx.RemoteProtocolError):
        async for _ in response.aiter_raw():
            pass
    return time.monotonic()


async def end_of_run(platform: Platform, label: str, run: str) -> tuple[float, list[str]]:
    """When the process of a run that is being drained is gone; the phases of the deploy until it is done."""
    record = json.loads((platform.paths.runs / run / "run.json").read_text())
    process, phases = ProcessIdentity(**record["process"]), [show(platform, label)["deploy"]["phase"]]
    while process.is_alive():
        phases.append(show(platform, label)["deploy"]["phase"])
        await asyncio.sleep(0.05)
    gone_at = time.monotonic()
    while phases[-1] == "draining":
        assert time.monotonic() - gone_at < 5, "the deploy stays in its phase draining"
        phases.append(show(platform, label)["deploy"]["phase"])
        await asyncio.sleep(0.05)
    return gone_at, list(dict.fromkeys(phases))


async def visit_next_run(platform: Platform, label: str, old: str, over: asyncio.Task[Any]) -> None:
    """From the reload's answer on no plain request fails and none meets the old run."""
    async with visitor(platform) as client:
        while not over.done():
            answer = await client.get(platform.url(label))
            assert (answer.status_code, answer.json()["run"] == old) == (200, False), answer.text
            await asyncio.sleep(0.02)


def test_i8_a_reload_drains_each_class_by_its_own_budget(platform: Platform, fay: User) -> None:
    """Of uvicorn, which waits for open streams for ever, and of a website that ignores TERM besides."""
    budgets = {"drain_s": 30.0, "websocket_drain_s": DRAIN_S, "grace_s": GRACE_S, "ws_spread_s": 0.0}

    async def reload_both(*labels: str) -> list[Reload]:
        return await asyncio.gather(*(reload_with_streams(platform, fay, label) for label in labels))

    with (
        serving(platform, fay, "polite-fay", **budgets) as polite,
        serving(platform, fay, "stubborn-fay", command=f"STUBBORN=1 {UVICORN}", **budgets) as stubborn,
    ):
        reloads = asyncio.run(reload_both(polite, stubborn))
    for outcome in reloads:
        print(outcome)
        assert outcome.was_slow_answered
        assert outcome.phases == ["draining", "done"]
        assert min(outcome.socket_s, outcome.stream_s) > DRAIN_S - 0.2
        assert max(outcome.socket_s, outcome.stream_s, outcome.process_s) < DRAIN_S + GRACE_S + 1
    assert [outcome.socket_code for outcome in reloads] == [CLOSED_BY_RESTART, CLOSED_BY_NOBODY]


async def upgraded(platform: Platform, label: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A raw connection after its upgrade: a library's clients would cost a thousand times more than what they test."""
    reader, writer = await asyncio.open_connection("127.0.0.1", platform.http_port)
    writer.write(UPGRADE.format(host=f"{label}.{platform.domain}").encode())
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 101 "), head
    return reader, writer


async def reload_under_a_crowd(platform: Platform, user: User, label: str) -> tuple[list[float], list[float]]:
    """When each client was closed, and when the new run accepted each, all in seconds since 1970.

    Each client comes back in the moment in which it is closed.
    """
    at_once, everybody, closed = asyncio.Semaphore(50), asyncio.Barrier(CLIENTS + 1), []

    async def come_and_come_back() -> None:
        async with at_once:
            reader, writer = await upgraded(platform, label)
        await everybody.wait()
        await reader.read()
        closed.append(time.time())
        writer.close()
        _, writer = await upgraded(platform, label)
        await everybody.wait()
        writer.close()

    async with asyncio.TaskGroup() as group:
        for _ in range(CLIENTS):
            group.create_task(come_and_come_back())
        await everybody.wait()
        await reload(platform, user, label)
        await everybody.wait()
        async with visitor(platform) as client:
            accepted = (await client.get(platform.url(label, "/upgrades"))).json()
    return closed, accepted


def test_a_crowd_that_a_switch_closed_comes_back_evenly(platform: Platform, fay: User) -> None:
    with serving(platform, fay, "crowd-fay", websocket_drain_s=0.0, ws_spread_s=SPREAD_S) as label:
        closed, accepted = asyncio.run(reload_under_a_crowd(platform, fay, label))
    began = min(closed)
    print(f"{CLIENTS} clients, closed within {max(closed) - began:.2f} s, come back over {SPREAD_S:g} s:")
    for second, count in sorted(Counter(int(at - began) for at in accepted).items()):
        print(f"  second {second}: {count:4} {'#' * (count // 10)}")
    assert len(accepted) == CLIENTS
    assert busiest_second(accepted) <= 2 * CLIENTS / SPREAD_S


def busiest_second(times: list[float]) -> int:
    """The most of `times` that lie within one second, wherever it begins."""
    times = sorted(times)
    return max(sum(began <= at < began + 1 for at in times[index:]) for index, began in enumerate(times))
