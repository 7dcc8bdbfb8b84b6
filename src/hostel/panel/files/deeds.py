"""What users do to their files: noted in the audit trail, then done by the tenant's own sandbox.

Noted before it is tried: no transaction spans a database and a home. Raises what `panel.homes` raises.
"""

from collections.abc import Iterable

from django.db import transaction

from hostel.panel import agent, homes
from hostel.panel.accounts.models import User
from hostel.panel.audit.models import Deed, record

_PATH_NOTED = 4_096


def write(user: User, path: str, content: Iterable[bytes], *, length: int, expect: str = "") -> bool:
    """Returns whether the file is new. `expect` as `homes.write_file` has it."""
    _note(user, Deed.FILE_WRITE, path)
    return homes.write_file(user.username, path, content, length=length, expect=expect)


def make_directory(user: User, path: str) -> None:
    _note(user, Deed.FILE_WRITE, path)
    homes.make_directory(user.username, path)


def move(user: User, path: str, to: str) -> None:
    _note(user, Deed.FILE_MOVE, path, to=agent.printable(to)[:_PATH_NOTED])
    homes.move_file(user.username, path, to)


def delete(user: User, path: str) -> None:
    """A file, or a directory with all that is in it."""
    _note(user, Deed.FILE_DELETE, path)
    homes.delete_file(user.username, path)


def _note(user: User, deed: Deed, path: str, **details: str) -> None:
    with transaction.atomic():
        record(user, deed, agent.printable(path)[:_PATH_NOTED], details)
