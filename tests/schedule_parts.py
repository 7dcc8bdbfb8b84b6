"""Agent and logger as children of the test: started with a fail-point armed, watched, started again when they die."""

import asyncio
import contextlib
import os
import signal
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from pathlib import Path

from hostel.wire.failpoint import VARIABLE
from live import send_signal
from schedule_history import Span
from schedule_plan import Fault, How

_LOOK_S = 0.005
_START_S = 3.0  # until a new one has opened, at the latest, what the one before it held
RESTART_AFTER_S = 0.2  # as the supervisor's first back-off


class MortalPart:
    """One part of the platform. `hits` counts the places at which it died or stood still as it was told to."""

    def __init__(self, name: str, argv: Sequence[str], log: Path, runc_root: Path) -> None:
        self.name = name
        self.hits: Counter[str] = Counter()
        self.complaints: list[str] = []
        self.gaps: list[Span] = []  # when no process of it was at work; the last one may go on
        self._argv = tuple(argv)
        self._log = log
        self._runc_root = runc_root
        self._pid = 0
        self._armed: Fault | None = None
        self._following: deque[Fault | None] = deque()
        self._between: Callable[[], None] | None = None  # runs while the part is dead, at a replacement
        self._is_replaced = False
        self._started = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int:
        return self._pid

    @property
    def has_faults(self) -> bool:
        """Whether this process or a successor still has a fault before it."""
        return self._armed is not None or any(self._following)

    def expects(self, *faults: Fault | None) -> bool:
        """Whether one of `faults` still lies before this process or a successor."""
        return any(fault is not None and fault in (self._armed, *self._following) for fault in faults)

    def will_expect(self, fault: Fault | None) -> bool:
        """Whether only a successor has `fault` armed."""
        return fault is not None and fault in self._following

    async def start(self, fault: Fault | None = None) -> None:
        self._spawn(fault)
        self._keeper = asyncio.create_task(self._keep(), name=f"keep the {self.name}")

    async def replace(self, *faults: Fault | None, between: Callable[[], None] | None = None) -> None:
        """Kill it and start another one, which has the first of `faults` armed; its successors have the others."""
        self._following = deque(faults)
        self._between, self._is_replaced = between, True
        self._started.clear()
        assert self._pid, "not started"
        with contextlib.suppress(ProcessLookupError):  # it has just died anyway
            send_signal(self._pid, signal.SIGKILL)
        await self._started.wait()

    async def release(self) -> None:
        """Watch it no longer; it goes on."""
        if self._keeper is not None:
            self._keeper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._keeper

    async def end(self) -> None:
        await self.release()
        if self._pid:
            send_signal(self._pid, signal.SIGKILL)
            await asyncio.to_thread(os.waitpid, self._pid, 0)

    def reap(self) -> None:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self._pid, os.WNOHANG)

    def _spawn(self, fault: Fault | None) -> None:
        self._armed = fault
        environment = dict(os.environ)
        if fault is not None:
            environment[VARIABLE] = f"{fault.place}:{fault.passes}:{fault.how.value}"
        append = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        self._pid = os.posix_spawn(
            self._argv[0],
            self._argv,
            environment,
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, str(self._log), append, 0o640),
                (os.POSIX_SPAWN_DUP2, 1, 2),
            ],
            setsid=True,
        )
        self._started.set()

    async def _keep(self) -> None:
        while True:
            ended = self._find_change()
            if ended is None:
                await asyncio.sleep(_LOOK_S)
            elif ended.si_code == os.CLD_STOPPED:
                await self._wake_up()
            else:
                await self._succeed(ended.si_status if ended.si_code == os.CLD_KILLED else None, ended.si_status)

    def _find_change(self) -> os.waitid_result | None:
        return os.waitid(os.P_PID, self._pid, os.WEXITED | os.WSTOPPED | os.WNOHANG)

    async def _wake_up(self) -> None:
        fault = self._note_hit()
        began = time.monotonic()
        if fault is not None:
            await self._cut_runc(fault)
            await asyncio.sleep(max(0.0, fault.stop_s - (time.monotonic() - began)))
        send_signal(self._pid, signal.SIGCONT)

    async def _succeed(self, number: int | None, status: int) -> None:
        gap = Span(time.monotonic())
        self.gaps.append(gap)
        if self._is_replaced:
            pass
        elif number == signal.SIGKILL and self._armed is not None and self._armed.how is How.KILL:
            fault = self._note_hit()
            if fault is not None:
                await self._cut_runc(fault)
            await asyncio.sleep(RESTART_AFTER_S)
        else:
            self.complaints.append(f"the {self.name} ended by itself: signal {number}, status {status}; see its log")
            await asyncio.sleep(RESTART_AFTER_S)
        self._is_replaced = False
        if self._between is not None:
            self._between()
            self._between = None
        self._spawn(self._following.popleft() if self._following else None)
        gap.until = time.monotonic() + _START_S

    def _note_hit(self) -> Fault | None:
        fault, self._armed = self._armed, None
        if fault is None:
            self.complaints.append(f"the {self.name} was stopped by somebody else")
        else:
            self.hits[fault.place] += 1
        return fault

    async def _cut_runc(self, fault: Fault) -> None:
        if fault.kill_runc_after_s is None:
            return
        await asyncio.sleep(fault.kill_runc_after_s)
        for pid in _find_processes(b"runc", os.fsencode(self._runc_root)):
            with contextlib.suppress(ProcessLookupError):
                send_signal(pid, signal.SIGKILL)


def _find_processes(program: bytes, argument: bytes) -> list[int]:
    """Processes of that program which have `argument`: this installation's runc, and nobody else's."""
    found = []
    for name in os.listdir("/proc"):
        with contextlib.suppress(OSError):
            if name.isdecimal():
                words = Path(f"/proc/{name}/cmdline").read_bytes().split(b"\0")
                if words[0].rsplit(b"/")[-1] == program and argument in words:
                    found.append(int(name))
    return found
