"""Many Django websites on one platform, for the benchmarks of sleep: sqlite, the admin, one uvicorn each.

Users have SITES_OF_ONE websites each and a virtualenv of their own, copied file by file, so that they share no more of
the machine's memory than users do who installed the same versions.
"""

import contextlib
import functools
import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import httpx

from hostel.agent import cgroup
from hostel.agent.hibernation import read_memory
from live import Platform, User, running
from machine import cpu_s

MIB = 1 << 20
SITES_OF_ONE = 20
SWAP_OF_ONE_MB = 45  # what one Django website has there, and some more
SETTINGS = f"""[limits]
user_websites = {SITES_OF_ONE}
user_memory_mb = 16384
user_pids = 8192
user_cpu = 16.0
"""
PAGE = "/admin/login/"
COMMAND = "venv/bin/python -m uvicorn --app-dir {place} --uds $DOMAIN_SOCKET --no-access-log site0.asgi:application"
MAKE = """
python3 -m venv venv && venv/bin/pip install --quiet 'django>=5.2,<5.3' uvicorn || exit
mkdir template && venv/bin/python -m django startproject site0 template || exit
sed -i "s/^ALLOWED_HOSTS = .*/ALLOWED_HOSTS = ['*']/" template/site0/settings.py
venv/bin/python template/manage.py migrate --verbosity 0 || exit
venv/bin/python -m compileall -q template venv
"""
NO_POOL = httpx.Limits(max_connections=None, max_keepalive_connections=0)
STARTED = '"event": "sandbox ready"'


@dataclass(frozen=True, slots=True)
class Memory:
    """Of the whole machine."""

    available_bytes: int
    swap_free_bytes: int

    @classmethod
    def now(cls) -> "Memory":
        rows = read_memory()
        return cls(rows["MemAvailable"], rows["SwapFree"])


@dataclass
class Fleet:
    """`labels` by user; made by `made`."""

    platform: Platform
    before: Memory  # when platform and users were there, and no website
    labels: dict[User, list[str]]
    command: str = COMMAND  # with `{place}` for the label
    page: str = PAGE

    @property
    def all_labels(self) -> list[str]:
        return [label for labels in self.labels.values() for label in labels]

    def start(self) -> None:
        """Create every website, some at a time, and let it answer one request."""
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda user: [self._start(user, label) for label in self.labels[user]], self.labels))

    def _start(self, user: User, label: str) -> None:
        created = self.platform.create(user, label, self.command.format(place=label))
        if created.status_code != 201 or created.json()["webapp"]["state"] != "running":
            raise SystemExit(f"{label} does not start: {created.text}")
        self.visit(label)

    def visit(self, label: str) -> float:
        """Seconds until one request, on a connection of its own, was answered."""
        began = time.monotonic()
        response = self._client.get(self.platform.url(label, self.page, https=False))
        took_s = time.monotonic() - began
        if response.status_code != 200:
            raise SystemExit(f"{label}: {response.status_code} {response.text[:300]}")
        return took_s

    def let_sleep(self, tier: str, *, after_s: int) -> None:
        """For the whole plan of every user."""
        for user in self.labels:
            self.platform.hostel("user", "limits", user.name, f"site_sleep={tier}", f"site_sleep_after_s={after_s}")

    def until_asleep(self, *, deadline_s: float) -> float:
        """Seconds until all sleep and nothing more is moved to the swap."""
        began = time.monotonic()
        while states := [each for each in self.states().values() if each != "asleep"]:
            if time.monotonic() - began > deadline_s:
                raise SystemExit(f"{len(states)} websites do not fall asleep:\n{self.platform.hostel('doctor').stdout}")
            time.sleep(1)
        took_s = time.monotonic() - began
        before, after = Memory(0, 0), Memory.now()
        while abs(before.swap_free_bytes - after.swap_free_bytes) > MIB and time.monotonic() - began < deadline_s:
            time.sleep(3)
            before, after = after, Memory.now()
        return took_s

    def states(self) -> dict[str, str]:
        rows = json.loads(self.platform.hostel("website", "list", "--json").stdout)
        return {row["domain_name"]: row["state"] for row in rows}

    def started(self) -> int:
        """How many runs the agent has started so far."""
        return (self.platform.paths.log / "agent.log").read_text().count(STARTED)

    def cpu_s(self) -> dict[str, float]:
        """Of the users together, and of each part of the platform."""
        parts = {part: _cpu_s_below(self.platform.part_pid(part)) for part in ("agent", "logger", "edge")}
        return {"websites": cgroup.read_cpu_s(self.cgroup), **parts}

    def cpu_percent(self, seconds: float) -> dict[str, float]:
        """Of a core, that the same took while nobody came for so long."""
        before, began = self.cpu_s(), time.monotonic()
        time.sleep(seconds)
        took_s, after = time.monotonic() - began, self.cpu_s()
        return {part: round((after[part] - before[part]) / took_s * 100, 2) for part in after}

    def charged_bytes(self) -> int:
        """RAM that all websites' cgroups together are charged with, without what the kernel can drop at once."""
        return cgroup.read_counters(self.cgroup).memory_bytes

    @functools.cached_property
    def _client(self) -> httpx.Client:
        """One for all: to make one takes longer than many an answer."""
        return httpx.Client(limits=NO_POOL, timeout=90, trust_env=False, verify=False)

    @functools.cached_property
    def cgroup(self) -> str:
        """Of all users together."""
        checks = json.loads(self.platform.hostel("doctor", "--json", check=False).stdout)
        return "/hostel-" + next(row["message"].split()[-1] for row in checks if row["name"] == "platform")


def _cpu_s_below(pid: int) -> float:
    """Of a process and its children."""
    children = subprocess.run(["ps", "--ppid", str(pid), "-o", "pid="], capture_output=True, text=True, check=False)
    return sum(_cpu_s(each) for each in [pid, *map(int, children.stdout.split())])


def _cpu_s(pid: int) -> float:
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return cpu_s(pid)
    return 0.0


@contextlib.contextmanager
def made(sites: int) -> Iterator[Fleet]:
    """A platform with users and what their websites need, none of which is there yet."""
    with running(SETTINGS) as platform:
        users = [f"fleet{number}" for number in range(-(-sites // SITES_OF_ONE))]
        first = platform.add_user(users[0])
        platform.shell(first.name, MAKE)
        owners = [first, *(platform.add_user(name) for name in users[1:])]
        labels: dict[User, list[str]] = {}
        for owner in owners:
            count = min(SITES_OF_ONE, sites - SITES_OF_ONE * len(labels))
            labels[owner] = [owner.name, *(f"s{number}-{owner.name}" for number in range(1, count))]
            _furnish(platform.paths.homes / first.name, platform.paths.homes / owner.name, labels[owner])
        subprocess.run(["sync"], check=True)
        time.sleep(2)
        yield Fleet(platform, Memory.now(), labels)


def _furnish(first: Path, home: Path, labels: list[str]) -> None:
    """The virtualenv, and a copy of the project for each website."""
    if home != first:
        shutil.copytree(first / "venv", home / "venv", symlinks=True)
    for label in labels:
        shutil.copytree(first / "template", home / label)
    uid = home.stat().st_uid
    subprocess.run(["chown", "-R", "-h", f"{uid}:{uid}", *(str(home / name) for name in ("venv", *labels))], check=True)


def percentile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
