"""The metrics of one website in rings of a fixed size: an hour of minutes, and a day of ten minutes each.

A point knows when it is of, so what was not seen is a gap and no zero, whatever the clock does. Only of the newest
point of each ring is kept how many answers took how long; of the others, percentiles.
"""

import math
import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from hostel.wire.metrics import Latency, MetricsPoint

MINUTE_S = 60
# Places of the edge's counters, as edge/lua/metrics.lua has them.
FIRST_TIME = 6
TIMES = 34
PLACES = FIRST_TIME + TIMES - 1
_BOUNDS_S = [0.001 * 2 ** (step / 2) for step in range(TIMES - 1)]  # where each time ends but the last

_POINT = struct.Struct("<I5I3fQ2f2H")
_TIMES = struct.Struct(f"<I{TIMES}I")
_HEAD = struct.Struct("<8sI")
_MAGIC = b"metrics1"
_CHECKSUM = struct.Struct("<I")
_MOST = 2**32 - 1
_MOST_DEEDS = 2**16 - 1


class DamagedSeries(ValueError):
    """What was read is not what was written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What is added to a point."""

    counts: Sequence[int] = ()  # by place, the first one unused, as the edge counts
    memory_bytes: int = 0  # 0: nothing ran
    cpu_s: float = 0.0
    over_s: float = 0.0  # in which it was used
    restarts: int = 0
    reloads: int = 0


class Ring:
    """`size` points of `minutes` each."""

    def __init__(self, minutes: int, size: int) -> None:
        self.minutes = minutes
        self.size = size
        self._points = bytearray(_POINT.size * size)
        self._times = [0] * TIMES
        self._times_of = 0  # the point that they belong to

    def add(self, minute: int, sample: Sample) -> None:
        index = minute // self.minutes
        offset = index % self.size * _POINT.size
        at, a, b, c, d, streams, p50, p95, p99, memory, cpu_s, over_s, restarts, reloads = _POINT.unpack_from(
            self._points, offset
        )
        if at != index:
            a = b = c = d = streams = memory = restarts = reloads = 0
            cpu_s = over_s = 0.0
            p50 = p95 = p99 = math.nan
        if sample.counts:
            _, more_a, more_b, more_c, more_d, more_streams, *times = sample.counts
            a, b, c, d, streams = a + more_a, b + more_b, c + more_c, d + more_d, streams + more_streams
            if any(times):
                self._add_times(index, times)
                p50, p95, p99 = (percentile(self._times, share) for share in (0.50, 0.95, 0.99))
        _POINT.pack_into(
            self._points,
            offset,
            index,
            *(min(number, _MOST) for number in (a, b, c, d, streams)),
            *(p50, p95, p99),
            max(memory, sample.memory_bytes),
            *(cpu_s + sample.cpu_s, over_s + sample.over_s),
            *(min(number, _MOST_DEEDS) for number in (restarts + sample.restarts, reloads + sample.reloads)),
        )

    def _add_times(self, index: int, times: Sequence[int]) -> None:
        if self._times_of != index:
            self._times, self._times_of = [0] * TIMES, index
        self._times = [min(mine + more, _MOST) for mine, more in zip(self._times, times, strict=True)]

    def find(self, index: int) -> MetricsPoint | None:
        """The point that begins `index` times `minutes` minutes after 1970 began; None where nothing was seen."""
        at, a, b, c, d, streams, p50, p95, p99, memory, cpu_s, over_s, restarts, reloads = _POINT.unpack_from(
            self._points, index % self.size * _POINT.size
        )
        if at != index:
            return None
        return MetricsPoint(
            at_s=index * self.minutes * MINUTE_S,
            answered=(a, b, c, d),
            streams=streams,
            latency=None if math.isnan(p50) else Latency(p50_s=_round(p50), p95_s=_round(p95), p99_s=_round(p99)),
            memory_bytes=memory or None,
            cpu_cores=round(cpu_s / over_s, 4) if over_s else None,
            restarts=restarts,
            reloads=reloads,
        )

    def has_since(self, index: int) -> bool:
        """Whether anything was seen at `index` or later."""
        return any(at >= index for at, *_ in _POINT.iter_unpack(self._points))

    def dump(self) -> bytes:
        return _TIMES.pack(self._times_of, *self._times) + bytes(self._points)

    def load(self, data: memoryview) -> memoryview:
        """Returns what follows in `data`."""
        self._times_of, *self._times = _TIMES.unpack_from(data)
        end = _TIMES.size + len(self._points)
        self._points[:] = data[_TIMES.size : end]
        return data[end:]


@dataclass(slots=True)
class Series:
    """The two rings of one website; `is_new` while what they hold was not written to disk."""

    hour: Ring = field(default_factory=lambda: Ring(1, 60))
    day: Ring = field(default_factory=lambda: Ring(10, 144))
    is_new: bool = False

    def add(self, minute: int, sample: Sample) -> None:
        self.hour.add(minute, sample)
        self.day.add(minute, sample)
        self.is_new = True

    def dump(self) -> bytes:
        data = _HEAD.pack(_MAGIC, PLACES) + self.hour.dump() + self.day.dump()
        return data + _CHECKSUM.pack(zlib.crc32(data))


def load(data: bytes) -> Series:
    """Raises DamagedSeries."""
    series = Series()
    body = data[: -_CHECKSUM.size]
    is_whole = len(data) == len(series.dump()) and data.endswith(_CHECKSUM.pack(zlib.crc32(body)))
    if not is_whole or _HEAD.unpack_from(data) != (_MAGIC, PLACES):
        raise DamagedSeries(f"{len(data)} bytes that do not belong together")
    series.day.load(series.hour.load(memoryview(body)[_HEAD.size :]))
    return series


def percentile(times: Sequence[int], share: float) -> float:
    """Within how many seconds `share` of the answers that `times` counts had begun. Spread evenly in each place."""
    rank, before = share * sum(times), 0
    for place, number in enumerate(times):
        if number and before + number >= rank:
            least_s = _BOUNDS_S[place - 1] if place else 0.0
            most_s = _BOUNDS_S[min(place, len(_BOUNDS_S) - 1)]
            return least_s + (most_s - least_s) * (rank - before) / number
        before += number
    return math.nan


def add_up(counts: dict[str, list[int]], websites: Mapping[str, Sequence[int]]) -> None:
    """Add what one worker of the edge counted, pairs of place and number."""
    for website, pairs in websites.items():
        places = counts.get(website)
        if places is None:
            places = counts[website] = [0] * (PLACES + 1)
        for place, number in zip(pairs[::2], pairs[1::2], strict=True):
            if place <= PLACES:  # an edge of another release may have more of them
                places[place] += number


def _round(seconds: float) -> float:
    """The float of 4 bytes that it was stored as has some seven digits."""
    return round(seconds, 5)
