"""What the panel asks of a tenant's workshop, and what it hears. The answers are the tenant's to make up."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """Panel -> workshop, `PUT facts?path=`: what would this start, in that directory?"""

    program: str
    virtualenv: str = ""  # that was activated before; absolute
    module: str = ""  # to import; "" imports nothing
    attribute: str = ""
    import_from: str = ""  # the directory that modules are looked for in; "" is the one of the question
    script: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)


class Outcome(StrEnum):
    """Of an import."""

    OK = "ok"
    NO_MODULE = "no_module"
    NO_ATTRIBUTE = "no_attribute"
    NOT_CALLABLE = "not_callable"
    RAISED = "raised"
    ENDED = "ended"  # the module ended the process
    KILLED = "killed"  # mostly for want of memory
    TOO_SLOW = "too_slow"


@dataclass(frozen=True, slots=True, kw_only=True)
class Import:
    outcome: Outcome
    lines: tuple[str, ...] = ()  # the last of the traceback, or of what it wrote
    name: str = ""  # of the module that is missing
    is_async: bool | None = None  # whether the attribute is an ASGI application; None: nobody knows


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    path: str  # of the program; "" where PATH has none
    exists: bool
    is_executable: bool
    python: str  # that runs it; "" where it is no Python program
    virtualenv: str  # that it lies in
    candidates: tuple[str, ...]  # programs of that name in virtualenvs
    has_directory: bool
    has_script: bool
    mentions_socket: bool  # the script does
    mentions_port: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Workshop -> panel: what is there, and how the import went where one was asked for and possible."""

    facts: Facts
    imported: Import | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Virtualenv:
    path: str
    python: str  # "3.11"
    packages: tuple[str, ...]  # of those that serve websites


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """Workshop -> panel, `GET surroundings`."""

    virtualenvs: tuple[Virtualenv, ...] = ()
    pythons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Application:
    module: str
    attribute: str
    kind: str  # the class or function that makes it


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """Workshop -> panel, `GET project?path=`: what looks like an application there."""

    applications: tuple[Application, ...] = ()
    scripts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildOrder:
    """Panel -> workshop, `PUT build`: first the files of a new project, then the virtualenv, then its packages."""

    virtualenv: str
    python: str = "python3"  # of a virtualenv that is new
    packages: tuple[str, ...] = ()
    directory: str = ""
    files: Mapping[str, str] = field(default_factory=dict)  # {}: the project is there


class BuildState(StrEnum):
    NONE = "none"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """Workshop -> panel, `GET build`: how far the last order is."""

    state: BuildState
    step: str = ""  # begin, project, virtualenv, packages
    lines: tuple[str, ...] = ()
