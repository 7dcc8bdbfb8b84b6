"""`GET /agent/wanted/`: what the agent pulls. Everybody without the agent's secret meets a page that does not exist."""

import hmac
import json
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import structlog
from django.conf import settings
from django.db import transaction
from django.db.models import Model
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.http import require_GET

from hostel.panel.accounts.models import User
from hostel.panel.wanted.models import Kind, Tombstone, begin_epoch_after, current_version
from hostel.panel.websites.models import Website
from hostel.wire.codec import parse, to_jsonable
from hostel.wire.errors import MalformedMessage
from hostel.wire.website import Version, Wanted

log = structlog.get_logger(__name__)

_ROWS_AT_ONCE = 500  # of thousands; the panel would keep the memory that all together took

Row = TypeVar("Row", bound=Model)


@require_GET
def wanted(request: HttpRequest) -> HttpResponse:
    if not _is_agent(request.headers.get("Authorization", "")):
        raise Http404
    try:
        known = _version(request, "epoch", "revision")
        newest = _version(request, "newest_epoch", "newest_revision")
    except ValueError:
        return JsonResponse({"code": "malformed_message", "message": "epochs and revisions are integers."}, status=400)
    begin_epoch_after(newest)
    return HttpResponse(newer_than(known), content_type="application/json")


def _version(request: HttpRequest, epoch: str, revision: str) -> Version:
    return Version(epoch=int(request.GET.get(epoch, "0")), revision=int(request.GET.get(revision, "0")))


@transaction.atomic
def newer_than(known: Version) -> str:
    """All wanted state after `known`, as JSON of `Wanted`; all of it where the epoch is another.

    One transaction: one consistent view.
    """
    version = current_version()
    epoch = version.epoch
    after = known.revision if known.epoch == epoch else -1
    users = User.objects.filter(revision__gt=after).select_related("api_token").order_by("revision")
    newer = Website.objects.filter(revision__gt=after).prefetch_related("owner").order_by("revision")
    websites = newer.with_domains().with_mappings().iterator(chunk_size=_ROWS_AT_ONCE)
    gone = Wanted(
        version=version,
        deleted_tenants=Tombstone.objects.of(Kind.TENANT, after=after),
        deleted_websites=Tombstone.objects.of(Kind.WEBSITE, after=after),
    )
    written = {name: json.dumps(value) for name, value in to_jsonable(gone).items()}
    written["tenants"] = _write(users, lambda user: user.spec(epoch=epoch, api_token=user.token_to_repeat))
    written["websites"] = _write(websites, lambda website: website.spec(epoch=epoch))
    return "{" + ",".join(f"{json.dumps(name)}:{value}" for name, value in written.items()) + "}"


def _write(rows: Iterable[Row], spec_of: Callable[[Row], object]) -> str:
    """The specs of `rows` as a list in JSON. Each is text before the next is read: as objects they take five times as
    much memory, and the panel keeps what it once had.
    """
    return f"[{','.join(_texts(rows, spec_of))}]"


def _texts(rows: Iterable[Row], spec_of: Callable[[Row], object]) -> Iterator[str]:
    """Without those that hold what only another program can have written: SQLite keeps any value in any column. The
    others must not wait for such a row.
    """
    for row in rows:
        try:
            spec = spec_of(row)
            written = to_jsonable(spec)
            parse(type(spec), written)
        except (TypeError, ValueError, MalformedMessage) as error:
            log.error("a row cannot be read; it is left out", kind=type(row).__name__, row=row.pk, error=str(error))
        else:
            yield json.dumps(written)


def _is_agent(authorization: str) -> bool:
    scheme, _, given = authorization.partition(" ")
    try:
        secret = settings.HOSTEL_PATHS.agent_secret.read_text("ascii").strip()
    except FileNotFoundError:
        return False
    return scheme == "Agent" and bool(secret) and hmac.compare_digest(given.encode(), secret.encode())
