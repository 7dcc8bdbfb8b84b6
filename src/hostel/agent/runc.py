"""Commands for runc: built as lists, run in one place with a deadline.

Errors: SandboxFault with runc's own words. Everything here is safe to repeat.
"""

import asyncio
import contextlib
import json
from pathlib import Path

from hostel.agent.errors import SandboxFault
from hostel.wire import failpoint
from hostel.wire.website import RunId

START_DEADLINE_S = 30.0
_DEADLINE_S = 15.0


class Runc:
    """runc with its state below `root`, so that installations do not see each other's containers."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def foreground(self, run: RunId, bundle: Path, *, terminal: bool) -> tuple[str, ...]:
        """The command that runs the bundle and lasts as long as it; with a terminal, descriptor 3 is handed in."""
        descriptors = ("--preserve-fds", "1") if terminal else ()
        return (*self._base(bundle / "runc.log"), "run", *descriptors, "--bundle", str(bundle), run)

    async def start(self, run: RunId, bundle: Path, *, stdout: int, stderr: int) -> int:
        """Start the bundle detached, with these descriptors as its output, and return the pid of its PID 1.

        Returns once the command has been executed; raises SandboxFault if the sandbox could not be built.
        """
        log = bundle / "runc.log"
        pid_file = bundle / "pid"
        argv = (*self._base(log), "run", "--detach", "--bundle", str(bundle), "--pid-file", str(pid_file), run)
        process = await asyncio.create_subprocess_exec(
            *argv, stdin=asyncio.subprocess.DEVNULL, stdout=stdout, stderr=stderr
        )
        failpoint.reach("runc.start.spawned")
        if await _wait(process, START_DEADLINE_S) != 0:
            raise SandboxFault(f"runc could not start {run}: {_last_error(log)}")
        return int(pid_file.read_text())

    async def delete(self, run: RunId) -> None:
        """Remove runc's state of `run`, killing what is left of it. Nothing happens when there is none."""
        process = await asyncio.create_subprocess_exec(
            *self._base(None),
            "delete",
            "--force",
            run,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        failpoint.reach("runc.delete.spawned")
        await _wait(process, _DEADLINE_S)

    def known(self) -> list[RunId]:
        """The runs runc has state of, also broken state that `runc list` would not show."""
        with contextlib.suppress(FileNotFoundError):
            return [RunId(entry.name) for entry in self.root.iterdir() if entry.is_dir()]
        return []

    def _base(self, log: Path | None) -> tuple[str, ...]:
        logging = ("--log", str(log), "--log-format", "json") if log else ()
        return ("runc", "--root", str(self.root), *logging)


async def _wait(process: asyncio.subprocess.Process, deadline_s: float) -> int:
    try:
        async with asyncio.timeout(deadline_s):
            return await process.wait()
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        raise SandboxFault(f"runc did not answer within {deadline_s:g} s") from None


def _last_error(log: Path) -> str:
    """The last message of runc's JSON log, or what can be said without one."""
    with contextlib.suppress(OSError, ValueError, KeyError, IndexError):
        return str(json.loads(log.read_text().splitlines()[-1])["msg"])
    return "it gave no reason"
