"""Entries of the audit trail: written by the transaction of the change that they tell of, and never altered.

None holds a secret: of what users send, only names, numbers and switches are kept. A command is text, and may hold a
password.
"""

import secrets
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import models, transaction
from django.utils import timezone

if TYPE_CHECKING:
    from hostel.panel.accounts.models import User

KEPT = 50_000  # entries of one account: who can make changes could fill the disk with them
_LOOK_EVERY = 500  # entries, on average


class Via(models.TextChoices):
    API = "api"
    PAGE = "page"
    OPERATOR = "operator"  # root's command line


class Deed(models.TextChoices):
    """Part of the API: values are added, never changed."""

    WEBSITE_CREATE = "website.create"
    WEBSITE_CHANGE = "website.change"
    WEBSITE_RELOAD = "website.reload"  # was asked for
    WEBSITE_DELETE = "website.delete"
    ENVIRONMENT_CHANGE = "environment.change"
    DOMAIN_CREATE = "domain.create"
    DOMAIN_PROVE = "domain.prove"
    DOMAIN_CHANGE = "domain.change"
    DOMAIN_DELETE = "domain.delete"
    CERTIFICATE_CHANGE = "certificate.change"  # was asked for
    HTTP_USERS_CHANGE = "http_users.change"
    STATIC_FILES_CHANGE = "static_files.change"
    FILE_WRITE = "file.write"  # was asked for
    FILE_MOVE = "file.move"  # was asked for
    FILE_DELETE = "file.delete"  # was asked for
    CONSOLE_CREATE = "console.create"  # was asked for
    CONSOLE_INPUT = "console.input"  # by a call: what is typed in a browser stands nowhere
    CONSOLE_DELETE = "console.delete"  # was asked for
    FULL_TOKEN_CREATE = "full_token.create"  # noqa: S105  # no password
    FULL_TOKEN_REVOKE = "full_token.revoke"  # noqa: S105
    TOKEN_CREATE = "token.create"  # noqa: S105
    TOKEN_DELETE = "token.delete"  # noqa: S105
    PASSWORD_CHANGE = "password.change"  # noqa: S105
    LOGIN_END = "login.end"
    USER_ADD = "user.add"
    USER_LIMITS = "user.limits"
    USER_OPERATOR = "user.operator"
    USER_SUSPEND = "user.suspend"
    USER_RESUME = "user.resume"
    USER_REMOVE = "user.remove"


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """Who acts, in what way."""

    via: Via
    name: str = ""  # "" is the operator
    token_id: int | None = None  # None: the full token, or none at all
    token_name: str = ""
    address: str = ""  # as the edge saw it


OPERATOR = Actor(via=Via.OPERATOR)
_actor: ContextVar[Actor] = ContextVar("actor")


def act_as(actor: Actor) -> None:
    """What is recorded from here on, in this request or command, is the deed of `actor`."""
    _actor.set(actor)


def record(account: "User", deed: Deed, subject: str = "", details: Mapping[str, Any] | None = None) -> None:
    """Tell of a change to what `account` has, in the same transaction: both are kept or neither."""
    if not transaction.get_connection().in_atomic_block:
        raise RuntimeError("record() belongs into the transaction of the change that it tells of")
    actor = _actor.get()  # LookupError: whoever lets people change things says first who they are
    Entry.objects.create(
        account=account,
        account_name=account.username,
        via=actor.via,
        user_name=actor.name,
        token_id=actor.token_id,
        token_name=actor.token_name,
        address=actor.address,
        deed=deed,
        subject=subject,
        details=dict(details or {}),
    )
    if secrets.randbelow(_LOOK_EVERY) == 0:
        Entry.objects.drop_oldest(account, keep=KEPT)


def without_text(values: Mapping[str, Any]) -> dict[str, Any]:
    """Numbers and switches as they are; of anything else that it is there: None."""
    return {name: value if isinstance(value, bool | int | float) else None for name, value in values.items()}


class EntryQuerySet(models.QuerySet["Entry"]):
    def before(self, entry_id: int | None) -> "EntryQuerySet":
        """The newest first, and only those older than `entry_id`."""
        older = self if entry_id is None else self.filter(pk__lt=entry_id)
        return older.order_by("-pk")

    def drop_oldest(self, account: "User", *, keep: int) -> None:
        own = self.filter(account=account)
        newest_dropped = own.order_by("-pk").values_list("pk", flat=True)[keep : keep + 1].first()
        if newest_dropped is not None:
            own.filter(pk__lte=newest_dropped).delete()


class Entry(models.Model):
    at = models.DateTimeField(default=timezone.now)
    # Of a removed user it is nobody's: who gets the name next must not read it.
    account = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="audit_entries"
    )
    account_name = models.CharField(max_length=64)
    via = models.CharField(max_length=10)
    user_name = models.CharField(max_length=64, blank=True)
    token_id = models.BigIntegerField(null=True)  # no foreign key: the token may be gone
    token_name = models.CharField(max_length=64, blank=True)
    address = models.CharField(max_length=45, blank=True)
    deed = models.CharField(max_length=40)
    subject = models.TextField(blank=True)
    details = models.JSONField(default=dict)

    objects = EntryQuerySet.as_manager()

    def __str__(self) -> str:
        return f"{self.deed} {self.subject} of {self.account_name}"
