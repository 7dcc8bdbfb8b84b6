"""The gates: each broken for real on a platform of its own, which must refuse its tenants, and take them when mended.

The platform lives in a mount namespace of its own. There a program or a setting of the kernel can be replaced by a
file, and nothing else on the machine notices.
"""

import json
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from hostel.agent.installation import CLAIMS, FIRST_UID, Installation
from hostel.agent.tenant import read_record
from hostel.cli.agent import Agent
from hostel.wire.codec import parse, to_jsonable
from hostel.wire.errors import GateClosed
from hostel.wire.sysctls import PROC_SYS
from live import Platform, User, answering, send_signal
from sandboxed import bash
from waiting import until

DEADLINE_S = 20.0
SYMLINKS = PROC_SYS / "fs/protected_symlinks"
POINTERS = PROC_SYS / "kernel/kptr_restrict"

# runc as somebody could have built it: without the filter of system calls.
LAX_RUNC = """\
#!/usr/bin/python3
import json, os, sys
if "--bundle" in sys.argv:
    file = sys.argv[sys.argv.index("--bundle") + 1] + "/config.json"
    config = json.load(open(file))
    del config["linux"]["seccomp"]
    json.dump(config, open(file, "w"))
os.execv({real!r}, ["runc", *sys.argv[1:]])
"""


class Apart(Platform):
    """A platform in a mount namespace of its own."""

    def _up_command(self) -> list[str]:
        file = self.root / "kptr_restrict"
        file.write_text("0\n")
        script = f'mount --bind {file} {POINTERS} && exec "$@"'
        return ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh", *super()._up_command()]

    def within(self, *argv: str) -> None:
        subprocess.run(["nsenter", f"--mount=/proc/{self.supervisor_pid}/ns/mnt", *argv], check=True)

    @contextmanager
    def replaced(self, place: Path, content: str, mode: int = 0o644) -> Iterator[None]:
        file = self.root / f"instead-of-{place.name}"
        file.write_text(content)
        file.chmod(mode)
        self.within("mount", "--bind", str(file), str(place))
        try:
            yield
        finally:
            self.within("umount", str(place))


@pytest.fixture(scope="module")
def apart(no_leftovers: None) -> Iterator[Apart]:
    platform = Apart()
    try:
        platform.up()
        yield platform
    finally:
        platform.remove()


@pytest.fixture(scope="module")
def carol(apart: Apart) -> User:
    """Has a website that runs all the time."""
    user = apart.add_user_with_server("carol")
    assert apart.create(user, "carol", answering()).json()["webapp"]["state"] == "running"
    return user


# -- how each is broken


@contextmanager
def links_are_followed(apart: Apart) -> Iterator[None]:
    number = read_record(apart.paths.tenants / "carol.json").number
    place = str(apart.paths.sockets / str(number))
    apart.within("mount", "-o", "remount,bind,symfollow", place)
    try:
        yield
    finally:
        apart.within("mount", "-o", "remount,bind,nosymfollow", place)


@contextmanager
def runc_does_not_filter(apart: Apart) -> Iterator[None]:
    real = apart.root / "runc"
    shutil.copy(program("runc"), real)
    with apart.replaced(program("runc"), LAX_RUNC.format(real=str(real)), 0o755):
        yield


@contextmanager
def nft_does_nothing(apart: Apart) -> Iterator[None]:
    """It says that all is well. The rules that were there are gone."""
    installation = parse(Installation, json.loads(apart.paths.installation_file.read_bytes()))
    with apart.replaced(program("nft"), "#!/bin/sh\n", 0o755):
        subprocess.run(["nft", "delete", "table", "inet", f"hostel_{installation.id}"], check=True)
        yield


def a_setting_is_lax(apart: Apart) -> AbstractContextManager[None]:
    return apart.replaced(SYMLINKS, "0\n")


def runc_is_gone(apart: Apart) -> AbstractContextManager[None]:
    return apart.replaced(program("runc"), "")


def the_probe_is_gone(apart: Apart) -> AbstractContextManager[None]:
    return apart.replaced(program("unshare"), "")


def a_setting_is_not_there(apart: Apart) -> AbstractContextManager[None]:
    return apart.replaced(SYMLINKS, "")


def program(name: str) -> Path:
    found = shutil.which(name)
    assert found is not None
    return Path(found)


BROKEN: dict[Callable[[Apart], AbstractContextManager[None]], tuple[str, str]] = {
    links_are_followed: ("socket directories", "not mounted nosymfollow: "),
    runc_does_not_filter: ("confinement", "in a sandbox: Seccomp: 0, unshare: 0"),
    nft_does_nothing: ("network", "a sandbox reaches a port of this machine"),
    a_setting_is_lax: ("kernel settings", "fs.protected_symlinks is 0, not 1"),
    # What could not be tried counts as not in force.
    runc_is_gone: ("confinement", "could not be tried: PermissionError"),
    the_probe_is_gone: ("confinement", "in a sandbox: unshare: 126 Permission denied"),
    a_setting_is_not_there: ("kernel settings", "fs.protected_symlinks is None, not 1"),
}


@pytest.mark.parametrize("breaking", BROKEN, ids=lambda breaking: breaking.__name__)
def test_tenants_are_refused_while_a_gate_is_closed_and_taken_when_it_is_mended(
    apart: Apart, carol: User, breaking: Callable[[Apart], AbstractContextManager[None]]
) -> None:
    """The platform before and after is the control: the same calls succeed."""
    gate, found = BROKEN[breaking]
    assert closed_gates(apart) == {}
    try:
        with breaking(apart):
            answer = apart.create(carol, "second-carol", answering("second"))
            shown = answer.json()["webapp"]
            assert (answer.status_code, shown["state"], shown["deploy"]["phase"]) == (201, "failed", "failed")
            assert shown["reason"] == shown["deploy"]["reason"] == "gate_closed"
            assert gate in shown["detail"]
            with pytest.raises(GateClosed, match=rf"a protection that they rely on \({gate}\) is not in force"):
                bash(apart, carol, "true")
            assert closed_gates(apart)[f"gate: {gate}"].startswith(found)
            assert apart.get("second-carol").status_code == 502
            assert apart.get("carol").status_code == 200, "what runs goes on"
            assert apart.is_up(), "the panel says why"
        assert bash(apart, carol, "echo works") == "works\n"
        until(lambda: apart.get("second-carol").status_code == 200)
    finally:
        apart.delete(carol, "second-carol")


def test_a_restarted_agent_adopts_what_runs_also_behind_a_closed_gate(apart: Apart, carol: User) -> None:
    """And although an installation is gone whose leftovers it removes first."""
    before = apart.get("carol").json()["run"]
    gone = Installation(id="0123abcd", uid_base=FIRST_UID + 65_536 * 4_000, subnet="10.223.0.0/16")
    claim = CLAIMS / f"{gone.id}.json"
    claim.write_text(json.dumps({"root": str(apart.root / "gone"), "installation": to_jsonable(gone)}))
    with a_setting_is_lax(apart):
        agent = apart.part_pid("agent")
        send_signal(agent, signal.SIGKILL)
        until(lambda: apart.part_pid("agent") not in (0, agent))
        until(lambda: apart.hostel("website", "list", check=False).returncode == 0)
        assert not claim.exists()
        assert "gate: kernel settings" in closed_gates(apart)
        assert apart.get("carol").json()["run"] == before
        refused = apart.hostel("shell", "carol", "--", "true", check=False)
        assert refused.returncode == 1
        assert "doctor` names what is not in force, and what to do" in refused.stderr
        shown = apart.hostel("doctor", check=False)
        assert shown.returncode == 1
        assert "fs.protected_symlinks is 0, not 1" in shown.stdout
    assert apart.shell("carol", "echo works") == "works\n"


def test_rules_that_are_flushed_are_loaded_again_before_the_next_start(apart: Apart, carol: User) -> None:
    installation = parse(Installation, json.loads(apart.paths.installation_file.read_bytes()))
    table = ["table", "inet", f"hostel_{installation.id}"]
    subprocess.run(["nft", "delete", *table], check=True)
    assert closed_gates(apart) == {}
    assert "limited" in subprocess.run(["nft", "list", *table], capture_output=True, text=True, check=True).stdout


# -- `hostel up` and the kernel's settings


def test_up_sets_what_keeps_users_apart_and_says_so(apart: Apart) -> None:
    line = "kernel.kptr_restrict: 0 → 1, to protect the kernel's addresses"
    assert line in (apart.root / "up.log").read_text().splitlines()
    assert (apart.root / "kptr_restrict").read_text().strip() == "1"


def test_up_refuses_where_it_cannot_set_them(no_leftovers: None) -> None:
    platform = Platform()
    lax = platform.root / "lax"
    lax.write_text("0\n")
    script = f'mount --bind {lax} {SYMLINKS} && mount -o remount,bind,ro {SYMLINKS} && exec "$@"'
    try:
        argv = ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh", *platform._up_command()]
        done = subprocess.run(
            argv, capture_output=True, text=True, env=platform._environment(), timeout=60, check=False
        )
    finally:
        platform.remove()
    assert done.returncode == 1
    assert (
        "fs.protected_symlinks is 0 and cannot be set to 1, which protects programs from others' links" in done.stderr
    )
    assert "hint: on the machine itself: sysctl -w fs.protected_symlinks=1" in done.stderr


def closed_gates(platform: Platform) -> dict[str, str]:
    """What `hostel doctor` says of each that is closed."""
    gates = [check for check in Agent(platform.paths).checks() if check.name.startswith("gate: ")]
    assert len(gates) == 4
    assert all(check.hint for check in gates if not check.ok)
    return {check.name: check.message for check in gates if not check.ok}
