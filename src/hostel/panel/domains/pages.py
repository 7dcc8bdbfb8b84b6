"""Domains of a website: its own and further ones, what shows that they are its user's, and their certificates."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST, require_safe
from django_htmx.http import HttpResponseClientRefresh

from hostel.panel import agent
from hostel.panel.domains import certificates, claim
from hostel.panel.domains.forms import DomainForm, NewDomainForm, UploadForm
from hostel.panel.domains.models import Domain, DomainExists, is_custom
from hostel.panel.domains.proof import Record, records_for
from hostel.panel.websites.models import Website
from hostel.panel.websites.pages import own_website, to_page
from hostel.wire.certificate import CertificateRefused, CertificateReport, CoveredByPlatform, StillIssuing
from hostel.wire.errors import DomainUnproven, HostelError
from hostel.wire.names import InvalidName, canonical_domain

_WAIT_S = 5  # for a certificate; what takes longer goes on


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """What a page says of one: `report` is what is served; `trouble` why there is none, or no newer one; `is_coming`
    while the first is being obtained.
    """

    report: CertificateReport | None = None
    trouble: str = ""
    is_coming: bool = False

    @property
    def ends_at(self) -> datetime | None:
        return datetime.fromisoformat(self.report.not_after) if self.report else None


@require_http_methods(["GET", "HEAD", "POST"])
@own_website
def domains(request: HttpRequest, website: Website) -> HttpResponse:
    form = NewDomainForm(request.POST or None, context={"owner": website.owner, "website": website})
    if form.is_valid():
        name = form.wanted["domain_name"]
        try:
            domain = claim.add(website, domain_name=name, canonical_name=canonical_domain(name), wanted={})
        except HostelError as error:
            form.add_error("domain_name", str(error))
        else:
            messages.success(request, f"{name} was added.")
            return _to_domain(website, domain.domain_name)
    found = _certificates(website)
    further = list(website.domains.all())
    page = {
        "website": website,
        "form": form,
        "own": (found.get(website.canonical_name), is_custom(website.canonical_name)),
        "further": [(domain, found.get(domain.canonical_name), is_custom(domain.canonical_name)) for domain in further],
    }
    return render(request, "domains/domains.html", page, status=400 if form.is_bound else 200)


@require_safe
@own_website
def show(request: HttpRequest, website: Website, name: str) -> HttpResponse:
    return _page(request, website, name)


@require_POST
@own_website
def check(request: HttpRequest, website: Website, name: str) -> HttpResponse:
    """Look whether the DNS shows the proof. Asked for live, it answers with that part of the page."""
    domain = _find(website, name)
    is_live = request.headers.get("HX-Request") == "true"
    try:
        claim.prove(domain)
    except (DomainUnproven, DomainExists, HostelError) as error:
        said = " ".join(getattr(error, "__notes__", [str(error)]))
        if is_live:
            return render(request, "domains/_check.html", {"website": website, "domain": domain, "said": said})
        messages.error(request, f"Not yet. {said}")
        return _to_domain(website, name)
    messages.success(request, f"{domain.domain_name} is yours: visitors get the website there.")
    return HttpResponseClientRefresh() if is_live else _to_domain(website, name)


@require_POST
@own_website
def change(request: HttpRequest, website: Website, name: str) -> HttpResponse:
    domain = _find(website, name)
    form = DomainForm(request.POST, website=website, domain=domain.canonical_name)
    if not form.is_valid():
        return _page(request, website, name, form=form, status=400)
    claim.change(domain, form.wanted)
    messages.success(request, "Saved.")
    return _to_domain(website, name)


@require_POST
@own_website
def remove(request: HttpRequest, website: Website, name: str) -> HttpResponse:
    domain = _find(website, name)
    try:
        claim.delete(domain)
    except HostelError as error:
        messages.error(request, str(error))
        return _to_domain(website, name)
    messages.success(request, f"{domain.domain_name} was removed.")
    return to_page("domains", website)


@sensitive_post_parameters("private_key")
@require_POST
@own_website
def certificate(request: HttpRequest, website: Website, name: str) -> HttpResponse:
    """`deed`: order one, upload one, or delete what there is."""
    owner, canonical = website.owner, certificates.get_name(website.owner, _own_name(website, name))
    deed = request.POST.get("deed")
    try:
        if deed == "order":
            certificates.order(owner, canonical, wait_s=_WAIT_S)
            messages.success(request, "The certificate is served. It is renewed by itself.")
        elif deed == "delete":
            certificates.delete(owner, canonical)
            messages.success(request, "The certificate was deleted.")
        else:
            return _upload(request, website, name, canonical)
    except StillIssuing:
        messages.success(request, "The certificate is ordered. What the authority issues is served by itself.")
    except HostelError as error:
        messages.error(request, str(error))
    return _to_domain(website, name)


def _upload(request: HttpRequest, website: Website, name: str, canonical: str) -> HttpResponse:
    form = UploadForm(request.POST, context={})
    if form.is_valid():
        sent = form.wanted
        try:
            certificates.upload(website.owner, canonical, chain=sent["cert"], private_key=sent["private_key"])
        except (CertificateRefused, CoveredByPlatform) as error:
            form.add_error(certificates.part_at_fault(error), str(error))
        else:
            messages.success(request, "Your certificate is served.")
            return _to_domain(website, name)
    return _page(request, website, name, upload_form=form, status=400)


def _page(
    request: HttpRequest,
    website: Website,
    name: str,
    *,
    form: DomainForm | None = None,
    upload_form: UploadForm | None = None,
    status: int = 200,
) -> HttpResponse:
    is_own = _own_name(website, name) == website.canonical_name
    domain = None if is_own else _find(website, name)
    canonical = website.canonical_name if domain is None else domain.canonical_name
    page: dict[str, Any] = {"website": website, "domain": domain, "name": canonical, "is_custom": is_custom(canonical)}
    page["url"] = f"https://{settings.HOSTEL_CONFIG.authority(canonical)}/"
    if domain is not None and not domain.is_proven:
        page["records"] = _records(website, canonical)
        return render(request, "domains/domain.html", page, status=status)
    if domain is not None:
        initial = {"enabled": domain.enabled, "redirect_to": domain.redirect_to}
        page["form"] = form or DomainForm(initial=initial, website=website, domain=canonical)
    if page["is_custom"]:
        page["certificate"] = _certificate(website, canonical)
        page["upload_form"] = upload_form or UploadForm(context={})
    return render(request, "domains/domain.html", page, status=status)


def _records(website: Website, canonical: str) -> tuple[Record, ...]:
    return records_for(canonical, owner=website.owner)


def _certificate(website: Website, canonical: str) -> Certificate:
    try:
        report = agent.find_certificate(canonical, tenant=website.owner.username)
    except StillIssuing as error:
        return Certificate(trouble=str(error), is_coming=True)
    except HostelError as error:
        return Certificate(trouble=str(error))
    return Certificate(report=report, trouble=report.detail)


def _certificates(website: Website) -> dict[str, Certificate]:
    """Of all domains of the owner, with one question; none where the agent does not say."""
    try:
        found = agent.list_certificates(website.owner.username)
    except HostelError:
        return {}
    return {
        each.domain: Certificate(report=each.report, trouble=each.report.detail if each.report else each.failure)
        for each in found
    }


def _own_name(website: Website, name: str) -> str:
    """Raises DoesNotExist where it is none of this website's domains."""
    try:
        canonical = canonical_domain(name)
    except InvalidName:
        raise Domain.DoesNotExist from None
    return canonical if canonical == website.canonical_name else _find(website, name).canonical_name


def _find(website: Website, name: str) -> Domain:
    """A further domain. Raises DoesNotExist."""
    try:
        domain = website.domains.get(canonical_name=canonical_domain(name))
    except InvalidName:
        raise Domain.DoesNotExist from None
    domain.website = website
    return domain


def _to_domain(website: Website, name: str) -> HttpResponse:
    return redirect("websites:domain", website.owner.username, website.domain_name, name)
