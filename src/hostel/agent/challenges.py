"""How a certificate authority finds out that a domain leads here, and whether it would: files that nginx serves."""

import ipaddress
import re
import secrets
from collections.abc import Callable
from pathlib import Path

import httpx
import structlog

from hostel.agent.dns import Dns, is_own
from hostel.agent.questions import Question
from hostel.wire.certificate import ChallengeUnreachable, DnsElsewhere, DnsMissing, NotIssued
from hostel.wire.errors import DnsUnreachable
from hostel.wire.files import write_atomically

log = structlog.get_logger()

_PROBE_DEADLINE_S, _CONNECT_S = 5.0, 2.0
_PROBE_BYTES = 256
_FILE_MODE = 0o644
_TOKEN = re.compile(r"[A-Za-z0-9_-]{1,128}")


class Challenges:
    def __init__(self, directory: Path, dns: Dns, *, http_port: int) -> None:
        self._directory = directory
        self._dns = dns
        self._http_port = http_port

    def clear(self) -> None:
        """Remove what an agent that was killed has left."""
        for file in self._directory.glob("*"):
            file.unlink(missing_ok=True)

    async def check_reachable(self, domain: str) -> None:
        """Before the authority is asked: does the domain lead here? Raises NotIssued or DnsUnreachable.

        Each of its addresses is asked for a file that only this platform has. An address that cannot be reached from
        here may still lead here, by way of a router; then the authority finds out.
        """
        try:
            addresses = await self._dns.find_addresses(domain)
        except DnsUnreachable as error:
            raise DnsMissing(f"The DNS does not say where {domain} is; try again in a moment.") from error
        if not addresses:
            raise DnsMissing(f"{domain} has no address in the DNS. Add a record that leads here.")
        token, answer = f"hostel-{secrets.token_hex(16)}", secrets.token_hex(16)
        take_away = self.answer(Question(domain, token, answer))
        try:
            for address in addresses:
                await self._probe(domain, address, token, answer)
        finally:
            take_away()

    async def _probe(self, domain: str, address: str, token: str, answer: str) -> None:
        host = f"[{address}]" if ":" in address else address
        url = f"http://{host}:{self._http_port}/.well-known/acme-challenge/{token}"
        is_local = is_own(address)
        try:
            async with (
                httpx.AsyncClient(
                    timeout=httpx.Timeout(_PROBE_DEADLINE_S, connect=_CONNECT_S), trust_env=False
                ) as client,
                client.stream("GET", url, headers={"Host": domain}) as response,
            ):
                found = b""
                async for piece in response.aiter_bytes():
                    found += piece
                    if len(found) > _PROBE_BYTES:
                        break
        except (httpx.HTTPError, OSError) as error:
            if is_local:
                raise ChallengeUnreachable(
                    f"This machine does not answer at {address}, port {self._http_port}."
                ) from error
            if not _is_public(address):
                raise DnsElsewhere(f"DNS for {domain} points to {address}, not here.") from error
            log.info("the address of a domain cannot be reached from here", domain=domain, address=address)
            return
        if found != answer.encode():
            raise DnsElsewhere(f"DNS for {domain} points to {address}, not here.")

    def answer(self, question: Question) -> Callable[[], None]:
        """A file that nginx serves at the authority's path, for any name."""
        file = self._directory / question.token
        if not _TOKEN.fullmatch(question.token):
            raise NotIssued("The certificate authority sent a token that cannot be a file's name.")
        self._directory.mkdir(parents=True, exist_ok=True)
        write_atomically(file, question.answer.encode(), mode=_FILE_MODE)
        return lambda: file.unlink(missing_ok=True)


def _is_public(address: str) -> bool:
    return ipaddress.ip_address(address).is_global
