"""How much of the panel one user may take at once: a request has a thread of the panel until it is answered."""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from hostel.wire.errors import Refusal

MOST = 20  # of one user; of what `pids` and `requests` of the panel (agent/panel.py) give to all

_lock = threading.Lock()
_taken: Counter[str] = Counter()


class TooManyAtOnce(Refusal):
    """You have too many requests under way here. Try again when some of them are answered."""

    code = "too_many_at_once"
    status = 429
    is_retryable = True


@contextmanager
def place_of(username: str) -> Iterator[None]:
    """Raises TooManyAtOnce."""
    with _lock:
        if _taken[username] >= MOST:
            raise TooManyAtOnce
        _taken[username] += 1
    try:
        yield
    finally:
        with _lock:
            _taken[username] -= 1
            if not _taken[username]:
                del _taken[username]
