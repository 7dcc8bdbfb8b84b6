"""Reads a website's command, as far as commands are alike, and knows the servers that people start. Pure.

What bash makes of a line in all its ways is bash's alone to know: what is not understood here is left as it is.
"""

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

# A word as bash cuts it, or an operator. Spans matter: whatever is mended, the rest of the line stays to the byte.
_WORD = re.compile(
    r"""(?:[^\s'"\\;&|<>()`]|\\.|'[^']*'|"(?:[^"\\]|\\.)*")+|&&|\|\||[;&|<>()`'"\\]""",
)
_ASSIGNMENT = re.compile(r"([A-Za-z_]\w*)=(.*)", re.DOTALL)
_APPLICATION = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*(\(.*\))?")
_MODULE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")
_PYTHON = re.compile(r"python(3(\.\d+)?)?")
SOCKET = "DOMAIN_SOCKET"
PORT = "PORT"


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """How one server is told where to listen."""

    socket: str  # the words that let it listen on the socket; "" where it cannot
    port: str  # the same for the port
    listens: frozenset[str]  # all its options that say where to listen, each with a value
    directory: str = ""  # the option that names where the application lies
    subcommand: str = ""  # what stands before its options
    is_wsgi: bool = False  # serves WSGI unless it is told otherwise
    script: bool = False  # its application is a file


def _server(socket: str, port: str, listens: str, **more: object) -> Server:
    return Server(socket=socket, port=port, listens=frozenset(listens.split()), **more)  # type: ignore[arg-type]


SERVERS: Mapping[str, Server] = {
    "uvicorn": _server(
        "--uds $DOMAIN_SOCKET", "--host 127.0.0.1 --port $PORT", "--uds --host --port --fd", directory="--app-dir"
    ),
    "gunicorn": _server(
        "--bind unix:$DOMAIN_SOCKET", "--bind 127.0.0.1:$PORT", "--bind -b", directory="--chdir", is_wsgi=True
    ),
    "hypercorn": _server("--bind unix:$DOMAIN_SOCKET", "--bind 127.0.0.1:$PORT", "--bind -b --insecure-bind"),
    "daphne": _server("-u $DOMAIN_SOCKET", "-b 127.0.0.1 -p $PORT", "-u --unix-socket -b --bind -p --port --fd"),
    "granian": _server(
        "--uds $DOMAIN_SOCKET", "--host 127.0.0.1 --port $PORT", "--uds --host --port", directory="--working-dir"
    ),
    "streamlit": _server(
        "",
        "--server.address 127.0.0.1 --server.port $PORT",
        "--server.address --server.port",
        subcommand="run",
        script=True,
    ),
}
# Started by hand while one writes a program; each serves one visitor at a time, or a port, or shows its insides.
DEVELOPMENT = {("flask", "run"), ("manage.py", "runserver"), ("fastapi", "dev"), ("fastapi", "run"), ("quart", "run")}


@dataclass(frozen=True, slots=True)
class Word:
    text: str  # without quotes, and with its variables
    start: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """What a line starts at last, after all `cd` and assignments."""

    line: str
    is_understood: bool
    directory: str = ""  # as `cd` names it; "" is the working directory
    virtualenv: str = ""  # that it activates
    environment: Mapping[str, str] = field(default_factory=dict)
    program: Word | None = None  # None: nothing is started
    module: str = ""  # of `python -m`
    server_name: str = ""  # what serves: a server of SERVERS, or ""
    arguments: tuple[Word, ...] = ()  # of the server, or the program

    @property
    def server(self) -> Server | None:
        return SERVERS.get(self.server_name)

    def option(self, *names: str) -> str | None:
        """The value of the last option of these names."""
        found = None
        for _, value in self.options(frozenset(names)):
            found = value
        return found

    def options(self, names: frozenset[str]) -> list[tuple[tuple[int, int], str]]:
        """The span and the value of each option of these names: `--host X`, `--host=X`, `-bX`."""
        found = []
        for at, word in enumerate(self.arguments):
            name, equals, value = word.text.partition("=")
            following = self.arguments[at + 1] if at + 1 < len(self.arguments) else None
            if word.text in names and following:
                found.append(((word.start, following.end), following.text))
            elif equals and name in names:
                found.append(((word.start, word.end), value))
            elif word.text[:2] in names and len(word.text) > 2 and not word.text.startswith("--"):
                found.append(((word.start, word.end), word.text[2:]))
        return found

    @property
    def application(self) -> str:
        """`module:attribute`, as most servers want it; "" where none is seen."""
        for word in self.arguments:
            if _APPLICATION.fullmatch(word.text) and not word.text.startswith("unix:"):
                return word.text
        last = self.arguments[-1].text if self.arguments else ""
        return last if self.server_name == "gunicorn" and _MODULE.fullmatch(last) else ""

    @property
    def script(self) -> str:
        """The file of Python that is run."""
        if self.server is not None and not self.server.script:
            return ""
        return next((word.text for word in self.arguments if word.text.endswith(".py")), "")


def read_command(line: str, *, home: str) -> Command:
    segments, is_understood = _segments(line)
    directory, virtualenv = "", ""
    environment: dict[str, str] = {}
    for segment in segments[:-1]:
        texts = [_expanded(word.text, home) for word in segment]
        if texts[:1] == ["cd"] and len(texts) >= 2:
            directory = texts[-1]
        elif texts[:1] in (["source"], ["."]) and len(texts) == 2 and texts[1].endswith("/bin/activate"):
            virtualenv = texts[1].removesuffix("/bin/activate")
        elif texts[:1] == ["export"]:
            environment |= _assignments(texts[1:])
    words = list(segments[-1]) if segments else []
    environment |= _take_prefixes(words, home)
    found = Command(
        line=line,
        is_understood=is_understood,
        directory=directory,
        virtualenv=virtualenv,
        environment=environment,
    )
    if not words:
        return found
    first = words[0]
    program = Word(_expanded(first.text, home), first.start, first.end)
    name, rest = program.text.rpartition("/")[2], words[1:]
    module = ""
    if _PYTHON.fullmatch(name) and len(rest) >= 2 and rest[0].text == "-m":
        name = module = rest[1].text
        rest = rest[2:]
    return replace(
        found,
        program=program,
        module=module,
        server_name=name if name in SERVERS else "",
        arguments=tuple(Word(_expanded(word.text, home), word.start, word.end) for word in rest),
    )


def with_program(command: Command, path: str) -> str:
    """The line with another program."""
    if command.program is None:
        return command.line
    return _spliced(command.line, [(command.program.start, command.program.end, shlex.quote(path))])


def with_socket(command: Command, *, port: bool = False) -> str | None:
    """The line with its server listening where the platform looks; None where nobody knows how that is said."""
    server, program = command.server, command.program
    words = (server.port if port else server.socket) if server else ""
    if server is None or program is None or not words:
        return None
    cuts = [(start, end, "") for (start, end), _ in command.options(server.listens)]
    return _spliced(command.line, [*cuts, (_after_program(command, server), -1, f" {words}")])


def with_option(command: Command, words: str) -> str | None:
    """The line with further words for its server."""
    if command.server is None or command.program is None:
        return None
    return _spliced(command.line, [(_after_program(command, command.server), -1, f" {words}")])


def _after_program(command: Command, server: Server) -> int:
    """Where the server's options may begin."""
    at = command.program.end if command.program else 0
    if command.module:
        at = command.line.index(command.module, at) + len(command.module)
    if server.subcommand and command.arguments and command.arguments[0].text == server.subcommand:
        at = command.arguments[0].end
    return at


def _spliced(line: str, changes: Sequence[tuple[int, int, str]]) -> str:
    """Each change replaces a span, or with an end of -1 is put in; a span that goes takes the blank before it along."""
    for start, end, text in sorted(changes, reverse=True):
        if end == -1:
            line = line[:start] + text + line[start:]
        elif text:
            line = line[:start] + text + line[end:]
        else:
            line = line[:start].rstrip() + line[end:]
    return line


def _segments(line: str) -> tuple[list[list[Word]], bool]:
    """The simple commands between `&&` and `;`, and whether there is nothing but them."""
    segments: list[list[Word]] = [[]]
    is_understood = "$(" not in line and "`" not in line
    for match in _WORD.finditer(line):
        raw = match[0]
        if raw in ("&&", ";"):
            segments.append([])
        elif raw in ("||", "&", "|", "<", ">", "(", ")", "'", '"', "`", "\\"):
            is_understood = False
        else:
            segments[-1].append(Word(_unquoted(raw), match.start(), match.end()))
    return [segment for segment in segments if segment], is_understood


def _unquoted(raw: str) -> str:
    try:
        return "".join(shlex.split(raw, comments=False))
    except ValueError:
        return raw


def _expanded(text: str, home: str) -> str:
    text = re.sub(r"\$HOME\b|\$\{HOME\}", lambda _: home, text)
    return home + text[1:] if text == "~" or text.startswith("~/") else text


def _assignments(texts: Sequence[str]) -> dict[str, str]:
    return {found[1]: found[2] for text in texts if (found := _ASSIGNMENT.fullmatch(text))}


def _take_prefixes(words: list[Word], home: str) -> dict[str, str]:
    """Take away what stands before the program: `exec`, `env`, assignments. Returns the assignments."""
    environment: dict[str, str] = {}
    while words and (words[0].text in ("exec", "env") or _ASSIGNMENT.fullmatch(words[0].text)):
        environment |= _assignments([_expanded(words.pop(0).text, home)])
    return environment
