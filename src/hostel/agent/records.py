"""Records on disk that are torn or foreign: found, told, and where the machine knows better, made good in memory.

No file is changed here: what cannot be read stays where it is until the panel repeats what is wanted.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

from hostel.agent.installation import FIRST_NUMBER, Installation
from hostel.agent.tenant import TenantRecord, read_record
from hostel.agent.website_record import read_website
from hostel.wire.codec import parse
from hostel.wire.errors import HostelError, MalformedMessage
from hostel.wire.names import InvalidName, check_username
from hostel.wire.paths import Paths
from hostel.wire.route import RouteRecord
from hostel.wire.website import RunId, TenantLimits, Version


def find_unreadable(paths: Paths) -> Iterator[tuple[Path, str]]:
    """Files where records lie that are none, each with the reason. Temporary ones (`.name`) are somebody's at work."""
    kinds: tuple[tuple[Path, Callable[[Path], object]], ...] = (
        (paths.tenants, read_record),
        (paths.websites, read_website),
        (paths.routes, _read_route),
    )
    for directory, read in kinds:
        for file in sorted(directory.iterdir()):
            if not file.name.startswith("."):
                fault = _find_fault(file, read)
                if fault:
                    yield file, fault


def _find_fault(file: Path, read: Callable[[Path], object]) -> str:
    if file.suffix != ".json":
        return "no file of the platform's"
    try:
        read(file)
    except FileNotFoundError:  # deleted meanwhile
        return ""
    except (OSError, ValueError, HostelError) as error:
        return str(error)
    return ""


def _read_route(file: Path) -> RouteRecord:
    record = parse(RouteRecord, json.loads(file.read_bytes()))
    if record.domain != file.stem:
        raise MalformedMessage(f"domain: another one's, {record.domain}")
    return record


def route_run(paths: Paths, domain: str) -> RunId | None:
    """The run that visitors of `domain` get, as the edge was told last; None where that cannot be read."""
    try:
        return _read_route(paths.routes / f"{domain}.json").run
    except (OSError, ValueError, MalformedMessage):
        return None


def recover_tenant(paths: Paths, installation: Installation, name: str, limits: TenantLimits) -> TenantRecord | None:
    """What can be known of a tenant whose record is torn: the number, from the owner of the home, which only root sets.

    The version is older than any, so that the panel's next word on it counts. The token's text is lost.
    """
    try:
        number = (paths.homes / check_username(name)).lstat().st_uid - installation.uid_base
    except (OSError, InvalidName):
        return None
    if not FIRST_NUMBER <= number < installation.next_number:
        return None
    return TenantRecord(name=name, number=number, version=Version(epoch=0, revision=0), limits=limits)
