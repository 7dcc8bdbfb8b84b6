"""What the panel may ask about certificates of users' own domains. Only for those that a website has here."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from cryptography import x509

from hostel.agent.certificates import SITES
from hostel.agent.keyring import Keeping, describe
from hostel.agent.upload import check_certificate
from hostel.wire.certificate import (
    CertificateOrder,
    CertificateReport,
    CertificateReports,
    CertificateUpload,
    CertType,
    CoveredByPlatform,
    DomainCertificate,
    NoCertificate,
    StillIssuing,
)
from hostel.wire.config import Config
from hostel.wire.errors import UnknownWebsite
from hostel.wire.names import canonical_domain, is_below
from hostel.wire.paths import Paths

if TYPE_CHECKING:
    from hostel.agent.acme import Authority
    from hostel.agent.node import Node


def find_authority(config: Config, paths: Paths) -> "Authority | None":
    """None where the operator has named none."""
    wanted = config.certificates
    if not wanted.acme_directory:
        return None
    from hostel.agent.acme import Authority  # a hundred and forty modules, for those who have an authority

    return Authority(
        wanted.acme_directory,
        account_file=paths.certificates / "acme-account.json",
        email=wanted.acme_email,
        ca_file=wanted.acme_ca_file,
    )


def report(node: "Node", domain: str, *, tenant: str) -> CertificateReport:
    """Raises NoCertificate, which says why the last order came to nothing, or StillIssuing before the first."""
    _check_owner(node, domain, tenant)
    if _is_platforms(node, domain):
        certificate = x509.load_pem_x509_certificate((node.paths.certificates / f"{SITES}.pem").read_bytes())
        return describe(certificate, Keeping(tenant=tenant, cert_type=CertType.PLATFORM))
    if node.keyring.find(domain) is None and node.renewal.is_obtaining(domain):
        raise StillIssuing
    failure = node.renewal.last_failure(domain)
    if node.keyring.find(domain) is None and failure is not None:
        raise NoCertificate(f"This domain has no certificate of its own. The last order came to nothing: {failure}")
    return node.keyring.report(domain)


def reports(node: "Node", *, tenant: str) -> CertificateReports:
    """All of one tenant's, without what the platform's own certificate covers."""
    kept = [domain for domain in node.keyring.domains if node.has_domain(domain, tenant)]
    found = [DomainCertificate(domain=domain, report=node.keyring.report(domain)) for domain in kept]
    refused = node.renewal.last_failures
    found += [
        DomainCertificate(domain=domain, failure=str(failure))
        for domain, failure in sorted(refused.items())
        if domain not in kept and node.has_domain(domain, tenant)
    ]
    return CertificateReports(certificates=tuple(found))


async def upload(node: "Node", domain: str, sent: CertificateUpload) -> CertificateReport:
    """Raises CertificateRefused or CoveredByPlatform; what served goes on serving then."""
    _check_owner(node, domain, sent.tenant)
    if _is_platforms(node, domain):
        raise CoveredByPlatform
    bundle = check_certificate(domain, chain=sent.chain, private_key=sent.private_key, now=datetime.now(UTC))
    await node.keyring.serve(domain, bundle, Keeping(tenant=sent.tenant, cert_type=CertType.CUSTOM))
    return node.keyring.report(domain)


async def order(node: "Node", domain: str, sent: CertificateOrder, *, wait_s: float) -> CertificateReport:
    """Nothing for a domain that the platform's own certificate covers. Raises NotIssued, or StillIssuing."""
    _check_owner(node, domain, sent.tenant)
    if not _is_platforms(node, domain) and not await node.renewal.obtain(domain, tenant=sent.tenant, wait_s=wait_s):
        raise StillIssuing
    return report(node, domain, tenant=sent.tenant)


async def delete(node: "Node", domain: str, *, tenant: str) -> None:
    """Raises NoCertificate where there is none."""
    _check_owner(node, domain, tenant)
    node.keyring.report(domain)
    await node.keyring.drop(domain)


def _check_owner(node: "Node", domain: str, tenant: str) -> None:
    if canonical_domain(domain) != domain or not node.has_domain(domain, tenant):
        raise UnknownWebsite("No website of this user has this domain here.")


def _is_platforms(node: "Node", domain: str) -> bool:
    return is_below(domain, node.config.sites.domain)
