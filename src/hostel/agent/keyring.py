"""Certificates of users' own domains: kept on disk, served at the edge. Which are due, `renewal.py` decides.

`<domain>.pem` is chain and key in one file, 0600 and root's, so that the two always belong together; `<domain>.json` is
what is to be remembered of it. The edge serves it for that one domain, whatever names the certificate holds: a user
might send one that is made out for a neighbour's website as well.
"""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import structlog
from cryptography import x509

from hostel.agent.upload import dns_names, split_bundle
from hostel.edge.publish import Edge
from hostel.wire.certificate import CertificateReport, CertType, NoCertificate
from hostel.wire.codec import parse, to_jsonable
from hostel.wire.errors import EdgeUnreachable, HostelError
from hostel.wire.files import write_atomically

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Keeping:
    """What is remembered of a certificate. Times are ISO 8601, UTC; "" is never."""

    tenant: str
    cert_type: CertType
    renewal_at: str = ""  # when the next one is to be obtained
    inquiry_at: str = ""  # when the certificate authority is to be asked for a better time
    failures: int = 0  # in a row
    failure: str = ""
    detail: str = ""


class Keyring:
    def __init__(self, directory: Path, edge: Edge) -> None:
        self._directory = directory
        self._edge = edge
        self._keepings: dict[str, Keeping] = {}
        self.read()

    def read(self) -> None:
        for file in sorted(self._directory.glob("*.*.json")):  # a domain has a dot
            try:
                self._keepings[file.stem] = parse(Keeping, json.loads(file.read_bytes()))
                self.certificate(file.stem)
            except (OSError, ValueError, HostelError) as error:
                self._keepings.pop(file.stem, None)
                log.error("certificate cannot be read", domain=file.stem, error=str(error))

    @property
    def domains(self) -> list[str]:
        return sorted(self._keepings)

    def find(self, domain: str) -> Keeping | None:
        return self._keepings.get(domain)

    def chain(self, domain: str) -> bytes:
        """Without the key."""
        return split_bundle((self._directory / f"{domain}.pem").read_bytes())[0]

    def certificate(self, domain: str) -> x509.Certificate:
        return x509.load_pem_x509_certificate(self.chain(domain))

    async def serve(self, domain: str, bundle: bytes, keeping: Keeping) -> None:
        """From the next handshake on, and after any restart. Raises OSError where it cannot be kept."""
        write_atomically(self._directory / f"{domain}.pem", bundle, mode=0o600)
        self.remember(domain, keeping)
        await self._push(domain)
        log.info("certificate is served", domain=domain, cert_type=keeping.cert_type.value)

    def remember(self, domain: str, keeping: Keeping) -> None:
        write_atomically(self._directory / f"{domain}.json", json.dumps(to_jsonable(keeping)).encode(), mode=0o600)
        self._keepings[domain] = keeping

    async def serve_all(self) -> None:
        """What an earlier agent may have written and not pushed any more."""
        for domain in self.domains:
            await self._push(domain)

    async def _push(self, domain: str) -> None:
        try:
            await self._edge.push_certificate(domain, only_for=domain)
        except (EdgeUnreachable, OSError, ValueError) as error:  # nginx reads it when it starts
            log.error("certificate is not served yet", domain=domain, error=str(error))

    async def drop(self, domain: str) -> None:
        """Nothing is left of it. Idempotent."""
        if self._keepings.pop(domain, None) is None:
            return
        for suffix in ("json", "pem"):
            (self._directory / f"{domain}.{suffix}").unlink(missing_ok=True)
        try:
            await self._edge.remove_certificate(domain)
        except EdgeUnreachable as error:
            log.error("a certificate that was deleted may be served still", domain=domain, error=str(error))
        log.info("certificate deleted", domain=domain)

    def report(self, domain: str) -> CertificateReport:
        """Raises NoCertificate."""
        keeping = self._keepings.get(domain)
        if keeping is None:
            raise NoCertificate
        return describe(self.certificate(domain), keeping)


def describe(certificate: x509.Certificate, keeping: Keeping) -> CertificateReport:
    return CertificateReport(
        cert_type=keeping.cert_type,
        not_after=moment(certificate.not_valid_after_utc),
        issuer_name=certificate.issuer.rfc4514_string(),
        subject_name=certificate.subject.rfc4514_string(),
        subject_alternate_names=dns_names(certificate),
        renewal_at=keeping.renewal_at,
        failure=keeping.failure,
        detail=keeping.detail,
    )


def moment(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
