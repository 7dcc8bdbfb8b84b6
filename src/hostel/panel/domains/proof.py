"""What shows that a domain is a user's: a DNS record with a value that is this user's alone. The agent asks the DNS."""

import hashlib
import hmac
from dataclasses import dataclass

from django.conf import settings

from hostel.panel import agent
from hostel.panel.accounts.models import User
from hostel.panel.domains.models import is_custom
from hostel.wire.errors import DomainUnproven
from hostel.wire.report import Proof, ProofReport, ProofRequest

_LABEL = "cname"  # before a number: no user's name begins with one, so no website is ever called so
_TXT_LABEL = "_hostel"
_DIGITS = 15


@dataclass(frozen=True, slots=True)
class Record:
    """A DNS record, as its owner is to add it. One of several is enough."""

    type: str
    name: str
    value: str


def cname_of(owner: User) -> str:
    """Where the domains of this user's websites may point. Another account never gets it, also not one of that name."""
    return f"{_LABEL}-{_number_of(owner)}.{settings.HOSTEL_CONFIG.sites.domain}"


def records_for(canonical_name: str, *, owner: User) -> tuple[Record, Record]:
    txt = Record("TXT", f"{_TXT_LABEL}.{canonical_name}", f"hostel-domain={_number_of(owner)}")
    return Record("CNAME", canonical_name, cname_of(owner)), txt


def check_proof(canonical_name: str, *, owner: User) -> None:
    """Raises DomainUnproven, which says what to add, or DnsUnreachable, or AgentUnreachable."""
    if not settings.HOSTEL_CONFIG.domains.proof or not is_custom(canonical_name):
        return
    cname, txt = records_for(canonical_name, owner=owner)
    asked = ProofRequest(domain=canonical_name, cname=cname.value, txt_name=txt.name, txt=txt.value)
    found = agent.find_proof(asked)
    if found.proof is Proof.NONE:
        error = DomainUnproven(
            f'Show that this domain is yours: in its DNS, add a record {txt.name} TXT "{txt.value}", or '
            f"{cname.name} CNAME {cname.value} (without quotes). Then repeat this. {_said(found)}"
        )
        error.add_note(_said(found))  # for pages, which show the records otherwise
        raise error


def _said(found: ProofReport) -> str:
    targets = f"the CNAME leads to {', '.join(found.cname)}" if found.cname else "there is no CNAME record"
    texts = f"TXT is {', '.join(map(repr, found.txt))}" if found.txt else "no TXT record"
    return f"Now {targets}, and {texts}."


def _number_of(owner: User) -> str:
    """A number that only this account ever has: the row, and when it was made, under the installation's own key."""
    about = f"{owner.pk} {owner.username} {owner.date_joined.isoformat()}".encode()
    digest = hmac.new(settings.SECRET_KEY.encode(), b"hostel.panel.domains " + about, hashlib.sha256).digest()
    return str(int.from_bytes(digest, "big"))[:_DIGITS]
