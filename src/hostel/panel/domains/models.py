"""Further domains of websites, and domains that are kept for who had them.

A domain that nobody has proven yet keeps nobody else from it: only a proven one belongs to a website.
"""

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import models
from django.utils import timezone

from hostel.wire.errors import Refusal
from hostel.wire.names import DOMAIN_LENGTH_LIMIT, is_below
from hostel.wire.website import DomainSpec

if TYPE_CHECKING:
    from hostel.panel.accounts.models import User

HELD_MOST = 500  # of one user: who makes and deletes domains must not fill the disk
DOMAINS_MOST = 50  # of one website, beside its own


class DomainExists(Refusal):
    """domain with this domain name already exists."""

    code = "domain_exists"


def is_custom(canonical_name: str) -> bool:
    """Whether it is a user's own domain, not one below the platform's."""
    return not is_below(canonical_name, settings.HOSTEL_CONFIG.sites.domain)


class DomainQuerySet(models.QuerySet["Domain"]):
    def proven(self) -> "DomainQuerySet":
        return self.filter(proven_at__isnull=False)

    def check_free_for(self, canonical_name: str, *, owner: "User") -> None:
        """Raises DomainExists where it is proven to be one of these, or kept for another user."""
        if self.proven().filter(canonical_name=canonical_name).exists():
            raise DomainExists
        HeldDomain.objects.check_free_for(canonical_name, owner=owner)


class Domain(models.Model):
    website = models.ForeignKey("websites.Website", on_delete=models.CASCADE, related_name="domains")
    domain_name = models.CharField(max_length=DOMAIN_LENGTH_LIMIT)  # as typed
    canonical_name = models.CharField(max_length=DOMAIN_LENGTH_LIMIT, db_index=True)
    enabled = models.BooleanField(default=True)
    redirect_to = models.CharField(max_length=DOMAIN_LENGTH_LIMIT, blank=True, default="")  # canonical
    proven_at = models.DateTimeField(null=True, default=None)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = DomainQuerySet.as_manager()

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["website", "canonical_name"], name="one_domain_a_website"),
            models.UniqueConstraint(
                fields=["canonical_name"], condition=models.Q(proven_at__isnull=False), name="one_website_a_domain"
            ),
        ]

    def __str__(self) -> str:
        return self.domain_name

    @property
    def is_proven(self) -> bool:
        return self.proven_at is not None

    @property
    def is_routed(self) -> bool:
        return self.enabled and self.is_proven

    def spec(self) -> DomainSpec:
        return DomainSpec(name=self.canonical_name, redirect_to=self.redirect_to)


class HeldDomainQuerySet(models.QuerySet["HeldDomain"]):
    def hold(self, canonical_name: str, *, owner: "User") -> None:
        """Keep a domain that is being deleted, in the same transaction."""
        days = settings.HOSTEL_CONFIG.domains.held_days
        if days and is_custom(canonical_name):
            until: dict[str, Any] = {"owner": owner, "until": timezone.now() + timedelta(days=days)}
            self.update_or_create(canonical_name=canonical_name, defaults=until)
            self.filter(until__lt=timezone.now()).delete()
            surplus = self.filter(owner=owner).order_by("-until").values_list("pk", flat=True)[HELD_MOST:]
            self.filter(pk__in=list(surplus)).delete()

    def check_free_for(self, canonical_name: str, *, owner: "User") -> None:
        """Raises DomainExists where it is kept for another."""
        held = self.filter(canonical_name=canonical_name, until__gt=timezone.now()).exclude(owner=owner).first()
        if held is not None:
            raise DomainExists(
                f"domain with this domain name already exists. It was deleted and is kept for who had it until "
                f"{held.until:%Y-%m-%d %H:%M} UTC."
            )


class HeldDomain(models.Model):
    canonical_name = models.CharField(max_length=DOMAIN_LENGTH_LIMIT, unique=True)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="held_domains")
    until = models.DateTimeField()

    objects = HeldDomainQuerySet.as_manager()

    def __str__(self) -> str:
        return self.canonical_name
