"""How long the agent waits for a logger that is stopped."""

import asyncio
import json
import time
from pathlib import Path

import pytest

from hostel.agent import streams
from hostel.agent.streams import Logger
from hostel.wire.website import RunId


def test_a_logger_that_does_not_answer_is_waited_for_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It gets each request all the same, and is as patiently waited for as ever once it has answered."""
    monkeypatch.setattr(streams, "_DEADLINE_S", 0.6)
    monkeypatch.setattr(streams, "_IMPATIENT_S", 0.1)
    heard: list[str] = []
    answering: set[asyncio.Task[None] | None] = set()
    goes_on = asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answering.add(asyncio.current_task())
        heard.append(json.loads(await reader.readline())["verb"])
        await goes_on.wait()
        writer.write(json.dumps({"lines": ["last words"]}).encode() + b"\n")
        writer.close()

    async def timed(logger: Logger) -> float:
        began = time.monotonic()
        assert await logger.tail(RunId("run")) == (("last words",) if goes_on.is_set() else ())
        return time.monotonic() - began

    async def ask() -> None:
        async with await asyncio.start_unix_server(answer, tmp_path / "logger.sock"):
            logger = Logger(tmp_path / "logger.sock")
            assert 0.6 <= await timed(logger) < 5
            assert await timed(logger) < 0.5
            assert not await logger.close(RunId("run"))
            goes_on.set()
            await timed(logger)
            goes_on.clear()
            assert await timed(logger) >= 0.6
            goes_on.set()
            await asyncio.gather(*(task for task in answering if task))

    asyncio.run(ask())
    assert heard == ["tail", "tail", "close", "tail", "tail"]
