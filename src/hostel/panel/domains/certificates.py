"""The deeds on certificates. The panel keeps none: what is sent goes to the agent, and no key is ever shown."""

from django.db import transaction

from hostel.panel import agent
from hostel.panel.accounts.models import User
from hostel.panel.audit.models import Deed, record
from hostel.panel.domains.models import Domain
from hostel.wire.certificate import CertificateOrder, CertificateUpload, CertType, KeyMismatch
from hostel.wire.errors import DomainUnproven, HostelError
from hostel.wire.names import InvalidName, canonical_domain


def get_name(owner: User, domain_name: str) -> str:
    """The canonical domain, if a website of `owner` has it. Raises DoesNotExist, or DomainUnproven before its proof."""
    try:
        name = canonical_domain(domain_name)
    except InvalidName:
        raise Domain.DoesNotExist from None
    if owner.websites.filter(canonical_name=name).exists():
        return name
    further = Domain.objects.filter(website__owner=owner, canonical_name=name)
    if further.proven().exists():
        return name
    raise DomainUnproven if further.exists() else Domain.DoesNotExist


def upload(owner: User, name: str, *, chain: str, private_key: str) -> None:
    """Raises CertificateRefused or CoveredByPlatform."""
    _note(owner, name, CertType.CUSTOM.value)
    agent.upload_certificate(name, CertificateUpload(tenant=owner.username, chain=chain, private_key=private_key))


def order(owner: User, name: str, *, wait_s: int = agent.WAIT_S) -> None:
    """Raises NotIssued, or StillIssuing while it goes on."""
    _note(owner, name, CertType.ACME.value)
    agent.order_certificate(name, CertificateOrder(tenant=owner.username), wait_s=wait_s)


def delete(owner: User, name: str) -> None:
    """Raises NoCertificate."""
    agent.delete_certificate(name, tenant=owner.username)
    _note(owner, name, None)


def part_at_fault(error: HostelError) -> str:
    """Which of the two parts of an upload was refused."""
    return "private_key" if error.code == KeyMismatch.code else "cert"


def _note(owner: User, name: str, cert_type: str | None) -> None:
    with transaction.atomic():
        record(owner, Deed.CERTIFICATE_CHANGE, name, {"cert_type": cert_type})
