"""The command doctor: what is wrong with a command before it is saved, and the line with which it would be right.

What a line means is `command.py`'s; what is really there is looked up in the user's own sandbox. Nothing here keeps a
command from being saved: bash can do more than the doctor understands.
"""

import posixpath
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import pairwise
from typing import Self

from hostel.panel import homes
from hostel.panel.websites import command as lines
from hostel.panel.websites.command import Command, read_command
from hostel.panel.websites.models import Website
from hostel.wire.errors import HostelError, NoSuchFile
from hostel.wire.website import Listens
from hostel.wire.workshop import Answer, Facts, Import, Outcome, Question


class Severity(StrEnum):
    GOOD = "good"
    WARNING = "warning"  # it may serve all the same
    PROBLEM = "problem"  # it will not serve


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    code: str  # part of the API: added, never changed
    severity: Severity
    message: str  # words in backticks are code
    lines: tuple[str, ...] = ()  # of the traceback, or what the module wrote
    command: str = ""  # the line with this mended, and all that was found before it


@dataclass(frozen=True, slots=True, kw_only=True)
class Examination:
    findings: tuple[Finding, ...]

    @property
    def mended(self) -> str:
        """The line with all mended that can be; "" where nothing can."""
        return next((finding.command for finding in reversed(self.findings) if finding.command), "")

    @property
    def is_good(self) -> bool:
        return all(finding.severity is not Severity.PROBLEM for finding in self.findings)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What the doctor is shown."""

    username: str
    line: str
    working_directory: str = ""
    listens_on: Listens = Listens.SOCKET
    environment: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, website: Website, line: str) -> Self:
        """`line` in the place of the website's command."""
        return cls(
            username=website.owner.username,
            line=line,
            working_directory=website.working_directory,
            listens_on=Listens(website.listens_on),
            environment=website.values,
        )

    @property
    def home(self) -> str:
        return f"/home/{self.username}"

    @property
    def command(self) -> Command:
        return read_command(self.line, home=self.home)

    @property
    def directory(self) -> str:
        return posixpath.normpath(posixpath.join(self.home, self.working_directory, self.command.directory))


def examine(case: Case) -> Examination:
    """Imports what the command names, in a sandbox of the user's: at most twenty seconds. Raises FilesUnreachable."""
    command = case.command
    if command.program is None or not command.is_understood:
        return Examination(findings=tuple(_judge_unread(case)))
    module, _, attribute = command.application.partition(":")
    app_directory = command.option(command.server.directory) if command.server and command.server.directory else None
    question = Question(
        program=command.program.text,
        virtualenv=command.virtualenv,
        module=module,
        attribute="" if "(" in attribute else attribute,
        import_from=posixpath.join(case.directory, app_directory or ""),
        script=command.script,
        environment={**case.environment, **command.environment},
    )
    try:
        answer = homes.ask_facts(case.username, case.directory, question)
    except NoSuchFile:
        message = f"There is no directory `{case.directory}` in your home."
        return Examination(findings=(Finding(code="no_directory", severity=Severity.PROBLEM, message=message),))
    return Examination(findings=tuple(judge(case, answer)))


def examine_if_possible(case: Case) -> Examination | None:
    """None: the user's files do not answer, so nothing can be said."""
    try:
        return examine(case)
    except HostelError:
        return None


def judge(case: Case, answer: Answer) -> Iterator[Finding]:
    """What the facts say of the command. Pure."""
    line = case.line
    steps: tuple[Callable[[Command], Iterator[Finding]], ...] = (
        lambda now: _judge_program(now, answer.facts),
        lambda now: _judge_listening(case, now, answer.facts),
        lambda now: _judge_import(now, answer.imported),
    )
    if not answer.facts.has_directory:
        message = f"There is no directory `{case.directory}` in your home."
        yield Finding(code="no_directory", severity=Severity.PROBLEM, message=message)
    for step in steps:
        for finding in step(read_command(line, home=case.home)):
            line = finding.command or line
            yield finding


def _judge_unread(case: Case) -> Iterator[Finding]:
    if case.command.program is None:
        yield Finding(code="empty", severity=Severity.PROBLEM, message="The command starts nothing.")
        return
    message = "This line is more than one simple command, so only bash can tell what it starts. It was not tried."
    yield Finding(code="not_understood", severity=Severity.WARNING, message=message)
    yield from _judge_words(case, case.command)


def _judge_program(command: Command, facts: Facts) -> Iterator[Finding]:
    program = command.program.text if command.program else ""
    name = program.rpartition("/")[2]
    found = _first(facts.candidates)
    if not facts.exists:
        if found:
            message = f"There is no `{program}`, but `{found}` is there."
        elif "/" in program and "/bin/" in program:
            pip = f"{program.rpartition('/')[0]}/pip"
            message = f"There is no `{program}`. Is it installed in that virtualenv? Try `{pip} install {name}`."
        else:
            message = f"There is no program `{program}`. Install it in a virtualenv, and write it with its whole path."
        mended = lines.with_program(command, found) if found else ""
        yield Finding(code="no_program", severity=Severity.PROBLEM, message=message, command=mended)
    elif not facts.is_executable:
        message = f"`{facts.path}` is not executable: `chmod +x {facts.path}` makes it so."
        yield Finding(code="not_executable", severity=Severity.PROBLEM, message=message)
    elif facts.virtualenv:
        message = f"`{name}` is there, in the virtualenv `{facts.virtualenv}`."
        yield Finding(code="virtualenv", severity=Severity.GOOD, message=message)
    elif facts.python:
        message = f"`{facts.path}` is in no virtualenv: what you install with its `pip` is not seen."
        mended = lines.with_program(command, found) if found else ""
        if found:
            message = f"`{facts.path}` is in no virtualenv; `{found}` is in one."
        yield Finding(code="no_virtualenv", severity=Severity.WARNING, message=message, command=mended)
    else:
        yield Finding(code="program", severity=Severity.GOOD, message=f"`{facts.path}` is there.")


def _judge_listening(case: Case, command: Command, facts: Facts) -> Iterator[Finding]:
    is_port = case.listens_on is Listens.PORT
    wanted = lines.PORT if is_port else lines.SOCKET
    if _is_development(command):
        message = "This server is for trying things out, and listens on no socket: use uvicorn, for example."
        yield Finding(code="development_server", severity=Severity.PROBLEM, message=message)
    elif command.server is not None:
        yield from _judge_options(command, wanted, is_port=is_port)
    elif command.script and facts.has_script:
        mentions = facts.mentions_port if is_port else facts.mentions_socket
        if mentions or _mentions(command.line, wanted):
            yield Finding(code="listens", severity=Severity.GOOD, message=f"`{command.script}` reads `{wanted}`.")
        else:
            what = "port" if is_port else "socket"
            message = f"`{command.script}` does not say `{wanted}`: let it listen on that {what}."
            yield Finding(code="no_socket", severity=Severity.WARNING, message=message)
    elif command.script:
        message = f"There is no `{posixpath.join(case.directory, command.script)}`."
        yield Finding(code="no_script", severity=Severity.PROBLEM, message=message)
    else:
        yield from _judge_words(case, command)


def _judge_options(command: Command, wanted: str, *, is_port: bool) -> Iterator[Finding]:
    server, name = command.server, command.server_name
    found = command.options(server.listens) if server else []
    if any(_mentions(value, wanted) for _, value in found):
        yield Finding(code="listens", severity=Severity.GOOD, message=f"{name} listens on `${wanted}`.")
        return
    mended = lines.with_socket(command, port=is_port)
    if mended is None:
        message = f"{name} cannot listen on a unix socket: let the website listen on a port (`listens_on: port`)."
        yield Finding(code="ports_only", severity=Severity.PROBLEM, message=message)
        return
    where = " ".join(value for _, value in found)
    message = f"{name} listens on {where or 'a port of its own'}, not on `${wanted}`, so no visitor would reach it."
    yield Finding(code="no_socket", severity=Severity.PROBLEM, message=message, command=mended)


def _judge_words(case: Case, command: Command) -> Iterator[Finding]:
    """Of a server that nobody knows here."""
    wanted = lines.PORT if case.listens_on is Listens.PORT else lines.SOCKET
    if _mentions(command.line, wanted):
        yield Finding(code="listens", severity=Severity.GOOD, message=f"The line names `${wanted}`.")
        return
    message = f"The line does not name `${wanted}`, where the website must listen."
    yield Finding(code="no_socket", severity=Severity.WARNING, message=message)


def _judge_import(command: Command, imported: Import | None) -> Iterator[Finding]:
    application = command.application
    if imported is None:
        if command.server is not None and not command.server.script and not application:
            message = f"{command.server_name} is not told what to serve: `mysite.asgi:application`, for example."
            yield Finding(code="no_application", severity=Severity.PROBLEM, message=message)
        return
    if imported.outcome is Outcome.OK:
        yield Finding(code="imported", severity=Severity.GOOD, message=f"`{application}` can be imported.")
        yield from _judge_interface(command, imported)
        return
    message = _describe(application, imported)
    code = "too_slow" if imported.outcome is Outcome.TOO_SLOW else "not_imported"
    severity = Severity.WARNING if imported.outcome is Outcome.TOO_SLOW else Severity.PROBLEM
    yield Finding(code=code, severity=severity, message=message, lines=imported.lines)


def _describe(application: str, imported: Import) -> str:
    module, _, attribute = application.partition(":")
    if imported.outcome is Outcome.NO_MODULE:
        if module == imported.name or module.startswith(f"{imported.name}."):
            return f"There is no module `{imported.name}` in the directory where it is looked for."
        return f"`{module}` needs the module `{imported.name}`, which is not installed in this virtualenv."
    starts_itself = "Does it start a server of its own?"
    return {
        Outcome.NO_ATTRIBUTE: f"`{module}` has no `{attribute}`.",
        Outcome.NOT_CALLABLE: f"`{application}` is no application: it cannot be called.",
        Outcome.RAISED: f"`{module}` raises an error when it is imported.",
        Outcome.ENDED: f"`{module}` ends the program when it is imported. {starts_itself}",
        Outcome.KILLED: f"Importing `{module}` was killed: it probably needs more memory than there is.",
        Outcome.TOO_SLOW: f"Importing `{module}` had not ended after twenty seconds. {starts_itself}",
    }[imported.outcome]


def _judge_interface(command: Command, imported: Import) -> Iterator[Finding]:
    """A server that would speak the wrong protocol with the application."""
    name, words, message = command.server_name, "", ""
    if name == "gunicorn" and imported.is_async and command.option("-k", "--worker-class") is None:
        words = "-k uvicorn_worker.UvicornWorker"
        message = "gunicorn serves ASGI applications only with a worker for them (`pip install uvicorn-worker`)."
    elif name == "granian" and command.option("--interface") is None and imported.is_async is not None:
        words = f"--interface {'asgi' if imported.is_async else 'wsgi'}"
        message = "granian is to be told what kind of application this is."
    elif name == "uvicorn" and imported.is_async is False and command.option("--interface") is None:
        words = "--interface wsgi"
        message = "This is a WSGI application, which uvicorn serves only when it is told so."
    elif name == "daphne" and imported.is_async is False:
        message = "This is a WSGI application, which daphne does not serve: use uvicorn or gunicorn."
    if message:
        mended = (lines.with_option(command, words) or "") if words else ""
        yield Finding(code="wrong_interface", severity=Severity.PROBLEM, message=message, command=mended)


def _is_development(command: Command) -> bool:
    words = (command.program, *command.arguments)
    names = [word.text.rpartition("/")[2] for word in words if word][:4]
    names[1:1] = [command.module] if command.module else []
    return any(pair in lines.DEVELOPMENT for pair in pairwise(names))


def _mentions(text: str, variable: str) -> bool:
    return f"${variable}" in text or f"${{{variable}}}" in text


def _first(paths: tuple[str, ...]) -> str:
    return paths[0] if paths else ""
