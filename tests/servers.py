"""The servers that Python websites use, each serving `sites/recording.py` from one virtualenv in a user's home."""

import atexit
import functools
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from live import SITES, Platform, User

PACKAGES = ("uvicorn[standard]", "gunicorn", "uvicorn-worker", "hypercorn", "granian", "daphne")


@dataclass(frozen=True, slots=True)
class Server:
    command: str
    has_workers: bool = False  # PID 1 only watches over the processes that serve


SERVERS = {
    "uvicorn": Server("venv/bin/uvicorn --uds $DOMAIN_SOCKET --no-access-log recording:asgi"),
    "uvicorn-workers": Server(
        "venv/bin/uvicorn --uds $DOMAIN_SOCKET --workers 2 --no-access-log recording:asgi", has_workers=True
    ),
    "gunicorn": Server(
        "venv/bin/gunicorn --bind unix:$DOMAIN_SOCKET -k uvicorn_worker.UvicornWorker recording:asgi", has_workers=True
    ),
    "gunicorn-threads": Server(
        "venv/bin/gunicorn --bind unix:$DOMAIN_SOCKET --threads 8 recording:wsgi", has_workers=True
    ),
    "hypercorn": Server("venv/bin/hypercorn --bind unix:$DOMAIN_SOCKET recording:asgi", has_workers=True),
    "granian": Server("venv/bin/granian --interface asgi --uds $DOMAIN_SOCKET recording:asgi", has_workers=True),
    "daphne": Server("venv/bin/daphne -u $DOMAIN_SOCKET recording:asgi"),
}


def install(platform: Platform, user: User) -> None:
    """Make the application and the virtualenv in the user's home. What pip made for the first user of this process, at
    which it works for ten seconds and more, is copied for the others.
    """
    put(platform, user, "recording.py", (SITES / "recording.py").read_text())
    kept, owner = _kept_directory() / "venv", _kept_directory() / "owner"
    if not owner.exists():
        make_virtualenv(platform, user, PACKAGES)
        subprocess.run(["cp", "-a", platform.paths.homes / user.name / "venv", kept], check=True)
        subprocess.run(["chmod", "-R", "a+rX", kept], check=True)
        owner.write_text(user.name)
    else:
        moved = f"s:/home/{owner.read_text()}/:/home/{user.name}/:g"
        named = "find venv/bin venv/pyvenv.cfg -type f"
        platform.in_home(user.name, f"cp -a {kept} venv && {named} -exec sed -i '{moved}' {{}} +")


def make_virtualenv(platform: Platform, user: User, packages: tuple[str, ...]) -> None:
    quoted = " ".join(f"'{package}'" for package in packages)
    # Not compiled: most of what is installed is never imported.
    platform.shell(user.name, f"python3 -m venv venv && venv/bin/pip install --quiet --no-compile {quoted}")


@functools.cache
def _kept_directory() -> Path:
    directory = Path(tempfile.mkdtemp(prefix="hostel-virtualenv-", dir="/tmp"))
    directory.chmod(0o755)
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    return directory


def put(platform: Platform, user: User, name: str, content: str) -> None:
    """Write a file in the user's home."""
    platform.hostel("shell", user.name, "--", "bash", "-c", f"cat > {name}", stdin=content)
