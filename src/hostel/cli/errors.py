"""Errors of the command line, and the next step that goes with each."""

import shlex
from pathlib import Path

from hostel.wire.errors import HostelError


class CommandFailed(HostelError):
    """The command could not be carried out."""

    code = "command_failed"

    def __init__(self, message: str, *, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


class NotRoot(CommandFailed):
    """This needs root."""

    code = "not_root"

    def __init__(self) -> None:
        super().__init__("this command must run as root", hint="run it again with sudo, or from a root shell")


_HINTS = {
    "agent_unreachable": "start the platform with `{hostel} up`; `{hostel} doctor` says what stands in the way",
    "gate_closed": "`{hostel} doctor` names what is not in force, and what to do",
    "unknown_tenant": "`{hostel} user list` shows the users",
    "unknown_website": "`{hostel} website list` shows the websites",
    "website_disabled": "the website's owner can enable it",
    "bad_configuration": "correct the file and run the command again",
    "bad_limit": "`{hostel} user limits NAME` shows all limits and their values",
    "malformed_message": "the running platform is of another version: stop it and run `{hostel} up` again",
    "invalid_name": "run the command again with another name",
}


def hint_for(error: HostelError, *, root: Path) -> str:
    """What to do next about `error`, in one line."""
    if isinstance(error, CommandFailed):
        return error.hint
    fallback = "`{hostel} doctor` looks for the cause; the platform's own logs are in {log}"
    return _HINTS.get(error.code, fallback).format(hostel=hostel(root), log=root / "var/log/hostel")


def hostel(root: Path) -> str:
    """How to call this command line for the installation at `root`."""
    return "hostel" if root == Path("/") else f"HOSTEL_ROOT={shlex.quote(str(root))} hostel"
