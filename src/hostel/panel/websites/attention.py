"""What a user should see to: of websites, domains, certificates and limits. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from hostel.wire.certificate import CertType, DomainCertificate
from hostel.wire.report import TenantOverview
from hostel.wire.website import Phase, TenantLimits, WebsiteReport

NEARLY_FULL = 0.9
_SOON = timedelta(days=14)  # a certificate that nobody renews


@dataclass(frozen=True, slots=True, kw_only=True)
class Matter:
    """`website` and `domain` say where to go with it; both may be empty."""

    subject: str
    text: str
    website: str = ""
    domain: str = ""


def matters(overview: TenantOverview, limits: TenantLimits, *, now: datetime) -> list[Matter]:
    """The gravest first."""
    return [
        *(_of_website(report) for report in overview.troubled),
        *_of_limits(overview, limits),
        *(matter for each in overview.certificates if (matter := _of_certificate(each, now)) is not None),
    ]


def unproven(domains: Iterable[tuple[str, str]]) -> list[Matter]:
    """Of names and their websites."""
    text = "Visitors get nothing there until its DNS shows that it is yours."
    return [Matter(subject=domain, text=text, website=website, domain=domain) for domain, website in domains]


def _of_website(report: WebsiteReport) -> Matter:
    is_serving = report.deploy.phase is Phase.FAILED and report.run is not None
    failure = report.deploy.failure if is_serving else report.failure or report.deploy.failure
    lead = "The last change failed, and what ran before goes on: " if is_serving else ""
    text = f"{lead}{failure.detail}" if failure else "It does not run."
    return Matter(subject=report.domain_name, text=text, website=report.domain_name)


def _of_limits(overview: TenantOverview, limits: TenantLimits) -> list[Matter]:
    found = []
    used = overview.disk.used_bytes if overview.disk else 0
    if used > NEARLY_FULL * limits.disk_bytes:
        text = f"Your home takes {used / limits.disk_bytes:.0%} of its limit; beyond it nothing can be uploaded."
        found.append(Matter(subject="Disk", text=text))
    if overview.memory_bytes > NEARLY_FULL * limits.memory_bytes:
        share = overview.memory_bytes / limits.memory_bytes
        text = f"All that runs takes {share:.0%} of your memory; beyond it the kernel ends processes."
        found.append(Matter(subject="Memory", text=text))
    return found


def _of_certificate(each: DomainCertificate, now: datetime) -> Matter | None:
    report = each.report
    if report is None:
        return Matter(subject=each.domain, text=f"It got no certificate: {each.failure}", domain=each.domain)
    ends_at = datetime.fromisoformat(report.not_after)
    if report.failure:
        text = f"Its certificate is not renewed, and ends on {ends_at:%d %B %Y}: {report.detail}"
        return Matter(subject=each.domain, text=text, domain=each.domain)
    if report.cert_type is CertType.CUSTOM and ends_at - now < _SOON:
        return Matter(subject=each.domain, text=f"Its certificate ends on {ends_at:%d %B %Y}.", domain=each.domain)
    return None
