"""What the DNS says, asked with deadlines: of the servers in hostel.toml, or the host's."""

import socket
from collections.abc import Sequence

import dns.asyncresolver
import dns.exception
import dns.name
import dns.nameserver
import dns.rdatatype
import dns.resolver

from hostel.wire.config import parse_resolver
from hostel.wire.errors import DnsUnreachable
from hostel.wire.report import Proof, ProofReport

_DEADLINE_S = 5.0
_ALIASES_MOST = 8  # one after another
_SHOWN_MOST = 10


class Dns:
    """Asks anew each time: whoever has just added a record wants to hear of that one."""

    def __init__(self, resolvers: Sequence[str]) -> None:
        self._resolver = dns.asyncresolver.Resolver(configure=not resolvers)
        self._resolver.lifetime = _DEADLINE_S
        if resolvers:
            self._resolver.nameservers = [
                dns.nameserver.Do53Nameserver(address, port) for address, port in map(parse_resolver, resolvers)
            ]

    async def find_proof(self, domain: str, *, cname: str, txt_name: str, txt: str) -> ProofReport:
        """Whether `domain` leads to `cname` through CNAME records, or `txt` stands at `txt_name`.

        Raises DnsUnreachable where neither is there and the DNS did not say so.
        """
        targets, is_answered = await self._find_targets(domain)
        if cname in targets:
            return ProofReport(proof=Proof.CNAME, cname=targets)
        texts = await self._ask(txt_name, "TXT")
        if txt in (texts or ()):
            return ProofReport(proof=Proof.TXT, cname=targets, txt=texts or ())
        if texts is None or not is_answered:
            raise DnsUnreachable
        return ProofReport(cname=targets, txt=texts[:_SHOWN_MOST])

    async def find_addresses(self, domain: str) -> tuple[str, ...]:
        """All IPv4 and IPv6 addresses of `domain`. Raises DnsUnreachable where the DNS does not say."""
        answers = [await self._ask(domain, kind) for kind in ("A", "AAAA")]
        if None in answers and not any(answers):
            raise DnsUnreachable
        return tuple(address for found in answers for address in found or ())

    async def _find_targets(self, domain: str) -> tuple[tuple[str, ...], bool]:
        """Where CNAME records lead, one after another, and whether the DNS said where it ends."""
        targets: list[str] = []
        while len(targets) < _ALIASES_MOST:
            found = await self._ask(targets[-1] if targets else domain, "CNAME")
            if not found:
                return tuple(targets), found is not None
            targets.append(found[0].rstrip(".").lower())
        return tuple(targets), True

    async def _ask(self, name: str, kind: str) -> tuple[str, ...] | None:
        """The records, without quotes; () where there are none, None where nobody knows."""
        try:
            answer = await self._resolver.resolve(
                dns.name.from_text(name), dns.rdatatype.from_text(kind), search=False, raise_on_no_answer=False
            )
        except dns.resolver.NXDOMAIN:
            return ()
        except (dns.exception.DNSException, OSError):
            return None
        return tuple(_text(record) for record in answer.rrset or ())


def _text(record: object) -> str:
    strings = getattr(record, "strings", None)
    return str(record) if strings is None else b"".join(strings).decode("utf-8", "replace")


def is_own(address: str) -> bool:
    """Whether this machine has `address`: nothing else can be bound."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            return False
    return True
