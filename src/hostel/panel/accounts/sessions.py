"""Django's sessions, each a row that says whose it is and where it came from, so that users can look at theirs and end
them. Loaded by name: `SESSION_ENGINE`.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.contrib.auth import SESSION_KEY
from django.contrib.sessions.backends.db import SessionStore as DatabaseStore
from django.contrib.sessions.base_session import AbstractBaseSession
from django.utils import timezone

FROM_KEY = "login"  # in a session: what `describe` says, so that it outlasts each time the row is written anew


class SessionStore(DatabaseStore):
    @classmethod
    def get_model_class(cls) -> type[AbstractBaseSession]:
        from hostel.panel.accounts.models import Login

        return Login

    def create_model_instance(self, data: Mapping[str, Any]) -> AbstractBaseSession:
        from hostel.panel.accounts.models import Login

        plain = super().create_model_instance(dict(data))
        came_from, user_id, now = data.get(FROM_KEY, {}), data.get(SESSION_KEY), timezone.now()
        return Login(
            session_key=plain.session_key,
            session_data=plain.session_data,
            expire_date=plain.expire_date,
            user_id=None if user_id is None else int(user_id),
            address=came_from.get("address", ""),
            browser=came_from.get("browser", ""),
            started_at=datetime.fromisoformat(came_from["started_at"]) if came_from else now,
            last_used_at=now,
        )
