"""When named tokens were last used: noted in memory at each call, written by a thread of its own once in a while.

Calls that read must not wait for the database's write lock. A panel that is killed forgets what it has not written.
"""

import threading
from datetime import datetime

import structlog
from django.db import DatabaseError, connection, transaction
from django.db.models import Q

from hostel.panel.accounts.models import NamedToken

log = structlog.get_logger(__name__)

WRITE_AFTER_S = 15.0


class Uses:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._noted: dict[int, datetime] = {}
        self._is_due = False

    def note(self, token_id: int, at: datetime) -> None:
        with self._lock:
            self._noted[token_id] = at
            if self._is_due:
                return
            self._is_due = True
        timer = threading.Timer(WRITE_AFTER_S, self._write_in_thread)
        timer.daemon = True
        timer.start()

    def last(self, token: NamedToken) -> datetime | None:
        with self._lock:
            return self._noted.get(token.pk, token.last_used_at)

    def clear(self) -> None:
        with self._lock:
            self._noted.clear()

    def write(self) -> None:
        """What could not be written is written with what is noted next."""
        with self._lock:
            noted, self._noted, self._is_due = self._noted, {}, False
        try:
            with transaction.atomic():
                for token_id, at in noted.items():
                    older = Q(last_used_at=None) | Q(last_used_at__lt=at)
                    NamedToken.objects.filter(older, pk=token_id).update(last_used_at=at)
        except DatabaseError as error:
            log.warning("last uses of tokens could not be written", tokens=len(noted), error=str(error))
            with self._lock:
                self._noted = {**noted, **self._noted}

    def _write_in_thread(self) -> None:
        try:
            self.write()
        finally:
            connection.close()


uses = Uses()
