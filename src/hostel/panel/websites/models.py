"""Websites as their owners want them. How they really are, the agent knows: see `condition.py`."""

from typing import TYPE_CHECKING

from django.conf import settings
from django.db import IntegrityError, models, transaction

from hostel.panel.wanted.models import Kind, Tombstone, advance, current_version
from hostel.wire.errors import Refusal
from hostel.wire.names import DOMAIN_LENGTH_LIMIT, InvalidName, canonical_domain
from hostel.wire.website import Tombstone as WireTombstone
from hostel.wire.website import Version, WebsiteSpec

if TYPE_CHECKING:
    from hostel.panel.accounts.models import User


class DomainExists(Refusal):
    """domain with this domain name already exists."""

    code = "domain_exists"


class WebsiteQuerySet(models.QuerySet["Website"]):
    def find(self, domain_name: str) -> "Website | None":
        """The website at `domain_name`, in any spelling."""
        try:
            return self.filter(canonical_name=canonical_domain(domain_name)).first()
        except InvalidName:
            return None

    def add(self, *, owner: "User", domain_name: str, command: str, enabled: bool) -> "Website":
        """A new website, in one transaction with its version. Raises DomainExists."""
        try:
            with transaction.atomic():
                return self.create(
                    owner=owner,
                    domain_name=domain_name,
                    canonical_name=canonical_domain(domain_name),
                    command=command,
                    enabled=enabled,
                    revision=advance().revision,
                )
        except IntegrityError as error:
            raise DomainExists from error


class Website(models.Model):
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="websites")
    domain_name = models.CharField(max_length=DOMAIN_LENGTH_LIMIT)  # as typed: clients look for log files by it
    canonical_name = models.CharField(max_length=DOMAIN_LENGTH_LIMIT, unique=True)
    enabled = models.BooleanField(default=True)
    command = models.TextField()
    revision = models.BigIntegerField(db_index=True)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = WebsiteQuerySet.as_manager()

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return self.domain_name

    def change(self, *, enabled: bool | None = None, command: str | None = None) -> bool:
        """Want something else. Returns False, and leaves the version alone, where nothing differs."""
        with transaction.atomic():
            self.refresh_from_db(fields=["enabled", "command", "revision"])
            wanted = (self.enabled if enabled is None else enabled, self.command if command is None else command)
            if wanted == (self.enabled, self.command):
                return False
            self.enabled, self.command = wanted
            self.revision = advance().revision
            self.save(update_fields=["enabled", "command", "revision"])
        return True

    def remove(self) -> WireTombstone:
        """Raises DoesNotExist where somebody was faster: a second tombstone could hit a website made since."""
        with transaction.atomic():
            count, _ = Website.objects.filter(pk=self.pk).delete()
            if not count:
                raise Website.DoesNotExist
            return Tombstone.objects.put_up(Kind.WEBSITE, self.canonical_name)

    def spec(self, *, epoch: int) -> WebsiteSpec:
        limits = settings.HOSTEL_CONFIG.limits
        return WebsiteSpec(
            domain_name=self.domain_name,
            tenant=self.owner.username,
            version=Version(epoch=epoch, revision=self.revision),
            enabled=self.enabled,
            command=self.command,
            start_deadline_s=limits.start_deadline_s,
            limits=limits.site(),
        )

    def current_spec(self) -> WebsiteSpec:
        return self.spec(epoch=current_version().epoch)

    @property
    def url(self) -> str:
        return f"https://{settings.HOSTEL_CONFIG.authority(self.canonical_name)}/"

    @property
    def logfiles(self) -> dict[str, str]:
        """Where the owner finds the logs, in a console."""
        return {kind: f"/var/log/{self.domain_name}.{kind}.log" for kind in ("access", "error", "server")}
