"""Housekeeping that costs something for each website that is awake: of so many at a time, in turn."""

from bisect import bisect_right
from collections.abc import Iterable


class Turns:
    """`most` names a turn: with more of them each comes round less often, and the cost stays the same."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._last = ""

    def take(self, names: Iterable[str]) -> list[str]:
        """Those of `names` whose turn it is."""
        ordered = sorted(names)
        first = bisect_right(ordered, self._last)
        turn = [*ordered[first:], *ordered[:first]][: self._most]
        if turn:
            self._last = turn[-1]
        return turn
