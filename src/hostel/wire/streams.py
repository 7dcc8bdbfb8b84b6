"""Between agent and logger: which FIFO goes to which log file.

The logger's socket takes one JSON object a line and answers each with one line. Verbs: `open` and `close` (each with
`run`; `close` answers when everything written so far is in the file) and `tail` (with `run`; answers the last lines
of the run's stderr).
"""

from dataclasses import dataclass
from enum import StrEnum

from hostel.wire.website import RunId

PIPE_BYTES = 1 << 20  # a site may write this much while no logger reads, before its write blocks
TAIL_LINES = 20
TAIL_BYTES = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Streams:
    """`streams.json` beside the FIFOs `stdout` and `stderr` of a run: absolute paths of the files they go to."""

    run: RunId
    stdout: str
    stderr: str


class LoggerVerb(StrEnum):
    OPEN = "open"
    CLOSE = "close"
    TAIL = "tail"


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggerRequest:
    verb: LoggerVerb
    run: RunId


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggerAnswer:
    """`error` is "" when the verb was done. `lines` is for `tail`."""

    error: str = ""
    lines: tuple[str, ...] = ()
