"""A change of `[limits]` in hostel.toml is a change of wanted state: it reaches those who are here already too."""

import structlog
from django.db import transaction

from hostel.panel.accounts.models import User
from hostel.panel.wanted.models import Counter, advance
from hostel.panel.websites.models import Website
from hostel.wire.codec import to_jsonable
from hostel.wire.config import LimitsConfig

log = structlog.get_logger(__name__)


def announce_plan(limits: LimitsConfig) -> bool:
    """Where `limits` are not those announced last: a new version of every user and website, which the agent pulls.

    Returns whether that was so. To be called before the panel's new run answers anything.
    """
    plan = to_jsonable(limits)
    if Counter.objects.get().plan == plan:
        return False
    with transaction.atomic():
        revision = advance().revision
        Counter.objects.update(plan=plan)
        users = User.objects.update(revision=revision)
        websites = Website.objects.update(revision=revision)
    log.info("limits announced", users=users, websites=websites, revision=revision)
    return True
