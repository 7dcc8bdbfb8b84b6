"""When named tokens and sessions were last used: noted in memory each time, written by a thread once in a while.

Whoever reads must not wait for the database's write lock. A panel that is killed forgets what it has not written.
"""

import threading
from datetime import datetime
from typing import Generic, TypeVar

import structlog
from django.db import DatabaseError, connection, transaction
from django.db.models import Q

from hostel.panel.accounts.models import Login, NamedToken

log = structlog.get_logger(__name__)

WRITE_AFTER_S = 15.0

Key = TypeVar("Key", int, str)


class Uses(Generic[Key]):
    """Of one kind of rows, which have `last_used_at`, by their primary key."""

    def __init__(self, model: type[NamedToken | Login]) -> None:
        self._model = model
        self._lock = threading.Lock()
        self._noted: dict[Key, datetime] = {}
        self._is_due = False

    def note(self, key: Key, at: datetime) -> None:
        with self._lock:
            self._noted[key] = at
            if self._is_due:
                return
            self._is_due = True
        timer = threading.Timer(WRITE_AFTER_S, self._write_in_thread)
        timer.daemon = True
        timer.start()

    def last(self, key: Key, written: datetime | None) -> datetime | None:
        """`written`: what the row says."""
        with self._lock:
            return self._noted.get(key, written)

    def clear(self) -> None:
        with self._lock:
            self._noted.clear()

    def write(self) -> None:
        """What could not be written is written with what is noted next."""
        with self._lock:
            noted, self._noted, self._is_due = self._noted, {}, False
        try:
            with transaction.atomic():
                for key, at in noted.items():
                    older = Q(last_used_at=None) | Q(last_used_at__lt=at)
                    self._model.objects.filter(older, pk=key).update(last_used_at=at)
        except DatabaseError as error:
            log.warning("last uses could not be written", of=self._model.__name__, uses=len(noted), error=str(error))
            with self._lock:
                self._noted = {**noted, **self._noted}

    def _write_in_thread(self) -> None:
        try:
            self.write()
        finally:
            connection.close()


uses: Uses[int] = Uses(NamedToken)
login_uses: Uses[str] = Uses(Login)
