"""Making a virtualenv, and perhaps a project, in a user's home: begun here, done by the user's own workshop."""

import re
from collections.abc import Mapping

from django.core.exceptions import ValidationError
from django.db import transaction

from hostel.panel import homes
from hostel.panel.accounts.models import User
from hostel.panel.audit.models import Deed, record
from hostel.wire.workshop import BuildOrder

PACKAGES_MOST = 40
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,60}")
# As people write it for pip: a name, extras, a version. No option and no address: consoles are for those.
_PACKAGE = re.compile(
    r"[A-Za-z0-9][\w.-]*(\[[\w,.-]+\])?((==|>=|<=|~=|!=|<|>)[\w.*+!-]+(,(==|>=|<=|~=|!=|<|>)[\w.*+!-]+)*)?"
)


def check_name(name: str) -> str:
    """Of a directory that is made. Raises ValidationError."""
    if not _NAME.fullmatch(name):
        raise ValidationError("Use letters, digits, dots, dashes and underscores, and begin with a letter or a digit.")
    return name


def read_packages(text: str) -> tuple[str, ...]:
    """Of a field in which they stand with blanks or commas between them. Raises ValidationError."""
    packages = tuple(word for word in re.split(r"[\s]+|,(?=\s|$)", text) if word)
    wrong = [package for package in packages if not _PACKAGE.fullmatch(package)]
    if wrong:
        raise ValidationError(f"{wrong[0][:80]} is no package: write names, as django or fastapi>=0.110.")
    if len(packages) > PACKAGES_MOST:
        raise ValidationError(f"At most {PACKAGES_MOST} packages at once; install more in a console.")
    return packages


def make(
    user: User,
    *,
    virtualenv: str,
    packages: tuple[str, ...],
    python: str = "python3",
    directory: str = "",
    files: Mapping[str, str] | None = None,
) -> None:
    """Returns when it has begun. Raises FileRefused where something would be overwritten, or another build goes on."""
    with transaction.atomic():  # no transaction spans a database and a home
        for place in (virtualenv, *([directory] if files else [])):
            record(user, Deed.FILE_WRITE, place)
    order = BuildOrder(
        virtualenv=virtualenv, python=python, packages=packages, directory=directory, files=dict(files or {})
    )
    homes.begin_build(user.username, order)
