"""Debian's Chromium for tests: how it starts, whom it trusts, and windows that note what happens in them."""

import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Playwright

from live import Platform, User

DEADLINE_MS = 30_000
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
).split()


@dataclass(frozen=True, slots=True)
class Window:
    """One page in a browser profile of its own, with what it said and asked for."""

    page: Page
    console: list[str] = field(default_factory=list)
    requested: list[str] = field(default_factory=list)

    def listen(self) -> None:
        self.page.on("console", lambda message: self.console.append(message.text))
        self.page.on("pageerror", lambda error: self.console.append(str(error)))
        self.page.on("request", lambda request: self.requested.append(request.url))

    def complaints(self) -> list[str]:
        """What the console shows, but for Chromium's note that a page came with a status of 400 or more."""
        return [line for line in self.console if not line.startswith("Failed to load resource: the server responded")]

    def foreign_requests(self, own: str) -> list[str]:
        return [url for url in self.requested if not url.startswith((own, "data:", "blob:"))]

    def send_login(self, platform: Platform, name: str, password: str, *, path: str = "") -> None:
        """Ask for a page of the panel that wants a login, and fill in the form."""
        self.page.goto(f"{platform.panel_url}{path}")
        self.page.get_by_label("User name").fill(name)
        self.page.get_by_label("Password").fill(password)
        self.page.get_by_role("button", name="Log in").click()

    def log_in(self, platform: Platform, user: User) -> None:
        self.send_login(platform, user.name, user.password)
        self.page.wait_for_url(f"{platform.panel_url}user/{user.name}/")


OpenWindow = Callable[..., Window]  # with Playwright's options of a browser context


def launch(playwright: Playwright, home: Path, *, network: str) -> Browser:
    """Chromium with this home directory, in the network namespace of this name."""
    starter = home / "chromium"
    chromium = program("chromium", package="chromium")
    starter.write_text(f'#!/bin/sh\nexec nsenter --net=/run/netns/{network} {chromium} "$@"\n')
    starter.chmod(0o755)
    environment: dict[str, str | float | bool] = {"HOME": str(home), "PATH": "/usr/bin:/bin"}
    return playwright.chromium.launch(executable_path=starter, args=FLAGS, env=environment)


def trust(ca_file: Path, home: Path) -> None:
    """Chromium on Linux reads trusted authorities from the NSS database in the home directory."""
    certutil = program("certutil", package="libnss3-tools")
    database = home / ".pki/nssdb"
    database.mkdir(parents=True)
    subprocess.run([certutil, "-d", f"sql:{database}", "-N", "--empty-password"], check=True)
    added = ["-A", "-n", "hostel", "-t", "C,,", "-i", str(ca_file)]
    subprocess.run([certutil, "-d", f"sql:{database}", *added], check=True)


def program(name: str, *, package: str) -> str:
    path = shutil.which(name)
    if path is None:
        pytest.fail(f"{name} is missing; install it: apt-get install --yes {package}", pytrace=False)
    return path
