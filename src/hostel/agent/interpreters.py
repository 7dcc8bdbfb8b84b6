"""The host's Python interpreters, found once at start and shown in sandboxes under /opt/python/3.X."""

import asyncio
import contextlib
import glob
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

_NAME = re.compile(r"python3\.(\d+)")
_ASK = (
    "import sys, sysconfig; print('%d.%d.%d' % sys.version_info[:3], sysconfig.get_config_var('Py_ENABLE_SHARED') or 0)"
)
_DEADLINE_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Interpreter:
    """One python3.X. `prefix` is the folder that holds bin/python3.X; `/usr` for the distribution's own."""

    version: tuple[int, int, int]
    prefix: Path
    is_shared: bool = False  # its libpython lies below the prefix it was built for, where the loader looks for it

    @property
    def name(self) -> str:
        """`3.X`: virtualenvs keep to this, so that they survive a patch upgrade."""
        return f"3.{self.version[1]}"

    @property
    def is_system(self) -> bool:
        return self.prefix == Path("/usr")


async def find_interpreters(patterns: Iterable[str]) -> list[Interpreter]:
    """The newest patch release of each python3.X below `patterns` (globs of prefixes) and /usr, oldest first."""
    prefixes = [Path("/usr")]
    for pattern in patterns:
        prefixes += map(Path, sorted(glob.glob(os.path.expanduser(pattern))))
    found = await asyncio.gather(*(_ask(prefix, binary) for prefix in prefixes for binary in _binaries(prefix)))
    newest: dict[str, Interpreter] = {}
    for interpreter in filter(None, found):
        known = newest.get(interpreter.name)
        if known is None or interpreter.version > known.version:
            newest[interpreter.name] = interpreter
    return sorted(newest.values(), key=lambda interpreter: interpreter.version)


def _binaries(prefix: Path) -> list[Path]:
    with contextlib.suppress(OSError):
        return [Path(entry.path) for entry in os.scandir(prefix / "bin") if _NAME.fullmatch(entry.name)]
    return []


async def _ask(prefix: Path, binary: Path) -> Interpreter | None:
    """The interpreter behind `binary`, or None if it does not run, or belongs to another prefix."""
    with contextlib.suppress(OSError, ValueError, TimeoutError):
        process = await asyncio.create_subprocess_exec(
            str(binary),
            "-I",
            "-S",
            "-c",
            _ASK,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            cwd="/",
        )
        async with asyncio.timeout(_DEADLINE_S):
            output, _ = await process.communicate()
        version, shared = output.decode().split()
        major, minor, micro = map(int, version.split("."))
        return Interpreter(version=(major, minor, micro), prefix=prefix, is_shared=shared == "1")
    return None
