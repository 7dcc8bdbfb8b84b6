"""Websites as their owners want them. How they really are, the agent knows: see `condition.py`."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import IntegrityError, models, transaction

from hostel.panel.audit.models import Deed, record, without_text
from hostel.panel.domains.models import Domain, DomainExists, HeldDomain
from hostel.panel.wanted.models import Kind, Tombstone, advance, current_version
from hostel.wire.config import LimitsConfig
from hostel.wire.environment import check_environment
from hostel.wire.errors import TooManyWebsites
from hostel.wire.http_users import check_http_users
from hostel.wire.names import DOMAIN_LENGTH_LIMIT, InvalidName, canonical_domain
from hostel.wire.static_files import StaticMapping as WireMapping
from hostel.wire.static_files import check_mappings
from hostel.wire.website import MAX_BODY_MB, MIB, Limits, Listens, ReloadStrategy, Sleep, Version, WebsiteSpec
from hostel.wire.website import Tombstone as WireTombstone

_PROGRAM = re.compile(r"(/home/[^\s'\"$;&|]+)/bin/[^\s'\"/]+")  # of a virtualenv, in a command

if TYPE_CHECKING:
    from hostel.panel.accounts.models import User


# What an owner may set beside `enabled` and `command`, as WebsiteSpec calls it.
SETTINGS: dict[str, type] = {
    "working_directory": str,
    "listens_on": str,
    "reload_strategy": str,
    "start_deadline_s": float,
    "drain_s": float,
    "websocket_drain_s": float,
    "grace_s": float,
    "ws_spread_s": float,
    "read_timeout_s": int,
    "websocket_timeout_s": int,
    "buffer_requests": bool,
    "buffer_responses": bool,
    "max_body_mb": int,
    "always_on": bool,
    "expose_token": bool,
    "force_https": bool,
    "hsts_s": int,
    "monitors_wake": bool,
}
# The same of limits: at most what the plan gives one website, which is what None stands for.
LIMITS: dict[str, type] = {"memory_mb": int, "pids": int, "cpu": float}
# When it sleeps: at least as the plan has it, which is what "" and None stand for.
RESTS: dict[str, type] = {"sleep": str, "sleep_after_s": int}
# Those of them that are one of several words.
_WORDS: dict[str, type] = {"reload_strategy": ReloadStrategy, "listens_on": Listens, "sleep": Sleep}
_TIERS = list(Sleep)  # from what saves least
# Where `with_domains` and `with_mappings` leave what they have read.
_DOMAINS_READ, _MAPPINGS_READ = "domains_read", "mappings_read"
CHANGEABLE = ("enabled", "command", *SETTINGS, *LIMITS, *RESTS)


@dataclass(frozen=True, slots=True)
class Variable:
    """An environment variable. A secret one is never shown again."""

    value: str
    is_secret: bool = False


class WebsiteQuerySet(models.QuerySet["Website"]):
    def find(self, domain_name: str) -> "Website | None":
        """The website at `domain_name`, in any spelling."""
        try:
            return self.filter(canonical_name=canonical_domain(domain_name)).first()
        except InvalidName:
            return None

    # Read at once for all, and as lists: Django would make a query set for each website. To be looked at only: what
    # changes later is not in them.

    def with_domains(self) -> "WebsiteQuerySet":
        return self.prefetch_related(models.Prefetch("domains", to_attr=_DOMAINS_READ))

    def with_mappings(self) -> "WebsiteQuerySet":
        return self.prefetch_related(models.Prefetch("static_files", to_attr=_MAPPINGS_READ))

    def add(self, *, owner: "User", domain_name: str, wanted: Mapping[str, Any]) -> "Website":
        """A new website, in one transaction with its version. `wanted` holds CHANGEABLE fields.

        Raises DomainExists, or TooManyWebsites.
        """
        try:
            with transaction.atomic():
                canonical_name = canonical_domain(domain_name)
                Domain.objects.check_free_for(canonical_name, owner=owner)
                website = self.create(
                    owner=owner,
                    domain_name=domain_name,
                    canonical_name=canonical_name,
                    revision=advance().revision,
                    **wanted,
                )
                _check_number(owner)
                record(owner, Deed.WEBSITE_CREATE, domain_name, without_text(wanted))
        except IntegrityError as error:
            raise DomainExists from error
        return website


def _check_number(owner: "User") -> None:
    """After the row was added, within its transaction: two calls at once do not get past it."""
    limit = owner.plan.user_websites
    if owner.websites.count() > limit:
        raise TooManyWebsites(
            f"You may have {limit} website{'' if limit == 1 else 's'} (limit `websites`). Delete one, or ask the "
            f"operator for more: `hostel user limits {owner.username} websites=...`"
        )


class Website(models.Model):
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="websites")
    domain_name = models.CharField(max_length=DOMAIN_LENGTH_LIMIT)  # as typed: clients look for log files by it
    canonical_name = models.CharField(max_length=DOMAIN_LENGTH_LIMIT, unique=True)
    enabled = models.BooleanField(default=True)
    command = models.TextField()
    revision = models.BigIntegerField(db_index=True)
    created_at = models.DateTimeField(auto_now_add=True)

    # Defaults as WebsiteSpec has them, in the database too: the panel of before an upgrade adds rows without them.
    reload_strategy = models.CharField(
        max_length=10, default=ReloadStrategy.OVERLAP.value, db_default=ReloadStrategy.OVERLAP.value
    )
    start_deadline_s = models.FloatField(null=True, default=None)  # None: start_deadline_s of the plan
    drain_s = models.FloatField(default=30.0, db_default=30.0)
    websocket_drain_s = models.FloatField(default=30.0, db_default=30.0)
    grace_s = models.FloatField(default=10.0, db_default=10.0)
    ws_spread_s = models.FloatField(default=10.0, db_default=10.0)
    read_timeout_s = models.IntegerField(default=300, db_default=300)
    websocket_timeout_s = models.IntegerField(default=3600, db_default=3600)
    always_on = models.BooleanField(default=False, db_default=False)
    expose_token = models.BooleanField(default=False, db_default=False)
    force_https = models.BooleanField(default=False, db_default=False)
    listens_on = models.CharField(max_length=10, default=Listens.SOCKET.value, db_default=Listens.SOCKET.value)
    working_directory = models.TextField(default="", db_default="")
    buffer_requests = models.BooleanField(default=True, db_default=True)
    buffer_responses = models.BooleanField(default=False, db_default=False)
    max_body_mb = models.IntegerField(default=MAX_BODY_MB, db_default=MAX_BODY_MB)
    memory_mb = models.IntegerField(null=True, default=None)
    pids = models.IntegerField(null=True, default=None)
    cpu = models.FloatField(null=True, default=None)
    hsts_s = models.IntegerField(default=0, db_default=0)
    sleep = models.CharField(max_length=10, default="", db_default="", blank=True)
    sleep_after_s = models.IntegerField(null=True, default=None)
    monitors_wake = models.BooleanField(default=False, db_default=False)

    environment = models.JSONField(default=dict, db_default={})  # name: {"value": ..., "is_secret": ...}

    http_users = models.JSONField(default=dict, db_default={})  # name: hash

    objects = WebsiteQuerySet.as_manager()

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return self.domain_name

    def change(self, wanted: Mapping[str, Any]) -> bool:
        """Want other values of CHANGEABLE fields. Returns False, and leaves the version alone, where nothing differs.

        Raises DoesNotExist where the website was deleted meanwhile.
        """
        with transaction.atomic():
            self.refresh_from_db(fields=[*CHANGEABLE, "revision"])
            now = {"enabled": self.enabled, "command": self.command, **self.in_force}
            different = {name: value for name, value in wanted.items() if value != now[name]}
            if not different:
                return False
            for name, value in different.items():
                setattr(self, name, value)
            self.revision = advance().revision
            self.save(update_fields=[*different, "revision"])
            record(self.owner, Deed.WEBSITE_CHANGE, self.domain_name, without_text(different))
        return True

    def change_environment(self, changes: Mapping[str, Variable | None]) -> bool:
        """Set variables, and remove those that are None. Returns False where nothing differs.

        Raises InvalidVariable, or DoesNotExist where the website was deleted meanwhile.
        """
        with transaction.atomic():
            self.refresh_from_db(fields=["environment", "revision"])
            variables = dict(self.variables)
            for name, variable in changes.items():
                if variable is None:
                    variables.pop(name, None)
                else:
                    variables[name] = variable
            if variables == self.variables:
                return False
            check_environment({name: variable.value for name, variable in variables.items()})
            self.environment = {name: asdict(variable) for name, variable in sorted(variables.items())}
            self.revision = advance().revision
            self.save(update_fields=["environment", "revision"])
            words = {name: "removed" if variable is None else "set" for name, variable in sorted(changes.items())}
            record(self.owner, Deed.ENVIRONMENT_CHANGE, self.domain_name, words)
        return True

    def change_http_users(self, changes: Mapping[str, str | None]) -> None:
        """Set hashes of passwords by name; None removes one. Raises InvalidHttpUser or DoesNotExist."""
        with transaction.atomic():
            self.refresh_from_db(fields=["http_users", "revision"])
            users = {**self.http_users, **changes}
            self.http_users = {name: hash_ for name, hash_ in sorted(users.items()) if hash_ is not None}
            check_http_users(self.http_users)
            self.revision = advance().revision
            self.save(update_fields=["http_users", "revision"])
            words = {name: "removed" if hash_ is None else "set" for name, hash_ in sorted(changes.items())}
            record(self.owner, Deed.HTTP_USERS_CHANGE, self.domain_name, words)

    def add_mapping(self, *, url: str, path: str) -> "StaticMapping":
        """A static mapping after those that there are. Raises InvalidMapping where they are too many, or DoesNotExist
        where the website was deleted meanwhile.
        """
        with transaction.atomic():
            self.advance()
            mapping = self.static_files.create(url=url, path=path)
            check_mappings(self.mappings, username=self.owner.username)
            self._record_mapping(mapping, "added")
        return mapping

    def change_mapping(self, mapping: "StaticMapping", wanted: Mapping[str, str]) -> bool:
        """Returns False where nothing differs. Raises DoesNotExist where one of the two was deleted meanwhile."""
        different = {name: value for name, value in wanted.items() if value != getattr(mapping, name)}
        if not different:
            return False
        with transaction.atomic():
            self.advance()
            if not self.static_files.filter(pk=mapping.pk).update(**different):
                raise StaticMapping.DoesNotExist
            self._record_mapping(mapping, "changed")
        mapping.refresh_from_db()
        return True

    def remove_mapping(self, mapping: "StaticMapping") -> None:
        with transaction.atomic():
            self.advance()
            self._record_mapping(mapping, "removed")
            mapping.delete()

    def _record_mapping(self, mapping: "StaticMapping", what: str) -> None:
        record(self.owner, Deed.STATIC_FILES_CHANGE, self.domain_name, {"id": mapping.pk, "what": what})

    @property
    def further_domains(self) -> Iterable[Domain]:
        read: list[Domain] | None = self.__dict__.get(_DOMAINS_READ)
        return self.domains.all() if read is None else read

    @property
    def mappings(self) -> tuple[WireMapping, ...]:
        read: list[StaticMapping] | None = self.__dict__.get(_MAPPINGS_READ)
        mappings = self.static_files.all() if read is None else read
        return tuple(WireMapping(url=each.url, path=each.path) for each in mappings)

    @property
    def variables(self) -> dict[str, Variable]:
        return {name: Variable(**fields) for name, fields in self.environment.items()}

    @property
    def values(self) -> dict[str, str]:
        """Its variables as a run gets them."""
        return {name: variable.value for name, variable in self.variables.items()}

    def note_reload(self) -> None:
        with transaction.atomic():
            record(self.owner, Deed.WEBSITE_RELOAD, self.domain_name)

    def remove(self) -> WireTombstone:
        """Raises DoesNotExist where somebody was faster: a second tombstone could hit a website made since."""
        with transaction.atomic():
            for name in [self.canonical_name, *self.domains.proven().values_list("canonical_name", flat=True)]:
                HeldDomain.objects.hold(name, owner=self.owner)
            count, _ = Website.objects.filter(pk=self.pk).delete()
            if not count:
                raise Website.DoesNotExist
            record(self.owner, Deed.WEBSITE_DELETE, self.domain_name)
            return Tombstone.objects.put_up(Kind.WEBSITE, self.canonical_name)

    def advance(self) -> None:
        """A new version, for a change of what belongs to it, in the same transaction.

        Raises DoesNotExist where it was deleted meanwhile.
        """
        self.refresh_from_db(fields=["revision"])
        self.revision = advance().revision
        self.save(update_fields=["revision"])

    def withdraw(self) -> None:
        """Take back a website that no agent has taken. No tombstone: it would hit whoever has that domain there."""
        with transaction.atomic():
            Website.objects.filter(pk=self.pk).delete()
            record(self.owner, Deed.WEBSITE_DELETE, self.domain_name, {"was_taken_back": True})

    def spec(self, *, epoch: int) -> WebsiteSpec:
        plan = self.owner.plan
        own = {**self._settings(plan), **self._rest(plan)}
        return WebsiteSpec(
            domain_name=self.domain_name,
            tenant=self.owner.username,
            version=Version(epoch=epoch, revision=self.revision),
            enabled=self.enabled,
            command=self.command,
            environment=self.values,
            domains=tuple(domain.spec() for domain in self.further_domains if domain.is_routed),
            static_files=self.mappings,
            http_users=self.http_users,
            limits=self._limits(plan),
            traffic=plan.traffic(),
            **{**own, **{name: kind(own[name]) for name, kind in _WORDS.items()}},
        )

    def current_spec(self) -> WebsiteSpec:
        return self.spec(epoch=current_version().epoch)

    @property
    def in_force(self) -> dict[str, Any]:
        """SETTINGS, LIMITS and RESTS as they hold: its own, as far as the plan lets them."""
        plan = self.owner.plan
        limits = self._limits(plan)
        in_force = {"memory_mb": limits.memory_bytes // MIB, "pids": limits.pids, "cpu": limits.cpu}
        return {**self._settings(plan), **in_force, **self._rest(plan)}

    def _settings(self, plan: LimitsConfig) -> dict[str, Any]:
        own = {name: getattr(self, name) for name in SETTINGS}
        if self.start_deadline_s is None:
            own["start_deadline_s"] = plan.start_deadline_s
        return {name: kind(own[name]) for name, kind in SETTINGS.items()}  # SQLite returns a new row's 30.0 as 30

    def _limits(self, plan: LimitsConfig) -> Limits:
        """Of the plan, or lower."""
        most = plan.site()
        return Limits(
            memory_bytes=min(most.memory_bytes, (self.memory_mb or most.memory_bytes) * MIB),
            pids=min(most.pids, self.pids or most.pids),
            cpu=min(most.cpu, float(self.cpu or most.cpu)),
        )

    def _rest(self, plan: LimitsConfig) -> dict[str, Any]:
        """Of the plan, or what saves more."""
        tier = max(plan.site_sleep, Sleep(self.sleep or plan.site_sleep), key=_TIERS.index)
        after_s = self.sleep_after_s or plan.site_sleep_after_s
        if plan.site_sleep is not Sleep.OFF:
            after_s = min(after_s, plan.site_sleep_after_s)
        return {"sleep": tier.value, "sleep_after_s": after_s}

    @property
    def url(self) -> str:
        return f"https://{settings.HOSTEL_CONFIG.authority(self.canonical_name)}/"

    @property
    def virtualenv(self) -> str:
        """Of the program that the command names; "" where it names none of a virtualenv's."""
        found = _PROGRAM.search(self.command)
        return found[1] if found and found[1].startswith(f"/home/{self.owner.username}/") else ""

    @property
    def logfiles(self) -> dict[str, str]:
        """Where the owner finds the logs, in a console."""
        return {kind: f"/var/log/{self.domain_name}.{kind}.log" for kind in ("access", "error", "server")}


class StaticMapping(models.Model):
    """An address of a website that is answered with files; of several the one that was made first counts."""

    website = models.ForeignKey(Website, on_delete=models.CASCADE, related_name="static_files")
    url = models.TextField()
    path = models.TextField()

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return f"{self.url} -> {self.path}"
