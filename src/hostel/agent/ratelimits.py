"""How much a certificate authority may be asked: counted here before it is asked, so that it need not refuse.

The numbers are Let's Encrypt's, the strictest that many use. Pure: whoever asks brings the time.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from hostel.wire.suffixes import registrable_domain


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One order. `at` is in seconds since 1970."""

    at: float
    names: tuple[str, ...]
    is_issued: bool = False
    tenant: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    orders: tuple[Asked, ...] = ()


@dataclass(frozen=True, slots=True)
class Limit:
    most: int
    within: timedelta
    words: str


ORDERS = Limit(300, timedelta(hours=3), "orders of this platform in three hours")
OF_TENANT = Limit(60, timedelta(hours=3), "orders of one user in three hours")  # our own: some are left for the others
OF_DOMAIN = Limit(50, timedelta(days=7), "certificates for one registered domain in a week")
OF_NAMES = Limit(5, timedelta(days=7), "certificates for the same names in a week")
FAILURES = Limit(5, timedelta(hours=1), "failed orders for one name in an hour")


def find_wait(
    ledger: Ledger, names: Sequence[str], now: datetime, *, tenant: str = ""
) -> tuple[datetime, Limit] | None:
    """When `names` may be ordered and which limit says so, if that is not now."""
    wanted = tuple(sorted(names))
    domains = {registrable_domain(name) for name in wanted}
    counted = (
        (ORDERS, list(ledger.orders)),
        (OF_TENANT, [each for each in ledger.orders if each.tenant == tenant]),
        (OF_DOMAIN, [each for each in ledger.orders if each.is_issued and _domains(each) & domains]),
        (OF_NAMES, [each for each in ledger.orders if each.is_issued and each.names == wanted]),
        (FAILURES, [each for each in ledger.orders if not each.is_issued and set(each.names) & set(wanted)]),
    )
    waits = [(_free_at(limit, orders, now), limit) for limit, orders in counted]
    latest = max(waits, key=lambda wait: wait[0])
    return latest if latest[0] > now else None


def with_order(ledger: Ledger, names: Sequence[str], now: datetime, *, is_issued: bool, tenant: str = "") -> Ledger:
    """The ledger with one more order, without those that no limit looks back to."""
    oldest = (now - OF_DOMAIN.within).timestamp()
    order = Asked(at=now.timestamp(), names=tuple(sorted(names)), is_issued=is_issued, tenant=tenant)
    return replace(ledger, orders=(*(each for each in ledger.orders if each.at > oldest), order))


def _domains(order: Asked) -> set[str]:
    return {registrable_domain(name) for name in order.names}


def _free_at(limit: Limit, orders: Sequence[Asked], now: datetime) -> datetime:
    times = sorted(each.at for each in orders if each.at > (now - limit.within).timestamp())
    if len(times) < limit.most:
        return now
    return datetime.fromtimestamp(times[-limit.most], now.tzinfo) + limit.within
