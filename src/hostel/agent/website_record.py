"""What is kept of a website on disk."""

import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import structlog

from hostel.wire.codec import parse, to_jsonable
from hostel.wire.errors import HostelError, MalformedMessage
from hostel.wire.files import write_atomically
from hostel.wire.names import canonical_domain
from hostel.wire.paths import Paths
from hostel.wire.report import PastFailure
from hostel.wire.website import Deploy, Failure, RunId, WebsiteSpec

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class WebsiteRecord:
    """`websites/<canonical domain>.json`: what outlives an agent. `run` is the one that visitors get.

    `starts_s` is how long its last starts took: visitors are held accordingly, after a reboot too.
    """

    spec: WebsiteSpec
    deploy: Deploy
    run: RunId | None = None
    starts_s: tuple[float, ...] = ()
    names: tuple[str, ...] = ()  # at which the edge may know it, beside its own
    last_failure: PastFailure | None = None

    def with_failure(self, failure: Failure) -> "WebsiteRecord":
        """As it is remembered that the website has failed just now."""
        return replace(self, last_failure=PastFailure(at=datetime.now(UTC).isoformat(), failure=failure))


def write_website(paths: Paths, record: WebsiteRecord) -> None:
    name = canonical_domain(record.spec.domain_name)
    write_atomically(paths.websites / f"{name}.json", json.dumps(to_jsonable(record)).encode(), mode=0o600)


def read_website(file: Path) -> WebsiteRecord:
    """Raises OSError, ValueError or a HostelError on a torn or foreign file."""
    record = parse(WebsiteRecord, json.loads(file.read_bytes()))
    if canonical_domain(record.spec.domain_name) != file.stem:
        raise MalformedMessage(f"spec.domain_name: another one's, {record.spec.domain_name}")
    return record


def read_websites(paths: Paths) -> list[WebsiteRecord]:
    """All websites on disk. A torn or foreign file is left where it is and reported."""
    records = []
    for file in sorted(paths.websites.glob("*.json")):
        try:
            records.append(read_website(file))
        except (OSError, ValueError, HostelError) as error:
            log.error("website record cannot be read; it is ignored", file=str(file), error=str(error))
    return records
