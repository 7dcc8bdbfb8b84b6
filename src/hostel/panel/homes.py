"""What a tenant's own process does and says, through the agent: files, logs, and what the wizard asks of a home.

It may be anybody's program by now: what it answers is bounded, and no more is believed of it than that it has a shape.
"""

import contextlib
import json
import re
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import quote

import httpx

from hostel.panel import agent
from hostel.wire.codec import parse, to_jsonable
from hostel.wire.errors import FilesUnreachable, MalformedMessage, NoSuchFile
from hostel.wire.workshop import Answer, Build, BuildOrder, Project, Question, Surroundings

T = TypeVar("T")

FOLLOW_WAIT_S = 10.0
_MARGIN_S = 10.0  # above that, for the answer to arrive
POSITION = re.compile(r"\d{1,20}:\d{1,20}")  # in a log


def open_file(tenant: str, path: str) -> httpx.Response:
    """The agent's answer, unread: JSON is a directory, anything else a file. Whoever asks closes it.

    Raises NoSuchFile, FileForbidden, NotAFile or FilesUnreachable.
    """
    return agent.stream("GET", f"/tenants/{tenant}/files", _at(path))


def open_with_details(tenant: str, path: str, *, contains: str = "") -> httpx.Response:
    """The same, but a directory comes with its entries' sizes and times; only those whose name contains a word."""
    return agent.stream("GET", f"/tenants/{tenant}/files", {**_at(path), "details": "1", "contains": contains})


def write_file(tenant: str, path: str, content: Iterable[bytes], *, length: int, expect: str = "") -> bool:
    """Returns whether the file is new. It is written whole or not at all.

    `expect`: "absent", or the SHA-256 of what must be there. Raises FileExists or FileChanged where that is not so.
    """
    query = {**_at(path), "expect": expect}
    with contextlib.closing(
        agent.stream("PUT", f"/tenants/{tenant}/files", query, content=content, length=length)
    ) as response:
        return response.status_code == 201


def delete_file(tenant: str, path: str) -> None:
    agent.stream("DELETE", f"/tenants/{tenant}/files", _at(path)).close()


def make_directory(tenant: str, path: str) -> None:
    """Raises FileExists."""
    agent.stream("POST", f"/tenants/{tenant}/directory", _at(path)).close()


def move_file(tenant: str, path: str, to: str) -> None:
    """Raises FileExists where something has that name."""
    agent.stream("POST", f"/tenants/{tenant}/move", {**_at(path), "to": _at(to)["path"]}).close()


def list_tree(tenant: str, path: str) -> list[str]:
    """At most a thousand absolute paths; directories end in a slash."""
    with contextlib.closing(agent.stream("GET", f"/tenants/{tenant}/tree", _at(path))) as response:
        found = agent.read_json(response)
    if not isinstance(found, list):
        raise FilesUnreachable
    return [agent.printable(path) for path in found]


def look_around(tenant: str) -> Surroundings:
    """The virtualenvs of a home, and the interpreters for new ones. Raises FilesUnreachable."""
    return _of_workshop(Surroundings, "GET", tenant, "surroundings", f"/home/{tenant}")


def look_at_project(tenant: str, directory: str) -> Project:
    """Raises NoSuchFile or FilesUnreachable."""
    return _of_workshop(Project, "GET", tenant, "project", directory)


def ask_facts(tenant: str, directory: str, question: Question) -> Answer:
    """What a command would start; imports what it names, which takes a while. Raises FilesUnreachable."""
    return _of_workshop(Answer, "PUT", tenant, "facts", directory, question)


def begin_build(tenant: str, order: BuildOrder) -> Build:
    """Raises FileRefused where something would be overwritten or another build goes on, DiskLimitReached."""
    return _of_workshop(Build, "PUT", tenant, "build", f"/home/{tenant}", order)


def look_at_build(tenant: str) -> Build:
    return _of_workshop(Build, "GET", tenant, "build", f"/home/{tenant}")


def _of_workshop(kind: type[T], method: str, tenant: str, target: str, path: str, message: object = None) -> T:
    """Raises FilesUnreachable also where the tenant's own process has answered something else."""
    body = None if message is None else json.dumps(to_jsonable(message)).encode()
    content = None if body is None else iter([body])
    with contextlib.closing(
        agent.stream(method, f"/tenants/{tenant}/{target}", _at(path), content=content, length=len(body or b""))
    ) as response:
        found = agent.read_json(response)
    try:
        return parse(kind, found)
    except MalformedMessage as error:
        raise FilesUnreachable from error


@dataclass(frozen=True, slots=True)
class LogLines:
    lines: tuple[str, ...]
    position: str  # to go on from
    copies: tuple[str, ...] = ()  # names of older ones


def read_log(tenant: str, path: str, *, lines: int) -> LogLines:
    """The last `lines` of a log."""
    query = {**_at(path), "lines": str(lines)}
    with contextlib.closing(agent.stream("GET", f"/tenants/{tenant}/log", query)) as response:
        return parse_log(agent.read_json(response))


def read_on(tenant: str, path: str, *, after: str) -> LogLines:
    """What has come after a position, at once."""
    query = {**_at(path), "after": after}
    with contextlib.closing(agent.stream("GET", f"/tenants/{tenant}/log", query)) as response:
        return parse_log(agent.read_json(response))


async def follow_log(tenant: str, path: str, *, after: str) -> AsyncIterator[LogLines]:
    """What comes after a position, as it comes; nothing for a while is an empty answer. Ends where the files do not
    answer any more: whoever follows asks again from the last position."""
    async with agent.async_client(answer_s=FOLLOW_WAIT_S + _MARGIN_S) as client:
        while True:
            query = {**_at(path), "after": after, "wait_s": str(FOLLOW_WAIT_S)}
            try:
                response = await client.get(f"/tenants/{tenant}/log", params=query)
                found = parse_log(agent.parse_json(response.content)) if response.is_success else None
            except (httpx.HTTPError, FilesUnreachable):
                found = None
            if found is None:
                return
            yield found
            after = found.position


def parse_log(answer: object) -> LogLines:
    """Raises FilesUnreachable where the tenant's own process has answered something else."""
    lines = answer.get("lines") if isinstance(answer, dict) else None
    position = answer.get("position") if isinstance(answer, dict) else None
    if not isinstance(lines, list) or not isinstance(position, str) or not POSITION.fullmatch(position):
        raise FilesUnreachable
    copies = answer.get("copies") if isinstance(answer, dict) else None
    names = (name for name in copies if isinstance(name, str)) if isinstance(copies, list) else ()
    return LogLines(tuple(agent.printable(line) for line in lines), position, tuple(names))


def _at(path: str) -> dict[str, str]:
    """As the door wants paths. Raises NoSuchFile for what is no path: halves of surrogate pairs other than those that
    stand for bytes."""
    try:
        return {"path": quote(path, errors="surrogateescape")}
    except UnicodeEncodeError:
        raise NoSuchFile from None
