"""`python -m hostel.edge --root DIR`: prepare nginx, then become it. This pid is nginx's master afterwards."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import structlog

from hostel.edge import configure
from hostel.wire.config import read_config
from hostel.wire.errors import HostelError
from hostel.wire.paths import Paths
from hostel.wire.process import be_prompt

EX_CONFIG = 78  # sysexits.h: trying again without a change of the machine or the configuration is no use


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m hostel.edge", description=__doc__)
    parser.add_argument("--root", type=Path, required=True, help="the installation's root directory")
    paths = Paths(parser.parse_args(arguments).root.resolve())
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    try:
        command = prepare(paths)
    except HostelError as error:
        structlog.get_logger().error("the edge cannot start", code=error.code, reason=str(error))
        return EX_CONFIG
    return become(command)


def prepare(paths: Paths) -> list[str]:
    """Check everything, then write everything; returns the command that runs nginx in the foreground.

    Raises HostelError saying what to do.
    """
    nginx = configure.find_nginx()
    config = read_config(paths.config_file)
    configure.check_paths(paths)
    configure.remove_stale_socket(paths)
    machine = configure.examine_machine(config)
    configure.check_ports(config, machine.addresses)
    configure.wait_for_certificate(paths)
    conf = configure.install(paths, config, machine)
    configure.check_reachable(paths)
    configure.check_nginx_conf(nginx, conf)
    return [nginx, "-c", str(conf)]


def become(command: list[str]) -> NoReturn:
    be_prompt()
    # nginx writes the access logs' times in its own time zone; nothing else of our environment is its business.
    os.execve(command[0], command, {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "TZ": "UTC"})


if __name__ == "__main__":
    sys.exit(main())
