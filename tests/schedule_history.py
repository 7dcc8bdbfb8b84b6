"""Light constant traffic to one website, all its answers, and what may be said against them afterwards."""

import asyncio
import contextlib
import json
import random
import secrets
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

DEADLINE_S = 30.0
_BODY = b"x" * 20_000


@dataclass(slots=True)
class Answer:
    began: float
    ended: float
    request_id: str
    status: int = 0  # 0: the connection ended without a full answer
    error: str = ""
    word: str = ""
    run: str = ""

    def __str__(self) -> str:
        what = f"{self.status} {self.word}" if self.status else self.error
        return f"{what} ({self.ended - self.began:.2f} s)"


@dataclass(slots=True)
class Span:
    since: float
    until: float = float("inf")


@dataclass
class History:
    """What visitors of `label` met, and what was promised to them. Times are of the monotonic clock."""

    label: str
    answers: list[Answer] = field(default_factory=list)
    duties: list[Span] = field(default_factory=list)  # when it is meant to serve
    versions: list[tuple[float, int]] = field(default_factory=list)  # from then on no version before
    retired: list[tuple[float, frozenset[str]]] = field(default_factory=list)  # from then on none of these runs
    silences: list[Span] = field(default_factory=list)  # disabled, and known to be
    deaths: list[Span] = field(default_factory=list)  # its processes were killed: what they had in hand is lost

    def begin_duty(self, since: float) -> None:
        if not self.has_duty:
            self.duties.append(Span(since))

    def end_duty(self, now: float) -> None:
        for duty in self.duties:
            duty.until = min(duty.until, now)

    def begin_silence(self, since: float) -> None:
        self.silences.append(Span(since))

    def end_silence(self, now: float) -> None:
        for silence in self.silences:
            silence.until = min(silence.until, now)

    @property
    def has_duty(self) -> bool:
        return bool(self.duties) and self.duties[-1].until == float("inf")

    def is_back(self) -> bool:
        """Whether it has answered since its processes were killed last."""
        if not self.deaths:
            return True
        since = max(death.until for death in self.deaths)
        return any(answer.status == 200 and answer.began > since for answer in self.answers[-50:])

    def runs_seen(self) -> frozenset[str]:
        return frozenset(answer.run for answer in self.answers if answer.run)

    def complaints(self) -> list[str]:
        """Everything that should not have happened; at most a few of each kind."""
        found: dict[str, list[str]] = {}
        for answer in self.answers:
            for kind in self._faults(answer):
                found.setdefault(kind, []).append(str(answer))
        return [f"{self.label}: {kind} ({len(cases)}): {'; '.join(cases[:3])}" for kind, cases in found.items()]

    def _faults(self, answer: Answer) -> list[str]:
        if answer.status != 200:
            return ["failed requests"] if self._was_due(answer) else []
        faults = []
        label, _, version = answer.word.rpartition("-v")
        if label != self.label:
            return ["answers of another website's run"]
        if any(answer.began > since and int(version) < least for since, least in self.versions):
            faults.append("answers of a version before an acknowledged change")
        if any(answer.began > since and answer.run in runs for since, runs in self.retired):
            faults.append("answers of a run before an acknowledged reload")
        if any(silence.since < answer.began < silence.until for silence in self.silences):
            faults.append("answers while it was disabled")
        return faults

    def _was_due(self, answer: Answer) -> bool:
        if any(answer.began <= death.until and death.since <= answer.ended for death in self.deaths):
            return False
        return any(duty.since <= answer.began and answer.ended <= duty.until for duty in self.duties)


class Traffic:
    """A few clients of one website who never retry. Runs until `end`, which waits for what was begun."""

    def __init__(self, history: History, *, host: str, port: int, seed: int, clients: int = 2) -> None:
        self.history = history
        self._host, self._port = host, port
        self._stopping = asyncio.Event()
        self._tasks = [
            asyncio.create_task(self._client(random.Random(f"{seed}:{host}:{number}"))) for number in range(clients)
        ]

    async def end(self) -> None:
        self._stopping.set()
        await asyncio.gather(*self._tasks)

    async def _client(self, chance: random.Random) -> None:
        connection: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        while not self._stopping.is_set():
            if connection is not None and chance.random() < 0.3:
                connection[1].close()
                connection = None
            answer = Answer(began=time.monotonic(), ended=0.0, request_id=secrets.token_hex(8))
            is_kept = False
            try:
                async with asyncio.timeout(DEADLINE_S):
                    if connection is None:
                        connection = await asyncio.open_connection("127.0.0.1", self._port)
                    is_kept = await _ask(connection, self._host, answer, chance)
            except (OSError, EOFError, ValueError, KeyError, TimeoutError) as error:
                answer.status, answer.error = 0, repr(error)
            answer.ended = time.monotonic()
            self.history.answers.append(answer)
            if not is_kept and connection is not None:
                connection[1].close()
                connection = None
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(chance.uniform(0.03, 0.12)):
                    await self._stopping.wait()
        if connection is not None:
            connection[1].close()


async def _ask(
    connection: tuple[asyncio.StreamReader, asyncio.StreamWriter], host: str, answer: Answer, chance: random.Random
) -> bool:
    """One request and its whole answer; returns whether the connection may be used again."""
    reader, writer = connection
    body = _BODY if chance.random() < 0.2 else b""
    path = "/slow?s=0.25" if chance.random() < 0.15 else "/"
    head = f"{'POST' if body else 'GET'} {path} HTTP/1.1\r\nHost: {host}\r\nX-Id: {answer.request_id}\r\n"
    writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
    await writer.drain()
    status = int((await reader.readuntil(b"\r\n")).split()[1])
    headers = {}
    while (line := await reader.readuntil(b"\r\n")) != b"\r\n":
        name, _, value = line.decode("latin-1").partition(":")
        headers[name.lower()] = value.strip()
    content = await reader.readexactly(int(headers.get("content-length", "0")))
    if status == 200:
        told = json.loads(content)
        if told["id"] != answer.request_id or told["length"] != len(body):
            raise ValueError(f"another request's answer: {content[:200]!r}")
        answer.word, answer.run = told["word"], told["run"]
    answer.status = status
    return headers.get("connection", "").lower() != "close" and "content-length" in headers


class LogReader:
    """What a website's witness has logged since this was made."""

    def __init__(self, file: Path, label: str) -> None:
        self._file, self._label = file, label
        self._offset = file.stat().st_size if file.exists() else 0

    def complaints(self, answers: list[Answer]) -> list[str]:
        """Each request that was answered stands there once, no request twice, and nobody else's lines do."""
        if not self._file.exists():
            return [f"{self._label}: no log"] if any(answer.status == 200 for answer in answers) else []
        with self._file.open("rb") as log:
            log.seek(self._offset)
            lines = log.read().decode("utf-8", "replace").splitlines()
        logged = Counter(line.rsplit(" ", 1)[-1] for line in lines)
        foreign = [line for line in lines if not line.startswith(f"{self._label}-v")]
        missing = [answer.request_id for answer in answers if answer.status == 200 and not logged[answer.request_id]]
        twice = [name for name, count in logged.items() if count > 1 and name != "-"]
        cases = {"log lines of others": foreign, "log lines lost": missing, "requests logged twice": twice}
        return [f"{self._label}: {kind} ({len(found)}): {found[:3]}" for kind, found in cases.items() if found]
