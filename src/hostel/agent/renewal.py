"""Certificates obtained by ACME: ordered when their owners ask, and again before they end.

Renewed one after another, in the order in which they are due, and only as many as the authority's limits allow. Where
an order fails the old certificate goes on serving, and the next try comes later each time.
"""

import asyncio
import contextlib
import hashlib
import json
import random
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import structlog
from cryptography import x509

from hostel.agent.challenges import Challenges
from hostel.agent.keyring import Keeping, Keyring, moment
from hostel.agent.ratelimits import Ledger, find_wait, with_order
from hostel.agent.threads import in_daemon_thread
from hostel.wire.certificate import (
    AcmeOff,
    CaLimited,
    CertType,
    NotIssued,
)
from hostel.wire.codec import parse, to_jsonable
from hostel.wire.errors import HostelError
from hostel.wire.files import write_atomically

if TYPE_CHECKING:
    from hostel.agent.acme import Authority

log = structlog.get_logger()

LIFETIME_SHARE = 2 / 3  # of which the renewal is due, where the authority names no time
JITTER_SHARE = 1 / 48  # of the lifetime: certificates obtained on one day are not due in one hour
BACK_OFF_FIRST, BACK_OFF_MOST = timedelta(minutes=15), timedelta(hours=24)
INQUIRY_LEAST, INQUIRY_AFTER_FAILURE, INQUIRY_MOST = timedelta(seconds=1), timedelta(hours=6), timedelta(days=1)
_LOOK_AGAIN_S = 3600.0
_AT_ONCE = 4  # orders: one that the authority is slow with holds up no other
_PAUSE_S = 1.0  # between two orders


def plan_renewal(certificate: x509.Certificate, *, suggested: datetime | None) -> datetime:
    """When to renew: as the authority suggests, else at two thirds of the lifetime, spread by the serial."""
    begin: datetime = certificate.not_valid_before_utc
    end: datetime = certificate.not_valid_after_utc
    lifetime = end - begin
    if suggested is not None:
        return min(suggested, end - lifetime / 12)  # an authority may be wrong; two failed tries must still have room
    digest = hashlib.sha256(str(certificate.serial_number).encode()).digest()
    spread = int.from_bytes(digest[:4], "big") / (1 << 32) * 2 - 1
    return begin + timedelta(seconds=lifetime.total_seconds() * (LIFETIME_SHARE + JITTER_SHARE * spread))


def plan_retry(failures: int, *, now: datetime, jitter: float) -> datetime:
    """After `failures` in a row; `jitter` is 0 to 1."""
    wait = min(BACK_OFF_FIRST * (1 << min(failures - 1, 20)), BACK_OFF_MOST)
    return now + wait * (0.8 + 0.4 * jitter)


class Renewal:
    """`authority` is None where the operator has named none. `still_belongs` says whose a domain is now."""

    def __init__(
        self,
        keyring: Keyring,
        authority: "Authority | None",
        challenges: Challenges,
        *,
        ledger_file: Path,
        still_belongs: Callable[[str, str], bool],
    ) -> None:
        self._keyring = keyring
        self._authority = authority
        self._challenges = challenges
        self._ledger_file = ledger_file
        self._still_belongs = still_belongs
        self._orders: dict[str, asyncio.Task[None]] = {}
        self._places = asyncio.Semaphore(_AT_ONCE)
        self._changed = asyncio.Event()
        self._last_failures: dict[str, NotIssued] = {}

    # -- for owners

    async def obtain(self, domain: str, *, tenant: str, wait_s: float) -> bool:
        """A certificate for `domain`, renewed from then on. Returns False where it takes longer than `wait_s`: it goes
        on. Raises NotIssued, or DnsUnreachable.
        """
        if self._authority is None:
            raise AcmeOff
        task = self._orders.get(domain)
        if task is None:
            task = asyncio.create_task(self._obtain(domain, tenant), name=f"certificate for {domain}")
            self._orders[domain] = task
            task.add_done_callback(lambda _: self._orders.pop(domain, None))
        done, _ = await asyncio.wait({task}, timeout=wait_s)
        if not done:
            return False
        task.result()
        return True

    def is_obtaining(self, domain: str) -> bool:
        return domain in self._orders

    @property
    def last_failures(self) -> dict[str, NotIssued]:
        """By domain: as `last_failure`."""
        return dict(self._last_failures)

    def last_failure(self, domain: str) -> NotIssued | None:
        """Of a first order that nobody waited for any more."""
        return self._last_failures.get(domain)

    # -- by themselves

    async def serve(self) -> None:
        """Renew what is due, for ever."""
        self._challenges.clear()
        await self._keyring.serve_all()
        while True:
            self._changed.clear()
            wait_s = _LOOK_AGAIN_S
            for domain in self._due_first():
                now = datetime.now(UTC)
                due = self._next_deed(domain)
                if due is None or self._authority is None:
                    continue
                if due > now:
                    wait_s = min(wait_s, (due - now).total_seconds())
                    continue
                await self._attend(domain, now)
                wait_s = 0.0
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(wait_s, 0.1)):
                    await self._changed.wait()

    def _due_first(self) -> list[str]:
        due = {domain: at for domain in self._keyring.domains if (at := self._next_deed(domain)) is not None}
        return sorted(due, key=lambda domain: due[domain])

    def _next_deed(self, domain: str) -> datetime | None:
        keeping = self._keyring.find(domain)
        if keeping is None or keeping.cert_type is not CertType.ACME:
            return None
        times = [at for at in (_read(keeping.renewal_at), _read(keeping.inquiry_at)) if at is not None]
        return min(times, default=None)

    async def _attend(self, domain: str, now: datetime) -> None:
        """One certificate whose time has come: ask when it is to be renewed, or renew it. Never raises."""
        keeping = self._keyring.find(domain)
        if keeping is None or domain in self._orders:
            return
        renewal_at = _read(keeping.renewal_at)
        try:
            if renewal_at is not None and renewal_at > now:
                await self._inquire(domain, keeping)
            else:
                await self.obtain(domain, tenant=keeping.tenant, wait_s=3600.0)
                await asyncio.sleep(_PAUSE_S * random.random())  # noqa: S311  # spreads orders, hides nothing
        except Exception as error:  # one certificate's trouble keeps no other from being renewed
            self._note_failure(domain, error, now)

    def _note_failure(self, domain: str, error: Exception, now: datetime) -> None:
        if not isinstance(error, HostelError):
            log.exception("fault while a certificate was renewed", domain=domain, exc_info=error)
        keeping = self._keyring.find(domain)
        if keeping is None:
            return
        failures = keeping.failures + 1
        at = plan_retry(failures, now=now, jitter=random.random())  # noqa: S311  # as above
        code = error.code if isinstance(error, HostelError) else "fault"
        log.warning("certificate could not be renewed", domain=domain, code=code, error=str(error), failures=failures)
        noted = replace(
            keeping, failures=failures, failure=code, detail=str(error), renewal_at=moment(at), inquiry_at=""
        )
        with contextlib.suppress(OSError):
            self._keyring.remember(domain, noted)

    async def _inquire(self, domain: str, keeping: Keeping) -> None:
        """Ask the authority when it wants the certificate renewed: sooner, perhaps, because it will revoke it."""
        suggested, ask_at = await self._suggestion(self._keyring.chain(domain))
        at = plan_renewal(self._keyring.certificate(domain), suggested=suggested)
        self._keyring.remember(domain, replace(keeping, renewal_at=moment(at), inquiry_at=moment(ask_at)))

    async def _suggestion(self, chain: bytes) -> tuple[datetime | None, datetime]:
        authority = self._authority
        if authority is None:
            raise AcmeOff
        try:
            suggested, ask_at = await in_daemon_thread(lambda: authority.find_renewal(chain), name="acme")
        except NotIssued as error:
            log.warning("the certificate authority does not say when to renew", error=str(error))
            return None, datetime.now(UTC) + INQUIRY_AFTER_FAILURE
        now = datetime.now(UTC)
        return suggested, min(max(ask_at, now + INQUIRY_LEAST), now + INQUIRY_MOST)

    # -- one order

    async def _obtain(self, domain: str, tenant: str) -> None:
        self._last_failures.pop(domain, None)
        try:
            async with self._places:
                bundle = await self._order(domain, tenant)
            certificate = x509.load_pem_x509_certificate(bundle)
            suggested, ask_at = await self._suggestion(bundle)
        except NotIssued as error:
            self._last_failures[domain] = error
            raise
        if not self._still_belongs(domain, tenant):
            log.info("certificate is dropped: its domain has gone meanwhile", domain=domain)
            return
        renewal_at = plan_renewal(certificate, suggested=suggested)
        keeping = Keeping(
            tenant=tenant, cert_type=CertType.ACME, renewal_at=moment(renewal_at), inquiry_at=moment(ask_at)
        )
        await self._keyring.serve(domain, bundle, keeping)
        self._changed.set()

    async def _order(self, domain: str, tenant: str) -> bytes:
        authority = self._authority
        if authority is None:
            raise AcmeOff
        now = datetime.now(UTC)
        wait = find_wait(self._read_ledger(), [domain], now, tenant=tenant)
        if wait is not None:
            at, limit = wait
            raise CaLimited(f"No more than {limit.most} {limit.words}: try again after {at:%Y-%m-%d %H:%M} UTC.")
        await self._challenges.check_reachable(domain)
        is_issued = False
        try:
            bundle = await in_daemon_thread(lambda: authority.issue([domain], self._challenges.answer), name="acme")
            is_issued = True
        finally:
            ledger = with_order(self._read_ledger(), [domain], now, is_issued=is_issued, tenant=tenant)
            self._write_ledger(ledger)
        return bundle

    def _read_ledger(self) -> Ledger:
        try:
            return parse(Ledger, json.loads(self._ledger_file.read_bytes()))
        except FileNotFoundError:
            return Ledger()
        except (OSError, ValueError, HostelError) as error:
            log.error("what was ordered cannot be read; counting begins anew", error=str(error))
            return Ledger()

    def _write_ledger(self, ledger: Ledger) -> None:
        try:
            write_atomically(self._ledger_file, json.dumps(to_jsonable(ledger)).encode(), mode=0o600)
        except OSError as error:
            log.error("what was ordered cannot be kept", error=str(error))


def _read(moment_: str) -> datetime | None:
    return datetime.fromisoformat(moment_) if moment_ else None
