"""nginx's workers: as whom they run, and what only they may read."""

import grp
import os

from hostel.wire.paths import Paths

WORKER_USER = "www-data"


def worker_group() -> int:
    return grp.getgrnam(WORKER_USER).gr_gid


def ensure_routes_directory(paths: Paths) -> None:
    """Make the directory of the route records, readable by nginx's workers and nobody else."""
    paths.routes.mkdir(parents=True, exist_ok=True)
    os.chown(paths.routes, 0, worker_group())
    paths.routes.chmod(0o750)
