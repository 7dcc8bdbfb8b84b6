"""`python -m hostel.logger --root DIR`."""

import argparse
import sys
from pathlib import Path

from hostel.logger.daemon import Logger, LoggerRunning
from hostel.wire import failpoint
from hostel.wire.errors import ConfigError
from hostel.wire.paths import Paths


def main() -> int:
    parser = argparse.ArgumentParser(prog="hostel.logger", description=__doc__)
    parser.add_argument("--root", type=Path, required=True)
    root: Path = parser.parse_args().root
    try:
        failpoint.arm()
        Logger(Paths(root.resolve())).serve()
    except (LoggerRunning, ConfigError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
