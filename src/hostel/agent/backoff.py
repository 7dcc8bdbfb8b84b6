"""How a website backs off: its crashes in a row, and when it is tried again. Pure: time and chance are given."""

FIRST_RETRY_S = 0.2
RETRY_LIMIT_S = 300.0
PANEL_RETRY_LIMIT_S = 10.0  # everybody waits for it
HEALTHY_AFTER_S = 60.0  # a run that lasted this long forgets the crashes before it
# While a crashed website is down for longer than this, its visitors are told so instead of being held.
HOLD_RETRY_S = 3.0


class BackOff:
    """Of one website. A crash is a run that has ended by itself, or did not come up and is tried again."""

    __slots__ = ("_is_panel", "_retry_at", "crashes", "restarts")  # there are thousands

    def __init__(self, *, is_panel: bool) -> None:
        self._is_panel = is_panel
        self._retry_at: float | None = None  # monotonic; None: no automatic try is planned
        self.crashes = 0  # in a row
        self.restarts = 0  # all that were planned since this agent began

    def forget_if_healthy(self, lasted_s: float) -> None:
        """A run has ended that lasted so long."""
        if lasted_s > HEALTHY_AFTER_S:
            self.crashes = 0

    def plan_retry(self, *, now: float, jitter: float) -> None:
        """After one more crash. `jitter`, from 0 to 1, spreads what crashed together."""
        self.crashes += 1
        self.restarts += 1
        self._retry_at = now + self._delay_s(self.crashes, jitter=jitter)

    def begin_try(self, *, is_change: bool) -> None:
        """A start begins now, planned or not; a changed website may be a better one."""
        self._retry_at = None
        if is_change:
            self.crashes = 0

    def forget(self) -> None:
        """It is off: nothing is tried again, and it comes back without a past."""
        self._retry_at, self.crashes = None, 0

    def retry_in_s(self, now: float) -> float | None:
        """0 when it is due; None where no automatic try is planned."""
        return None if self._retry_at is None else max(0.0, self._retry_at - now)

    @property
    def is_long(self) -> bool:
        """Whether visitors are better told than held until the next try."""
        return self._delay_s(self.crashes) > HOLD_RETRY_S

    @property
    def is_crash_loop(self) -> bool:
        """Whether the wait after one more crash would be long: the start under way may end in one."""
        return self._delay_s(self.crashes + 1) > HOLD_RETRY_S

    def _delay_s(self, crashes: int, *, jitter: float = 0.0) -> float:
        return retry_delay_s(crashes, jitter=jitter, is_panel=self._is_panel)


def retry_delay_s(crashes: int, *, jitter: float, is_panel: bool = False) -> float:
    """How long to wait before the next start after `crashes` in a row (1 or more). `jitter` is from 0 to 1."""
    doubled: float = FIRST_RETRY_S * 2.0 ** min(crashes - 1, 16)
    return min(PANEL_RETRY_LIMIT_S if is_panel else RETRY_LIMIT_S, doubled * (1 + jitter / 4))
