"""`python -m hostel.panel ...`: Django's management commands for this panel, each error one clear line."""

import logging
import os
import sys

from hostel.wire.errors import ConfigError


def main() -> int:
    os.environ["DJANGO_SETTINGS_MODULE"] = "hostel.panel.settings"
    from django.core.management import execute_from_command_line

    try:
        from hostel.panel.settings import HOSTEL_IS_CONFIGURED, HOSTEL_PATHS
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 1
    if not HOSTEL_IS_CONFIGURED:
        print(f"{HOSTEL_PATHS.config_file} does not exist.", file=sys.stderr)
        print("hint: `hostel up` writes it; HOSTEL_ROOT names another root than /.", file=sys.stderr)
        return 1
    logging.disable(logging.INFO)  # a person reads what commands print; warnings still come through
    execute_from_command_line(["python -m hostel.panel", *sys.argv[1:]])
    return 0


if __name__ == "__main__":
    sys.exit(main())
