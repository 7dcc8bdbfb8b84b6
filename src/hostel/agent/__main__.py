"""`python -m hostel.agent --root DIR`: the agent of one root, in the foreground."""

import argparse
import asyncio
import os
import resource
import sys
from pathlib import Path

import structlog

from hostel.agent.daemon import Daemon
from hostel.wire import failpoint
from hostel.wire.errors import ConfigError

EX_CONFIG = 78  # sysexits.h: the supervisor does not try again


def main() -> int:
    arguments = argparse.ArgumentParser(prog="python -m hostel.agent")
    arguments.add_argument("--root", type=Path, default=Path("/"))
    arguments.add_argument("--end", action="store_true", help="only end what an agent that was killed has left")
    asked = arguments.parse_args()
    root = asked.root.resolve()
    os.umask(0o022)
    # Three descriptors a run, two a tenant: systemd's soft limit of 1,024 would end at some 300 websites.
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
    )
    try:
        failpoint.arm()
        asyncio.run(Daemon(root).end() if asked.end else Daemon(root).serve())
    except ConfigError as error:
        print(f"error: {error}", file=sys.stderr)
        return EX_CONFIG
    return 0


if __name__ == "__main__":
    sys.exit(main())
