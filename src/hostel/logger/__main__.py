"""`python -m hostel.logger --root DIR`."""

import argparse
import sys
from pathlib import Path

from hostel.logger.daemon import Logger, LoggerRunning, Options
from hostel.logger.rotation import Retention
from hostel.wire import failpoint
from hostel.wire.config import read_config
from hostel.wire.errors import ConfigError
from hostel.wire.paths import Paths
from hostel.wire.process import be_prompt
from hostel.wire.website import MIB


def main() -> int:
    parser = argparse.ArgumentParser(prog="hostel.logger", description=__doc__)
    parser.add_argument("--root", type=Path, required=True)
    root: Path = parser.parse_args().root
    try:
        failpoint.arm()
        be_prompt()
        paths = Paths(root.resolve())
        Logger(paths, read_options(paths)).serve()
    except (LoggerRunning, ConfigError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def read_options(paths: Paths) -> Options:
    """What hostel.toml says of logs; without one, the defaults. Raises ConfigError."""
    if not paths.config_file.exists():
        return Options()
    logs = read_config(paths.config_file).logs
    return Options(retention=Retention(age_s=logs.days * 86_400, total_bytes=logs.user_mb * MIB))


if __name__ == "__main__":
    sys.exit(main())
