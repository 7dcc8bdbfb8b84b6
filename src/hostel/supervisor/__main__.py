"""`python -m hostel.supervisor --root DIR`: what `hostel up` becomes."""

import argparse
import os
import signal
import sys
from functools import partial
from pathlib import Path

from hostel.supervisor.daemon import Supervisor, say
from hostel.supervisor.nginx import end_nginx
from hostel.supervisor.own_log import OwnLog
from hostel.supervisor.part import Part, StopStep
from hostel.wire.output import REOPEN
from hostel.wire.paths import Paths
from hostel.wire.process import protect_from_out_of_memory


def hostel_parts(paths: Paths) -> list[Part]:
    """In the order in which they are stopped."""
    return [
        Part(
            name="edge",
            argv=_argv("edge", paths),
            stop=(
                StopStep(number=signal.SIGQUIT, wait_s=5.0),  # nginx: answer what has arrived, accept nothing more
                StopStep(number=signal.SIGTERM, wait_s=2.0),
            ),
            own_log=_own_log("edge.error", paths),
            clear=partial(end_nginx, paths),
        ),
        Part(
            name="agent",
            argv=_argv("agent", paths),
            stop=(StopStep(number=signal.SIGTERM, wait_s=30.0),),  # it stops all sandboxes
            own_log=_own_log("agent", paths),
            renewed_by=signal.SIGKILL,  # TERM would end the websites
            finish=(*_argv("agent", paths), "--end"),
        ),
        Part(
            name="logger",
            argv=_argv("logger", paths),
            stop=(StopStep(number=signal.SIGTERM, wait_s=5.0),),
            renewed_by=signal.SIGTERM,
        ),
    ]


def _own_log(name: str, paths: Paths) -> OwnLog:
    return OwnLog(path=paths.log / f"{name}.log", reopened_by=REOPEN)


def _argv(name: str, paths: Paths) -> tuple[str, ...]:
    # -P: the directory that the supervisor was started in must have no say in what is imported.
    return (sys.executable, "-P", "-m", f"hostel.{name}", "--root", str(paths.root))


def ensure_clean_process() -> None:
    """Give a process that may have been started in any way what daemons rely on.

    Standard streams that are closed would make the next opened file one of them; descriptors that a shell left open
    would stay open in every part.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, which is this one
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    os.umask(0o022)
    os.chdir("/")


def main() -> int:
    parser = argparse.ArgumentParser(prog="hostel.supervisor", description=__doc__)
    parser.add_argument("--root", type=Path, required=True)
    root: Path = parser.parse_args().root
    if os.geteuid() != 0:
        say("Hostel needs root: run `hostel up` as root, with sudo for example.")
        return 1
    paths = Paths(root.resolve())
    ensure_clean_process()
    try:
        protect_from_out_of_memory()
    except OSError as error:
        say(
            f"When the machine runs out of memory the platform may be hit: it cannot protect itself ({error.strerror})."
        )
    return Supervisor(paths, hostel_parts(paths)).serve()


if __name__ == "__main__":
    sys.exit(main())
