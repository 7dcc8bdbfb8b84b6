"""What an installation leaves in the kernel when its root is removed while it runs."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from hostel.agent import cgroup, network
from hostel.agent.installation import FIRST_NUMBER, Installation, ensure_installation
from hostel.agent.leftovers import remove_leftovers
from hostel.wire.config import Config, SitesConfig
from hostel.wire.paths import Paths
from hostel.wire.website import Limits

POOL = "10.64.0.0/11"  # no platform that runs has its subnet there: its gateway would go with the one of the test
Gone = tuple[Installation, Paths, "subprocess.Popen[bytes]"]


@pytest.fixture
def claims(tmp_path: Path) -> Path:
    return tmp_path / "claims"


@pytest.fixture
def gone(tmp_path: Path, claims: Path) -> Iterator[Gone]:
    """An installation with rules, a tenant's network and a process in the tenant's cgroup."""
    paths = Paths(tmp_path / "gone")
    paths.state.mkdir(parents=True)
    installation = ensure_installation(paths, pool=POOL, claims=claims)
    network.ensure_rules(installation, Config(sites=SitesConfig(domain="hostel.localhost")))
    namespace = network.ensure_namespace(installation, FIRST_NUMBER)
    group = f"{installation.cgroup_of(FIRST_NUMBER)}/run"
    cgroup.ensure_tenant(group, Limits())
    process = subprocess.Popen(["sleep", "600"])
    for controller in [""] if cgroup.is_unified() else ["memory", "pids", "cpu"]:
        (cgroup.ROOT / controller / group.strip("/") / "cgroup.procs").write_text(str(process.pid))
    yield installation, paths, process
    namespace.close()
    process.kill()
    process.wait()
    remove_leftovers(installation)


def traces(installation: Installation) -> str:
    """Where the kernel still has the installation's id."""
    asked = (["ip", "-o", "link"], ["nft", "list", "tables"], ["find", "/sys/fs/cgroup", "-name", "hostel-*"])
    shown = [subprocess.run(argv, capture_output=True, text=True, check=False).stdout for argv in asked]
    return "\n".join(line for text in shown for line in text.splitlines() if installation.id in line)


def test_what_a_removed_root_left_goes_with_its_claim(tmp_path: Path, claims: Path, gone: Gone) -> None:
    """Control: while its root is there, the same call leaves it alone."""
    installation, paths, process = gone
    other = Paths(tmp_path / "other")
    other.state.mkdir(parents=True)
    ensure_installation(other, pool=POOL, claims=claims, remove_leftovers=remove_leftovers)
    assert process.poll() is None
    assert len(traces(installation).splitlines()) >= 3
    paths.installation_file.unlink()
    ensure_installation(other, pool=POOL, claims=claims, remove_leftovers=remove_leftovers)
    assert process.wait(5) < 0
    assert traces(installation) == ""
    assert not (claims / f"{installation.id}.json").exists()
