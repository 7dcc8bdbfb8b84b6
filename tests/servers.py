"""The servers that Python websites use, each serving `sites/recording.py` from one virtualenv in a user's home."""

from dataclasses import dataclass

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


def install(platform: Platform, user: User, packages: tuple[str, ...] = PACKAGES) -> None:
    """Make the virtualenv and the application in the user's home."""
    quoted = " ".join(f"'{package}'" for package in packages)
    # Not compiled: most of what is installed is never imported.
    platform.shell(user.name, f"python3 -m venv venv && venv/bin/pip install --quiet --no-compile {quoted}")
    put(platform, user, "recording.py", (SITES / "recording.py").read_text())


def put(platform: Platform, user: User, name: str, content: str) -> None:
    """Write a file in the user's home."""
    platform.hostel("shell", user.name, "--", "bash", "-c", f"cat > {name}", stdin=content)
