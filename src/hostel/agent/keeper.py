"""Runs inside a sandbox as the tenant, with the sandbox's own python3: keeps one command on a pseudo-terminal.

Started as `python3 -I keeper.py COMMAND...`. Bytes of descriptor 0 go to the terminal, what the terminal shows goes
to descriptor 1, and lines `rows columns` on descriptor 3 set its size. Exits as the command does. It is PID 1 of the
sandbox, so it also buries the orphans. Standard library only: no part of Hostel is visible here.
"""

import contextlib
import fcntl
import os
import pty
import select
import signal
import struct
import sys
import termios

SIZES = 3


def main() -> int:
    child, terminal = pty.fork()
    if child == 0:
        with contextlib.suppress(OSError):
            os.close(SIZES)
        for number in (signal.SIGPIPE, signal.SIGXFSZ):  # which Python ignores, and the command would inherit that
            signal.signal(number, signal.SIG_DFL)
        try:
            os.execvp(sys.argv[1], sys.argv[1:])
        except OSError as error:
            print(f"{sys.argv[1]}: {error.strerror}", file=sys.stderr)
            os._exit(127)
    signal.signal(signal.SIGTERM, lambda *_: os.killpg(child, signal.SIGHUP))
    relay(terminal)
    return wait_for(child)


def relay(terminal: int) -> None:
    """Copy in both directions until the command's end closes the terminal."""
    inputs = [0, SIZES, terminal]
    while True:
        readable, _, _ = select.select(inputs, [], [])
        for descriptor in readable:
            try:
                data = os.read(descriptor, 65536)
            except OSError:  # EIO: nobody has the terminal open any more
                data = b""
            if descriptor == terminal:
                if not data:
                    return
                write_all(1, data)
            elif not data:
                inputs.remove(descriptor)
                if descriptor == 0:
                    write_all(terminal, b"\x04")  # end of file, as Ctrl-D says it
            elif descriptor == SIZES:
                resize(terminal, data)
            else:
                write_all(terminal, data)


def resize(terminal: int, data: bytes) -> None:
    with contextlib.suppress(ValueError, IndexError, struct.error):
        rows, columns = map(int, data.decode().splitlines()[-1].split())
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


def write_all(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


def wait_for(child: int) -> int:
    while True:
        pid, status = os.wait()
        if pid == child:
            return os.waitstatus_to_exitcode(status) & 0xFF if os.WIFEXITED(status) else 128 + os.WTERMSIG(status)


if __name__ == "__main__":
    sys.exit(main())
