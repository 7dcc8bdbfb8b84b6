"""Forms of the pages of domains. What is accepted is what the API accepts."""

from typing import Any

from django import forms

from hostel.panel.api.shapes_domain import CertificateSent, DomainChange, DomainCreation
from hostel.panel.websites.forms import ShapedForm, text, text_box
from hostel.panel.websites.models import Website

_TO_THE_WEBSITE = "the website"


class _SecretLines(forms.Textarea):
    """What was entered does not come back, not even beside an error."""

    def get_context(self, name: str, value: Any, attrs: dict[str, Any] | None) -> dict[str, Any]:
        context: dict[str, Any] = super().get_context(name, None, attrs)
        return context


def _pem(label: str, hint: str, *, kind: type[forms.Textarea] = forms.Textarea) -> forms.CharField:
    return text_box(label=label, rows=6, hint=hint, kind=kind, placeholder="-----BEGIN", autocomplete="off")


class NewDomainForm(ShapedForm):
    shape = DomainCreation

    domain_name = text(label="Domain", hint="www.example.com", **{"class": "mono", "inputmode": "url"})

    def clean_domain_name(self) -> str:
        name: str = self.cleaned_data["domain_name"]
        return name.strip()


class DomainForm(ShapedForm):
    """Of a further domain: whether it is on, and what its visitors get."""

    shape = DomainChange

    enabled = forms.BooleanField(label="Visitors get something there", required=False)
    redirect_to = forms.CharField(label="They get", required=False, widget=forms.Select)

    def __init__(self, *args: Any, website: Website, domain: str, **options: Any) -> None:
        super().__init__(*args, context={"website": website, "domain": domain}, **options)
        others = website.domains.proven().filter(enabled=True, redirect_to="").values_list("canonical_name", flat=True)
        names = [name for name in (website.canonical_name, *others) if name != domain]
        sent_on = [(name, f"sent on to {name} (308)") for name in names]
        self.fields["redirect_to"].widget.choices = [("", _TO_THE_WEBSITE), *sent_on]


class UploadForm(ShapedForm):
    shape = CertificateSent

    cert = _pem("Certificate", "PEM: the certificate, then those that it was issued by.")
    private_key = _pem("Private key", "PEM, without a pass phrase. It is never shown again.", kind=_SecretLines)
