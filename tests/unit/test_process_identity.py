import dataclasses
import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from hostel.wire.process import ProcessIdentity
from waiting import until


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "60"]) as process:
        yield process
        process.kill()


def test_a_process_is_alive_until_it_ends_also_as_a_zombie(sleeper: subprocess.Popen[bytes]):
    identity = ProcessIdentity.of(sleeper.pid)
    assert identity.is_alive()
    assert not identity.is_killed()
    os.kill(sleeper.pid, signal.SIGKILL)
    os.waitid(os.P_PID, sleeper.pid, os.WEXITED | os.WNOWAIT)
    assert ProcessIdentity.of(sleeper.pid) == identity, "a zombie still has its pid"
    assert not identity.is_alive()
    sleeper.wait()
    assert not identity.is_alive()
    assert identity.is_killed()
    with pytest.raises(ProcessLookupError):
        ProcessIdentity.of(sleeper.pid)


LEAVES_A_THREAD = """
import ctypes, platform, threading, time
threading.Thread(target=time.sleep, args=(60,)).start()
ctypes.CDLL(None).syscall({"x86_64": 60, "aarch64": 93}[platform.machine()], 0)  # exit(2), of this thread alone
"""


def test_a_process_whose_first_thread_has_ended_is_alive_with_the_others():
    """It has its files open still: connections to its sockets are accepted."""
    with subprocess.Popen([sys.executable, "-c", LEAVES_A_THREAD]) as process:
        identity = ProcessIdentity.of(process.pid)
        until(lambda: " Z " in Path(f"/proc/{process.pid}/stat").read_text())
        assert identity.is_alive()
        process.kill()
        process.wait()
        assert not identity.is_alive()


@pytest.mark.parametrize("change", [{"start_ticks": 1}, {"boot_id": "0e5b9f4e-of-an-earlier-boot"}])
def test_a_later_process_with_the_same_pid_is_another_one(sleeper: subprocess.Popen[bytes], change: dict[str, object]):
    earlier = dataclasses.replace(ProcessIdentity.of(sleeper.pid), **change)  # type: ignore[arg-type]
    assert not earlier.is_alive()
    with pytest.raises(ProcessLookupError):
        earlier.open_pidfd()
    earlier.send(signal.SIGKILL)
    assert sleeper.poll() is None, "the signal went to the wrong process"


def test_a_later_thread_with_the_same_number_is_another_one():
    """After a reboot numbers are dealt out anew, and threads get of the same ones."""
    is_over = threading.Event()
    thread = threading.Thread(target=is_over.wait)
    thread.start()
    try:
        assert thread.native_id is not None
        earlier = ProcessIdentity(pid=thread.native_id, start_ticks=1, boot_id="0e5b9f4e-of-an-earlier-boot")
        assert not earlier.is_alive()
        with pytest.raises(ProcessLookupError):
            earlier.open_pidfd()
        earlier.send(signal.SIGKILL)
    finally:
        is_over.set()
        thread.join()


def test_a_pidfd_becomes_readable_when_the_process_ends(sleeper: subprocess.Popen[bytes]):
    identity = ProcessIdentity.of(sleeper.pid)
    pidfd = identity.open_pidfd()
    assert select.select([pidfd], [], [], 0) == ([], [], [])
    identity.send(signal.SIGTERM)
    assert select.select([pidfd], [], [], 10)[0] == [pidfd]
    os.close(pidfd)
    assert sleeper.wait() == -signal.SIGTERM


def test_exec_changes_neither_pid_nor_start(sleeper: subprocess.Popen[bytes]):
    with subprocess.Popen(["sh", "-c", "read line; exec sleep 60"], stdin=subprocess.PIPE) as process:
        identity = ProcessIdentity.of(process.pid)
        assert process.stdin is not None
        process.stdin.write(b"go\n")
        process.stdin.close()
        assert identity.is_alive()
        process.kill()
