"""C5, C9, A6 and G10: homes as the edge and the neighbours meet them, the longest name, and attacks from a console."""

import os
import socket
import stat
import subprocess
from pathlib import Path

import pytest

from hostel.wire.names import DOMAIN_LENGTH_LIMIT
from live import Platform, User, answering

LINK = "ln {} stolen 2>&1; cat stolen 2>&1; rm -f stolen"


def test_c5_a_hard_link_to_another_users_file_is_refused(platform: Platform, alice: User, bob: User) -> None:
    """As the user, on the host's own file system, where both files are in reach: a sandbox shows one of them only.

    Control: a link to a file of one's own. The setting itself, switched off, closes a gate (test_gates.py).
    """
    platform.shell("bob", "echo secret > mine; chmod 600 mine; mkdir -p ~/pub; echo open > ~/pub/open")
    home, uid = platform.paths.homes / "bob", os.stat(platform.paths.homes / "alice").st_uid
    assert Path("/proc/sys/fs/protected_hardlinks").read_text().strip() == "1"
    target = platform.root / "links"
    target.mkdir(mode=0o777, exist_ok=True)
    target.chmod(0o777)
    own = as_user(uid, f"cd {target}; echo own > own; ln own linked && cat linked")
    assert own == "own\n"
    stolen = as_user(uid, f"cd {target}; ln {home}/mine stolen; ln {home}/pub/open stolen; cat stolen")
    assert "secret" not in stolen + platform.shell("alice", LINK.format("/home/bob/mine"))
    assert not (target / "stolen").exists()


def test_c9_the_edge_may_pass_through_a_home_and_read_nothing_that_its_owner_has_not_opened(
    platform: Platform, alice: User, bob: User
) -> None:
    platform.shell("alice", "umask 077; echo secret > private; echo open > public; chmod 644 public")
    home = platform.paths.homes / "alice"
    mode = os.stat(home).st_mode
    assert (stat.S_IMODE(mode), os.stat(home).st_gid) == (0o710, 33)
    assert as_user(33, f"cat {home}/private 2>&1").endswith("Permission denied\n")
    assert as_user(33, f"ls {home} 2>&1").endswith("Permission denied\n")
    assert as_user(33, f"cat {home}/public") == "open\n"  # control: the way is open, by its mode alone
    assert "open" not in as_user(os.stat(platform.paths.homes / "bob").st_uid, f"cat {home}/public 2>&1")
    assert as_user(0, f"cat {home}/private") == "secret\n"


def test_a6_the_longest_name_that_is_accepted_serves(platform: Platform, alice: User) -> None:
    tail = f"-alice.{platform.domain}"
    label = "x" * min(63 - len("-alice"), DOMAIN_LENGTH_LIMIT - len(tail))
    created = platform.create(alice, f"{label}-alice", answering())
    assert (created.status_code, created.json()["webapp"]["state"]) == (201, "running")
    assert platform.get(f"{label}-alice").status_code == 200
    platform.delete(alice, f"{label}-alice")
    # Control: the kernel does refuse what is longer than its structure.
    with socket.socket(socket.AF_UNIX) as server, pytest.raises(OSError, match="too long"):
        server.bind(f"{platform.root}/{'x' * 120}")


def test_g10_a_console_is_the_same_sandbox_as_a_website(platform: Platform, alice: User) -> None:
    """Seen from the inside: the same filter, no capabilities, the same namespaces' kinds. The tests of group D attack
    from consoles for that reason."""
    show = "grep -E '^(Seccomp|CapEff|NoNewPrivs):' /proc/self/status"
    console = platform.shell("alice", show)
    assert "Seccomp:\t2" in console
    script = f"{show} > seen-by-site; exec {answering()}"
    assert platform.create(alice, "alice", script).json()["webapp"]["state"] == "running"
    platform.delete(alice, "alice")
    assert platform.shell("alice", "cat seen-by-site") == console
    host = subprocess.run(["grep", "^Seccomp:", "/proc/self/status"], capture_output=True, text=True, check=True)
    assert host.stdout != "Seccomp:\t2\n"  # control: outside there is none


def as_user(uid: int, script: str) -> str:
    """What a script prints as that user, outside every sandbox."""
    argv = ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "bash", "-c", script]
    return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=30).stdout
