"""`python -m hostel.panel.serve --newest EPOCH.REVISION`: bring the database to this code, then answer requests.

Both in one process, for Python and Django take longer to start than either takes to do.
"""

import argparse
import gc
import importlib
import os
import sys
import traceback

import django
import uvicorn
from django.conf import settings
from django.core.management import call_command

from hostel.wire.console import INPUT_BYTES_LIMIT


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m hostel.panel.serve")
    parser.add_argument("--newest", required=True, metavar="EPOCH.REVISION")
    options = parser.parse_args()
    os.environ["DJANGO_SETTINGS_MODULE"] = "hostel.panel.settings"
    django.setup()
    preparing = _prepare(options.newest)
    importlib.import_module(settings.ROOT_URLCONF)  # meanwhile, and not with the first request
    _, status = os.waitpid(preparing, 0)
    if status != 0:
        return 1
    from hostel.panel.asgi import application  # opens the database

    # What Django consists of stays: looking through it in each collection holds up requests for a tenth of a second.
    gc.collect()
    gc.freeze()
    uvicorn.run(
        application,
        uds=os.environ["DOMAIN_SOCKET"],
        access_log=False,
        lifespan="off",
        ws="websockets-sansio",
        ws_max_size=INPUT_BYTES_LIMIT,
        ws_per_message_deflate=False,
    )
    return 0


def _prepare(newest: str) -> int:
    """The pid of a child that does it: what it takes of memory is given back."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            call_command("prepare", "--newest", newest)
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            os._exit(status)
    return child


if __name__ == "__main__":
    sys.exit(main())
