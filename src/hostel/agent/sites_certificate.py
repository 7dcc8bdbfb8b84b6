"""The certificate of the sites domain, kept fresh: from the own authority, from files of the operator's, or by ACME.

Whatever fails, what was served goes on being served; before there is any, the own authority makes one.
"""

import random
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import structlog
from cryptography import x509

from hostel.agent.certificates import CA, SITES, ensure_certificates, leaf_names
from hostel.agent.questions import Answer
from hostel.agent.renewal import plan_renewal, plan_retry
from hostel.agent.threads import in_daemon_thread
from hostel.agent.upload import check_certificate, dns_names, split_bundle
from hostel.edge.publish import Edge
from hostel.wire.certificate import AcmeOff
from hostel.wire.config import SITES_ACME, SITES_FILES, Config
from hostel.wire.errors import HostelError
from hostel.wire.files import write_atomically

if TYPE_CHECKING:
    from hostel.agent.acme import Authority

log = structlog.get_logger()

_LOOK_EVERY = timedelta(hours=1)


class SitesCertificate:
    """`authority` and `answer` are needed where it comes by ACME."""

    def __init__(self, directory: Path, config: Config, edge: Edge, *, installation: str) -> None:
        self._directory = directory
        self._config = config
        self._edge = edge
        self._installation = installation
        self._failures = 0

    async def refresh(self, authority: "Authority | None", answer: Answer | None, *, now: datetime) -> datetime:
        """Bring it up to date; returns when to look again."""
        source = self._config.certificates.sites
        try:
            if source == SITES_FILES:
                self._take_files(now)
            elif source == SITES_ACME:
                await self._obtain(authority, answer, now)
            else:
                ensure_certificates(self._directory, self._config, installation=self._installation, now=now)
            await self._edge.push_certificate(SITES)
        except (HostelError, OSError, ValueError) as error:
            self._failures += 1
            log.error("certificate of the sites domain could not be renewed", source=source, error=str(error))
            jitter = random.random()  # noqa: S311  # hides nothing
            return min(plan_retry(self._failures, now=now, jitter=jitter), now + _LOOK_EVERY)
        self._failures = 0
        return now + _LOOK_EVERY

    def _take_files(self, now: datetime) -> None:
        """Raises OSError or CertificateRefused."""
        wanted = self._config.certificates
        chain, key = Path(wanted.sites_chain_file).read_text(), Path(wanted.sites_key_file).read_text()
        bundle = b""
        for name in leaf_names(self._config):
            host = name.replace("*", "any")  # a wildcard is good for any one name below it
            bundle = check_certificate(host, chain=chain, private_key=key, now=now)
        self._keep(bundle)

    async def _obtain(self, authority: "Authority | None", answer: Answer | None, now: datetime) -> None:
        """Raises NotIssued or OSError."""
        if authority is None or answer is None:
            raise AcmeOff
        if not self._is_due(now):
            return
        names = leaf_names(self._config)
        self._keep(await in_daemon_thread(lambda: authority.issue(names, answer, by_dns=True), name="acme"))

    def _is_due(self, now: datetime) -> bool:
        served = x509.load_pem_x509_certificate((self._directory / f"{SITES}.pem").read_bytes())
        own = x509.load_pem_x509_certificate((self._directory / f"{CA}.pem").read_bytes())
        has_names = set(dns_names(served)) == set(leaf_names(self._config))
        return served.issuer == own.subject or not has_names or plan_renewal(served, suggested=None) <= now

    def _keep(self, bundle: bytes) -> None:
        chain, key = split_bundle(bundle)
        if (self._directory / f"{SITES}.pem").read_bytes() == chain:
            return
        write_atomically(self._directory / f"{SITES}.key", key, mode=0o600)
        write_atomically(self._directory / f"{SITES}.pem", chain, mode=0o644)
        log.info("certificate of the sites domain is another one")
