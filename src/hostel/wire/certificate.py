"""Certificates of users' own domains: what the panel asks of the agent, what it hears, and what can be wrong."""

from dataclasses import dataclass
from enum import StrEnum

from hostel.wire.errors import HostelError, Refusal


class CertType(StrEnum):
    """Part of the API."""

    ACME = "letsencrypt-auto-renew"  # obtained and renewed by the platform; the word is PythonAnywhere's
    CUSTOM = "custom"  # the user's own
    PLATFORM = "platform"  # of the sites domain, for all websites below it


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateUpload:
    """Panel → agent, `PUT /certificates/<canonical domain>`: serve the user's own."""

    tenant: str
    chain: str  # PEM: the certificate, then what it was issued by, and so on
    private_key: str  # PEM


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateOrder:
    """Panel → agent, `POST /certificates/<canonical domain>`: obtain one, and renew it."""

    tenant: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateReport:
    """What is served for a domain. `failure` is why the last renewal came to nothing, a code and a sentence."""

    cert_type: CertType
    not_after: str  # ISO 8601, UTC
    issuer_name: str
    subject_name: str
    subject_alternate_names: tuple[str, ...]
    renewal_at: str = ""  # when the next one is obtained, or tried again
    failure: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DomainCertificate:
    """Of one domain. Without a `report`, `failure` says why the last order came to nothing."""

    domain: str
    report: CertificateReport | None = None
    failure: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateReports:
    """Agent → panel, `GET /certificates?tenant=`: of all domains of a tenant that have one, or were refused one."""

    certificates: tuple[DomainCertificate, ...] = ()


class NoCertificate(Refusal):
    """This domain has no certificate of its own."""

    code = "no_certificate"
    status = 404


class CoveredByPlatform(Refusal):
    """The platform's own certificate covers this domain; it needs none of yours."""

    code = "covered_by_platform"


class CertificateRefused(Refusal):
    """That certificate cannot be served."""

    code = "certificate_refused"


class CertificateUnreadable(CertificateRefused):
    """That is no certificate or key in PEM form that can be read."""

    code = "certificate_unreadable"


class ChainBroken(CertificateRefused):
    """Each certificate of the chain must have been issued by the one that follows."""

    code = "certificate_chain"


class KeyMismatch(CertificateRefused):
    """The private key does not belong to the certificate, or is of a kind that browsers do not take."""

    code = "certificate_key"


class NameMismatch(CertificateRefused):
    """The certificate is not for this domain."""

    code = "certificate_names"


class CertificateExpired(CertificateRefused):
    """The certificate, or one that it was issued by, is not valid today."""

    code = "certificate_expired"


class NotIssued(HostelError):
    """The certificate could not be obtained; what served goes on serving."""

    code = "not_issued"
    status = 409


class AcmeOff(NotIssued):
    """The operator has named no certificate authority (`certificates.acme_directory` in hostel.toml)."""

    code = "acme_off"


class DnsMissing(NotIssued):
    """The domain has no address in the DNS."""

    code = "dns_missing"


class DnsElsewhere(NotIssued):
    """The DNS for the domain points to another machine."""

    code = "dns_elsewhere"


class ChallengeUnreachable(NotIssued):
    """The certificate authority cannot reach this machine over HTTP."""

    code = "challenge_unreachable"


class ChallengeBlocked(NotIssued):
    """Something else answers the certificate authority's question."""

    code = "challenge_blocked"


class CaRefused(NotIssued):
    """The certificate authority refuses to issue the certificate."""

    code = "ca_refused"


class CaLimited(NotIssued):
    """The certificate authority issues no more at the moment."""

    code = "ca_rate_limited"
    status = 503
    is_retryable = True


class CaUnreachable(NotIssued):
    """The certificate authority does not answer; try again later."""

    code = "ca_unreachable"
    status = 503
    is_retryable = True


class StillIssuing(HostelError):
    """The certificate authority has not finished yet; what it answers is served by itself."""

    code = "still_issuing"
    status = 503
    is_retryable = True
