"""The counter of wanted state, and tombstones of what was deleted. Both change together with what they describe."""

import structlog
from django.db import models, transaction
from django.db.models import F

from hostel.wire import website as wire

log = structlog.get_logger(__name__)


class Counter(models.Model):
    """The one row that orders all changes. A new database is a new epoch (when it was made), a restored one too."""

    epoch = models.BigIntegerField()
    revision = models.BigIntegerField(default=0)
    plan = models.JSONField(default=dict, db_default={})  # [limits] of hostel.toml, as it was when last announced

    def __str__(self) -> str:
        return f"revision {self.revision} of epoch {self.epoch}"

    @property
    def version(self) -> wire.Version:
        return wire.Version(epoch=self.epoch, revision=self.revision)


def current_version() -> wire.Version:
    return Counter.objects.get().version


def advance() -> wire.Version:
    """The next version, for a change in the same transaction: both are kept or neither."""
    if not transaction.get_connection().in_atomic_block:
        raise RuntimeError("advance() belongs into the transaction of the change that it numbers")
    Counter.objects.update(revision=F("revision") + 1)
    return current_version()


def begin_epoch_after(newest: wire.Version) -> bool:
    """Where the agent has seen a version that this database has not: begin a new epoch, durably, and return True.

    The database was restored from a copy, then. It would hand out revisions a second time, which the agent takes for
    stale; in a new epoch every change counts again.
    """
    if newest <= current_version():  # as a rule: no write lock for it
        return False
    with transaction.atomic():
        own = current_version()
        if newest <= own:
            return False
        Counter.objects.update(epoch=newest.epoch + 1)
    log.warning("database is older than what the agent has seen: new epoch", epoch=newest.epoch + 1, was=own.epoch)
    return True


class Kind(models.TextChoices):
    TENANT = "tenant"
    WEBSITE = "website"


class TombstoneQuerySet(models.QuerySet["Tombstone"]):
    def put_up(self, kind: Kind, name: str) -> wire.Tombstone:
        """Remember that `name` was deleted, in the transaction that deletes it."""
        version = advance()
        self.update_or_create(kind=kind, name=name, defaults={"epoch": version.epoch, "revision": version.revision})
        return wire.Tombstone(name=name, version=version)

    def of(self, kind: Kind, *, after: int) -> tuple[wire.Tombstone, ...]:
        rows = self.filter(kind=kind, revision__gt=after).order_by("revision")
        return tuple(
            wire.Tombstone(name=row.name, version=wire.Version(epoch=row.epoch, revision=row.revision)) for row in rows
        )


class Tombstone(models.Model):
    """The last deletion of a name. It stays when the name is used anew: an agent that was away must see both.

    It keeps the epoch in which it was put up: in a database restored from yesterday, yesterday's deletion must not hit
    what was made under that name since.
    """

    kind = models.CharField(max_length=10, choices=Kind.choices)
    name = models.CharField(max_length=253)
    epoch = models.BigIntegerField(default=0, db_default=0)
    revision = models.BigIntegerField()

    objects = TombstoneQuerySet.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["kind", "name"], name="one_tombstone_a_name")]

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"
