"""Torn and foreign records: which files they are, and what is known in spite of them."""

import json
import os
from pathlib import Path

import pytest

from hostel.agent.installation import Installation
from hostel.agent.records import find_unreadable, recover_tenant, route_run
from hostel.agent.tenant import TenantRecord, write_record
from hostel.agent.website_record import WebsiteRecord, read_websites, write_website
from hostel.wire.codec import to_jsonable
from hostel.wire.paths import Paths
from hostel.wire.route import RouteRecord, RouteState
from hostel.wire.website import Deploy, Phase, RunId, TenantLimits, Version, WebsiteSpec

VERSION = Version(epoch=1, revision=2)
LIMITS = TenantLimits(pids=7)


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    """With one good record of each kind."""
    paths = Paths(tmp_path)
    for directory in (paths.tenants, paths.websites, paths.routes, paths.homes):
        directory.mkdir(parents=True)
    write_record(paths, TenantRecord(name="erin", number=20, version=VERSION, limits=LIMITS))
    spec = WebsiteSpec(domain_name="Erin.example.org", tenant="erin", version=VERSION, enabled=True, command="serve")
    write_website(paths, WebsiteRecord(spec=spec, deploy=Deploy(version=VERSION, phase=Phase.DONE)))
    route = RouteRecord(domain="erin.example.org", serial=1, state=RouteState.RUNNING, run=RunId("r1"))
    (paths.routes / "erin.example.org.json").write_text(json.dumps(to_jsonable(route)))
    return paths


def test_good_records_and_temporary_files_are_no_trouble(paths: Paths) -> None:
    (paths.websites / ".erin.example.org.json.0a1b").write_text("half")
    assert list(find_unreadable(paths)) == []


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '{"name": 1}', "\x00" * 9, "\ud800"])
def test_a_torn_record_is_named_with_the_reason(paths: Paths, content: str) -> None:
    files = [
        paths.tenants / "erin.json",
        paths.websites / "erin.example.org.json",
        paths.routes / "erin.example.org.json",
    ]
    for file in files:
        file.write_bytes(content.encode("utf-8", "surrogatepass"))
    found = dict(find_unreadable(paths))
    assert list(found) == files
    assert all(found.values())
    assert read_websites(paths) == []
    assert route_run(paths, "erin.example.org") is None


def test_a_record_under_another_name_and_other_files_are_foreign(paths: Paths) -> None:
    for directory, name in (
        (paths.tenants, "erin"),
        (paths.websites, "erin.example.org"),
        (paths.routes, "erin.example.org"),
    ):
        (directory / "frida.example.org.json").write_bytes((directory / f"{name}.json").read_bytes())
    (paths.routes / "core").write_text("")
    (paths.tenants / "directory.json").mkdir()
    found = {file.name for file, _ in find_unreadable(paths)}
    assert found == {"frida.example.org.json", "core", "directory.json"}
    assert [record.spec.domain_name for record in read_websites(paths)] == ["Erin.example.org"]


def test_the_run_that_serves_is_the_routes(paths: Paths) -> None:
    assert route_run(paths, "erin.example.org") == "r1"
    assert route_run(paths, "frida.example.org") is None


@pytest.mark.parametrize(
    ("name", "number", "is_known"),
    [("erin", 20, True), ("erin", 15, False), ("erin", 30, False), ("nobody", None, False), ("../erin", None, False)],
)
def test_a_tenants_number_is_read_off_the_home(paths: Paths, name: str, number: int | None, *, is_known: bool) -> None:
    """Only where it is one that was given out."""
    installation = Installation(id="0a1b2c3d", uid_base=1_900_000_000, subnet="10.192.0.0/16", next_number=30)
    if number is not None:
        (paths.homes / name).mkdir()
        os.chown(paths.homes / name, installation.uid(number), 0)
    recovered = recover_tenant(paths, installation, name, LIMITS)
    expected = TenantRecord(name=name, number=20, version=Version(epoch=0, revision=0), limits=LIMITS)
    assert recovered == (expected if is_known else None)
