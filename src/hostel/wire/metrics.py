"""Metrics: what visitors of a website were answered, and what it used, over the last hour or day."""

from dataclasses import dataclass
from enum import StrEnum

STATUS_CLASSES = ("2xx", "3xx", "4xx", "5xx")


class Period(StrEnum):
    """The last hour by the minute, or the last day by ten minutes."""

    HOUR = "hour"
    DAY = "day"


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """Until the answer began, waiting for the website included: so much of 50, 95 and 99 of 100 requests at most."""

    p50_s: float
    p95_s: float
    p99_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricsPoint:
    """Of one minute, or of ten."""

    at_s: int  # when it begins, since 1970
    answered: tuple[int, ...] = (0, 0, 0, 0)  # by STATUS_CLASSES
    streams: int = 0  # WebSockets and event streams that were opened; they are none of the above
    latency: Latency | None = None  # None: the website answered nothing
    memory_bytes: int | None = None  # the most that was seen; None: nothing ran awake
    cpu_cores: float | None = None  # on average; None: as before
    restarts: int = 0  # starts after it had ended by itself, or had not come up
    reloads: int = 0  # runs that took the place of one that served


@dataclass(frozen=True, slots=True, kw_only=True)
class WebsiteMetrics:
    """Agent → panel, `GET /websites/<domain>/metrics?period=`. The last point is still under way. Where a point is
    missing, nobody looked: the agent was not there.
    """

    period: Period
    step_s: int
    from_s: int  # since 1970, as `until_s`, which is not part of it
    until_s: int
    memory_limit_bytes: int  # as they are now
    cpu_limit_cores: float
    points: tuple[MetricsPoint, ...] = ()
