"""What the edge counts of each website's visitors, and that nobody can make it count without bound."""

import asyncio
import os
import signal
from collections import Counter

from edge_fixtures import (
    DOMAIN,
    Request,
    RunningEdge,
    WeakenedEdge,
    answer,
    in_background,
    read_until,
    replying,
)

from hostel.wire.route import RouteState
from waiting import until

OK, REDIRECTED, REFUSED, FAILED, STREAMS, FIRST_TIME, LAST_TIME = 1, 2, 3, 4, 5, 6, 39
UPGRADE = ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: AAAA")
SWITCHED = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"


class Tally:
    """All that an edge has counted, as its agent would add it up."""

    def __init__(self, edge: RunningEdge) -> None:
        self._edge = edge
        self.websites: dict[str, Counter[int]] = {}

    def take(self) -> None:
        for counted in self._edge.call(lambda agent: agent.take_metrics()):
            for website, pairs in counted.websites.items():
                places = self.websites.setdefault(website, Counter())
                for place, number in zip(pairs[::2], pairs[1::2], strict=True):
                    places[place] += number

    def of(self, website: str) -> Counter[int]:
        self.take()
        return self.websites.get(website, Counter())

    def classes(self, website: str) -> dict[int, int]:
        return {place: number for place, number in self.of(website).items() if place < FIRST_TIME}

    def times(self, website: str) -> dict[int, int]:
        return {place: number for place, number in self.of(website).items() if place >= FIRST_TIME}

    def wait(self, website: str, classes: dict[int, int]) -> None:
        until(lambda: self.classes(website) == classes, what=f"{website} was answered {classes}")


async def by_path(request: Request, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    status = request.line.split()[1].strip("/") or "200"
    writer.write(answer("x", status=f"{status} Whatever"))


def test_each_answer_counts_once_in_its_class_whoever_gave_it(edge: RunningEdge) -> None:
    domain, tally = f"classes.{DOMAIN}", Tally(edge)
    edge.running(domain, edge.upstream("classes-1", by_path), max_body_bytes=10)
    for path in ("/200", "/204", "/302", "/404", "/410", "/500", "/201"):
        edge.get(domain, path)
    assert edge.send("POST", domain, "/", body=b"more than ten bytes").status == 413  # refused by the platform
    tally.wait(domain, {OK: 3, REDIRECTED: 1, REFUSED: 3, FAILED: 1})
    assert sum(tally.times(domain).values()) == 7  # of what the website itself answered
    assert tally.websites.keys() == {domain}


def test_what_comes_to_an_alias_counts_for_its_website_and_unknown_names_count_nowhere(edge: RunningEdge) -> None:
    domain, alias, tally = f"aliased.{DOMAIN}", f"alias.{DOMAIN}", Tally(edge)
    upstream = edge.upstream("aliased-1", by_path)
    edge.running(domain, upstream)
    edge.running(alias, upstream, website=domain)
    edge.publish(f"gone.{DOMAIN}", RouteState.DELETED)
    for host in (domain, alias, f"nobody.{DOMAIN}", f"gone.{DOMAIN}", "", "a b", "x" * 300):
        edge.get(host)
    tally.wait(domain, {OK: 2})
    tally.take()
    assert tally.websites.keys() == {domain}


def test_a_time_ends_when_the_answer_begins_and_counts_what_was_waited(edge: RunningEdge) -> None:
    domain, tally = f"slow.{DOMAIN}", Tally(edge)

    async def begin_and_dawdle(_: Request, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.3)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n")
        await writer.drain()
        await dawdled.wait()
        writer.write(b"x")

    dawdled = asyncio.Event()
    upstream = edge.upstream("slow-1", begin_and_dawdle)
    edge.publish(domain, RouteState.HELD)
    with in_background(lambda: edge.get(domain)) as result:
        until(lambda: edge.status(domain).held == 1, what="the request is held")
        edge.running(domain, upstream)
        until(lambda: tally.times(domain), what="the answer has begun")
        assert tally.classes(domain) == {}  # it goes on
        edge.loop.loop.call_soon_threadsafe(dawdled.set)
        assert result().status == 200
    tally.wait(domain, {OK: 1})
    ((place, number),) = tally.times(domain).items()
    assert number == 1
    # Place 6 ends at a millisecond, and each following one at √2 times that: 300 ms lie in the 17th after it.
    assert place >= FIRST_TIME + 17


def test_what_is_waited_for_in_vain_has_a_time_too_and_a_refusal_at_once_has_none(edge: RunningEdge) -> None:
    domain, tally = f"vain.{DOMAIN}", Tally(edge)

    async def never(_request: Request, reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await reader.read(1)

    edge.running(domain, edge.upstream("vain-1", never), read_timeout_s=1)
    assert edge.get(domain).status == 504
    with edge.connect() as connection:
        connection.sendall(f"GET / HTTP/1.1\r\nHost: {domain}\r\n\r\n".encode())
        until(lambda: edge.bound("vain-1")[0] == 1, what="the request is at the website")
    tally.wait(domain, {FAILED: 1, REFUSED: 1})  # nginx writes 499 of who has left
    assert sum(tally.times(domain).values()) == 2
    edge.publish(domain, RouteState.HELD, hold_s=0.2)
    assert edge.get(domain).status == 503
    edge.publish(domain, RouteState.DISABLED)
    assert edge.get(domain).status == 503
    tally.wait(domain, {FAILED: 3, REFUSED: 1})
    assert sum(tally.times(domain).values()) == 3


def test_websockets_and_event_streams_count_apart_when_they_open(edge: RunningEdge) -> None:
    domain, tally = f"streams.{DOMAIN}", Tally(edge)

    async def stream(request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if "/refused" in request.line:
            writer.write(answer("no", status="403 Forbidden"))
            return
        is_socket = request.headers.get("upgrade") == "websocket"
        writer.write(SWITCHED if is_socket else b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
        await reader.read(1)

    edge.running(domain, edge.upstream("streams-1", stream))
    head = f"GET / HTTP/1.1\r\nHost: {domain}\r\n"
    with edge.connect() as socket, edge.connect() as events:
        socket.sendall((head + "\r\n".join([*UPGRADE, "", ""])).encode())
        events.sendall(f"{head}\r\n".encode())
        read_until(socket, b"\r\n\r\n")
        read_until(events, b"\r\n\r\n")
        tally.wait(domain, {STREAMS: 2})
    assert edge.send("GET", domain, "/refused", *UPGRADE).status == 403
    tally.wait(domain, {STREAMS: 2, REFUSED: 1})
    edge.wait_unbound("streams-1")
    tally.wait(domain, {STREAMS: 2, REFUSED: 1})


def test_the_counts_of_all_workers_come_together_and_a_killed_one_takes_only_what_is_new() -> None:
    domain = f"workers.{DOMAIN}"
    with RunningEdge() as edge:
        tally = Tally(edge)
        workers = edge.worker_pids()
        assert len(workers) > 1, "this machine has one core: nothing is shown here"
        edge.running(domain, edge.upstream("workers-1", by_path))
        for _ in range(40):
            edge.get(domain)
        tally.wait(domain, {OK: 40})
        os.kill(workers[0], signal.SIGKILL)
        until(lambda: len(set(edge.worker_pids()) - {workers[0]}) == len(workers), what="another worker")
        for _ in range(40):
            edge.get(domain)
        tally.wait(domain, {OK: 80})


def test_while_no_agent_comes_the_oldest_counts_go() -> None:
    short_of_room = ("nginx.conf", "lua_shared_dict metrics 8m", "lua_shared_dict metrics 16k")
    eager = ("lua/hostel/metrics.lua", "local FLUSH_EVERY_S = 2", "local FLUSH_EVERY_S = 0.001")
    with WeakenedEdge(short_of_room, eager) as edge:
        upstream = edge.upstream("many-1", replying(answer("x")))
        domains = [f"{'y' * 50}{number}.{DOMAIN}" for number in range(200)]
        for domain in domains:
            edge.running(domain, upstream, access_log="")
            assert edge.get(domain).status == 200
        tally = Tally(edge)
        until(lambda: tally.classes(domains[-1]) == {OK: 1}, what="the newest counts are there")
        assert 1 < len(tally.websites) < len(domains)
        assert domains[0] not in tally.websites
