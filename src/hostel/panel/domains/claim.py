"""The deeds on further domains: first the row, committed with its version, then the agent."""

from collections.abc import Mapping
from typing import Any

import structlog
from django.db import IntegrityError, transaction
from django.utils import timezone

from hostel.panel.audit.models import Deed, record
from hostel.panel.domains.models import DOMAINS_MOST, Domain, DomainExists, HeldDomain
from hostel.panel.domains.proof import check_proof
from hostel.panel.websites import deploy
from hostel.panel.websites.models import Website
from hostel.wire.errors import DomainInUse, DomainTaken, DomainUnproven, TooManyDomains

log = structlog.get_logger(__name__)


def add(website: Website, *, domain_name: str, canonical_name: str, wanted: Mapping[str, Any]) -> Domain:
    """A further domain; it is routed if its proof is there already, else once `prove` finds it.

    Raises DomainExists, TooManyDomains, or what asking the DNS raises but DomainUnproven.
    """
    with transaction.atomic():
        _check_free(canonical_name, website)
        if website.domains.count() >= DOMAINS_MOST:
            raise TooManyDomains(f"A website has at most {DOMAINS_MOST} domains beside its own; delete one.")
        try:
            domain = Domain.objects.create(
                website=website, domain_name=domain_name, canonical_name=canonical_name, **wanted
            )
        except IntegrityError as error:
            raise DomainExists from error
        _record(Deed.DOMAIN_CREATE, domain)
    log.info("domain added", website=website.canonical_name, domain=canonical_name)
    try:
        prove(domain)
    except DomainUnproven:
        pass
    except BaseException:
        Domain.objects.filter(pk=domain.pk, proven_at__isnull=True).delete()
        raise
    return domain


def prove(domain: Domain) -> None:
    """Look for its proof, and route it then. Nothing where it is proven. Raises DomainUnproven or DomainExists."""
    if domain.is_proven:
        return
    website = domain.website
    check_proof(domain.canonical_name, owner=website.owner)
    with transaction.atomic():
        _check_free(domain.canonical_name, website)
        try:
            Domain.objects.filter(pk=domain.pk).update(proven_at=timezone.now())
        except IntegrityError as error:
            raise DomainExists from error
        HeldDomain.objects.filter(canonical_name=domain.canonical_name).delete()
        _record(Deed.DOMAIN_PROVE, domain)
        website.advance()
    domain.refresh_from_db()
    log.info("domain proven", website=website.canonical_name, domain=domain.canonical_name)
    try:
        deploy.bring(website)
    except DomainTaken as error:  # the agent knows another owner, as may be after a restore
        domain.delete()
        raise DomainExists from error


def change(domain: Domain, wanted: Mapping[str, Any]) -> None:
    """Enable, disable, or send its visitors elsewhere. Raises DomainExists."""
    different = {name: value for name, value in wanted.items() if value != getattr(domain, name)}
    if not different:
        return
    website = domain.website
    with transaction.atomic():
        Domain.objects.filter(pk=domain.pk).update(**different)
        _record(Deed.DOMAIN_CHANGE, domain, different)
        website.advance()
    domain.refresh_from_db()
    deploy.bring(website)


def delete(domain: Domain) -> None:
    """Raises DomainInUse where another one redirects to it."""
    website = domain.website
    with transaction.atomic():
        if website.domains.filter(redirect_to=domain.canonical_name).exists():
            raise DomainInUse
        if domain.is_proven:
            HeldDomain.objects.hold(domain.canonical_name, owner=website.owner)
        Domain.objects.filter(pk=domain.pk).delete()
        _record(Deed.DOMAIN_DELETE, domain)
        website.advance()
    log.info("domain deleted", website=website.canonical_name, domain=domain.canonical_name)
    deploy.bring(website)


def _record(deed: Deed, domain: Domain, details: Mapping[str, Any] | None = None) -> None:
    of_website = {"website": domain.website.domain_name, **(details or {})}
    record(domain.website.owner, deed, domain.domain_name, of_website)


def _check_free(canonical_name: str, website: Website) -> None:
    """Raises DomainExists where it is a website's, or kept for another user."""
    if Website.objects.filter(canonical_name=canonical_name).exists():
        raise DomainExists
    Domain.objects.exclude(website=website).check_free_for(canonical_name, owner=website.owner)
