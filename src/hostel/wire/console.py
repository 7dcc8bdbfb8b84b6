"""Consoles: a command on a pseudo-terminal that goes on while nobody looks. What the panel asks of the agent."""

import re
import shlex
from dataclasses import dataclass

from hostel.wire.errors import HostelError, Refusal

TEXT_BYTES_LIMIT = 4_096  # of arguments and of each path
INPUT_BYTES_LIMIT = 1 << 16  # of one call
ROWS_MOST, COLUMNS_MOST = 1_000, 1_000
POSITION = re.compile(r"\d{1,18}")
POSITION_HEADER = "Hostel-Position"  # of the first byte of an answer
SHELL = "bash"
_PYTHON = re.compile(r"python(3(\.\d{1,2})?)?")


class UnknownConsole(Refusal):
    """There is no such console; it may have ended."""

    code = "unknown_console"
    status = 404


class ConsoleRefused(Refusal):
    """A console cannot be opened that way."""

    code = "console_refused"


class ConsoleUnreachable(HostelError):
    """The console does not answer at the moment; try again."""

    code = "console_unreachable"
    status = 503
    is_retryable = True


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsoleRequest:
    """Panel → agent, `POST /tenants/<name>/consoles`: open one. Where it goes is found out in it, as the tenant."""

    executable: str = SHELL  # bash, python, python3.X, or the absolute path of a program
    arguments: str = ""  # as a shell splits them
    working_directory: str = ""  # "" is the home
    virtualenv: str = ""  # "" is none; else its directory, or its name below WORKON_HOME


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsoleReport:
    """Agent → panel: an open console. It ends with its command."""

    id: int
    wanted: ConsoleRequest
    started_at: str  # ISO 8601, UTC

    @property
    def name(self) -> str:
        return f"{describe(self.wanted.executable)} console {self.id}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsoleReports:
    """Agent → panel, `GET /tenants/<name>/consoles`."""

    consoles: tuple[ConsoleReport, ...] = ()
    pythons: tuple[str, ...] = ()  # which could be opened: python3.11, ...; the newest first


@dataclass(frozen=True, slots=True, kw_only=True)
class InputTaken:
    """Agent → panel, `POST /tenants/<name>/consoles/<id>/input`."""

    taken: int  # of the bytes sent, from the first on; the others are lost: nobody reads them


def describe(executable: str) -> str:
    """In words for people: Bash, Python 3.11, or the program's name."""
    name = executable.rsplit("/", 1)[-1]
    if _PYTHON.fullmatch(name):
        return f"Python {name.removeprefix('python')}".strip()
    return name.capitalize()


def check_console(wanted: ConsoleRequest, *, pythons: tuple[str, ...]) -> ConsoleRequest:
    """`wanted`, or ConsoleRefused. Says nothing about what is in the home."""
    given = {"arguments": wanted.arguments, "working_directory": wanted.working_directory,
             "virtualenv": wanted.virtualenv, "executable": wanted.executable}  # fmt: skip
    for field, text in given.items():
        if not text.isprintable() or len(text.encode(errors="replace")) > TEXT_BYTES_LIMIT:
            raise ConsoleRefused(f"{field}: expected one line of printable text, of at most {TEXT_BYTES_LIMIT} bytes.")
    known = (SHELL, "python", "python3", *pythons)
    if wanted.executable not in known and not _is_absolute(wanted.executable):
        raise ConsoleRefused(f"executable: expected {', '.join(known)}, or the absolute path of a program.")
    if wanted.working_directory and not _is_absolute(wanted.working_directory):
        raise ConsoleRefused("working_directory: expected an absolute path, /home/you/site for example.")
    if wanted.virtualenv and not _is_absolute(wanted.virtualenv) and not _is_name(wanted.virtualenv):
        raise ConsoleRefused("virtualenv: expected its absolute path, or its name as `workon` takes it.")
    if wanted.virtualenv and wanted.executable not in known:
        raise ConsoleRefused("virtualenv: only bash and Python open in one; name its own program by its path instead.")
    split_arguments(wanted.arguments)
    return wanted


def split_arguments(arguments: str) -> tuple[str, ...]:
    """Raises ConsoleRefused."""
    try:
        return tuple(shlex.split(arguments))
    except ValueError as error:
        raise ConsoleRefused(f"arguments: they cannot be split: {error}.") from error


def _is_absolute(path: str) -> bool:
    return path.startswith("/") and len(path) > 1


def _is_name(virtualenv: str) -> bool:
    return "/" not in virtualenv and virtualenv not in (".", "..")
