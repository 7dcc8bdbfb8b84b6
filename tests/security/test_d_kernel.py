"""D14 to D16 and D19 to D21: what a sandbox sees of the kernel, and what the kernel does for it."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from hostel.agent.oci import Mount, render_bind
from live import Platform, User
from sandboxed import Change, bash, in_namespaces_without, prepared, python, run, without_seccomp
from servers import put

# Makes each call with arguments that the kernel itself would take, or refuse for another reason than EPERM. Only for
# sandboxes: what it tries has an effect where it is allowed.
CALLS = """
import ctypes, errno, json, os, platform, struct, tempfile
assert os.getpid() == 1  # of a sandbox
libc = ctypes.CDLL(None, use_errno=True)
x86 = platform.machine() == "x86_64"
def call(number, *arguments):
    ctypes.set_errno(0)
    if (child := os.fork()) == 0:
        result = libc.syscall(number, *arguments)
        os._exit(ctypes.get_errno() if result < 0 else 0)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return errno.errorcode.get(code, "done" if code == 0 else str(code))
CLONE_NEWUSER, AF_ALG, AF_VSOCK, AF_PACKET = 0x10000000, 38, 40, 17
attributes = ctypes.create_string_buffer(struct.pack("=II", 1, 128) + bytes(120))  # a software counter
parameters = ctypes.create_string_buffer(120)
keyring = ctypes.c_long(-3)
tried = {
    "unshare": call(272 if x86 else 97, CLONE_NEWUSER),
    "clone": call(56 if x86 else 220, CLONE_NEWUSER | 17, 0, 0, 0, 0),
    "keyctl": call(250 if x86 else 219, 0, keyring, 1),
    "add_key": call(248 if x86 else 217, b"user", b"a", b"b", 1, keyring),
    "io_uring_setup": call(425, 4, parameters),
    "perf_event_open": call(298 if x86 else 241, attributes, 0, -1, -1, 0),
    "bpf": call(321 if x86 else 280, 0, attributes, 72),
    "userfaultfd": call(323 if x86 else 282, 1),
    "mount": call(165 if x86 else 40, b"x", b"/var/tmp", b"tmpfs", 0, 0),
    "socket AF_VSOCK": call(41 if x86 else 198, AF_VSOCK, 1, 0),
    "socket AF_ALG": call(41 if x86 else 198, AF_ALG, 5, 0),
    "socket AF_PACKET": call(41 if x86 else 198, AF_PACKET, 3, 0),
    "socket AF_NETLINK, not of routes": call(41 if x86 else 198, 16, 3, 2),
}
print(json.dumps(tried))
"""
# Refused to everybody without privileges, with or without the filter; or not in this kernel.
NOT_SEEN_TO_WORK = {"bpf", "mount", "userfaultfd", "socket AF_PACKET"}


def test_d20_the_filter_refuses_calls_that_the_kernel_would_answer(platform: Platform, alice: User) -> None:
    """Where the kernel refuses the call itself, as without privileges it does, the control shows nothing: these are
    named. AF_VSOCK and AF_ALG are answered by kernels that have them."""
    refused = json.loads(python(platform, alice, CALLS))
    assert {call: code for call, code in refused.items() if code != "EPERM"} == {}
    answered = json.loads(python(platform, alice, CALLS, change=without_seccomp))
    assert {call for call, code in answered.items() if code == "EPERM"} <= NOT_SEEN_TO_WORK
    assert answered["unshare"] == answered["clone"] == answered["add_key"] == "done"


def test_d20_no_user_namespace_and_so_no_mount(platform: Platform, alice: User) -> None:
    script = "unshare --user --map-root-user --mount sh -c 'mount -t tmpfs x /mnt && echo mounted'"
    assert "Operation not permitted" in bash(platform, alice, script)
    assert "mounted" in bash(platform, alice, script, change=without_seccomp)


def test_d20_the_probe_of_32_bit_calls_is_refused_too(platform: Platform, alice: User) -> None:
    """int 0x80 is another table of calls: unshare is 310 there. 38 is ENOSYS, 1 is EPERM."""
    source = 'int main(){long r; __asm__ volatile("int $0x80":"=a"(r):"a"(310),"b"(0x10000000)); return -r;}'
    script = f"cd /tmp && echo '{source}' > a.c && gcc -o a a.c && ./a; echo $?"
    shown = bash(platform, alice, script).split()[-1]
    assert shown in ("1", "38")


WORKS = {
    "gcc": "printf '#include <pthread.h>\\n#include <stdio.h>\\nvoid*f(void*x){return x;} int main(){pthread_t t;"
    'pthread_create(&t,0,f,0);pthread_join(t,0);puts("works");}\' > /tmp/a.c; gcc -pthread -o /tmp/a /tmp/a.c; /tmp/a',
    "git": "cd /tmp; git init -q a; cd a; git -c user.name=a -c user.email=a@b commit -q --allow-empty -m works;"
    "git clone -q /tmp/a /tmp/b; git -C /tmp/b log --format=%s",
    "node": 'node -e \'const w=new (require("worker_threads").Worker)("require(`worker_threads`).parentPort'
    '.postMessage(`works`)",{eval:true}); w.on("message",m=>console.log(m))\'',
    "node, a process": 'node -e \'console.log(require("child_process").execSync("echo works").toString())\'',
    "sqlite": 'python3 -c \'import sqlite3; d=sqlite3.connect("/tmp/d"); d.execute("pragma journal_mode=wal");'
    'd.execute("create table t(a)"); d.execute("insert into t values (\\"works\\")"); d.commit();'
    'print(*d.execute("select a from t").fetchone())\'',
    "processes": "python3 -c 'import multiprocessing as m; print(*m.Pool(2).map(str, [\"works\"]))'",
    "threads": "python3 -c 'from concurrent.futures import *; print(*ThreadPoolExecutor(9).map(str, [\"works\"]))'",
    "subprocess": 'python3 -c \'import subprocess as s; print(s.check_output(["echo", "works"], text=True))\'',
    "asyncio": "python3 -c $'import asyncio as a\\nasync def f():"
    ' await (await a.create_subprocess_exec("echo", "works")).wait()\\na.run(f())\'',
    "pip": "python3 -m pip --version >/dev/null && echo works",
    "inotify": 'python3 -c \'import ctypes; print("works" if ctypes.CDLL(None).inotify_init1(0) > 0 else "")\'',
}


@pytest.mark.parametrize("program", WORKS)
def test_d20_what_users_run_works(platform: Platform, alice: User, program: str) -> None:
    """uvicorn, gunicorn and pip with packages: tests/integration/test_servers.py."""
    assert bash(platform, alice, f"{{ {WORKS[program]}; }} 2>&1").strip() == "works"


# -- D21


@pytest.fixture(scope="module")
def setuid_directory(platform: Platform) -> Path:
    """Holds `id`, owned by root and set-uid."""
    directory = platform.root / "setuid"
    directory.mkdir()
    shutil.copy("/usr/bin/id", directory / "id")
    os.chmod(directory / "id", 0o4755)
    return directory


@pytest.mark.parametrize("off", [(), ("nosuid",), ("noNewPrivileges",), ("nosuid", "noNewPrivileges")], ids="+".join)
def test_d21_a_setuid_program_gives_nothing_by_either_layer(
    platform: Platform, alice: User, setuid_directory: Path, off: tuple[str, ...]
) -> None:
    """The last is the control: without both, the program runs as root."""

    def change(config: dict[str, Any]) -> None:
        bind = render_bind(Mount(source=str(setuid_directory), to="/mnt"))
        if "nosuid" in off:
            bind["options"].remove("nosuid")
        config["mounts"].append(bind)
        config["process"]["noNewPrivileges"] = "noNewPrivileges" not in off

    assert ("euid=0" in bash(platform, alice, "/mnt/id", change=change)) == (len(off) == 2)


def test_d21_every_mount_is_nosuid(platform: Platform, alice: User) -> None:
    """But the root, which holds nothing but links and places for mounts, and what masks /proc, which is empty."""
    script = "while read -r _ _ _ _ at options _; do echo $at $options; done </proc/self/mountinfo"
    mounts = dict(line.split(" ", 1) for line in bash(platform, alice, script).splitlines())
    assert len(mounts) > 10
    assert {at for at, flags in mounts.items() if "nosuid" not in flags.split(",")} <= {"/", "/proc/acpi", "/proc/scsi"}


# -- D14


def without(key: str) -> Change:
    def change(config: dict[str, Any]) -> None:
        del config["linux"][key]

    return change


def test_d14_proc_and_sys_tell_nothing_of_others(platform: Platform, alice: User, bob: User) -> None:
    """Of the masked files those that this kernel has."""
    seen = bash(platform, alice, "cat /proc/self/mountinfo /proc/self/cgroup /proc/*/environ /proc/net/unix; ls /sys")
    assert "bob" not in seen
    assert bash(platform, alice, "cat /proc/cmdline; ls /sys | wc -l").split() == ["0"]
    assert bash(platform, alice, "cat /proc/cmdline", change=without("maskedPaths")) != ""
    assert bash(platform, alice, "cat /proc/kcore /proc/keys /proc/timer_list /proc/acpi/* 2>/dev/null") == ""
    own = bash(platform, alice, "cat /proc/self/cgroup")
    assert {line.rsplit(":", 1)[1] for line in own.splitlines()} == {"/"}
    shared = bash(platform, alice, "cat /proc/self/cgroup", change=in_namespaces_without("cgroup"))
    assert "/hostel-" in shared


def test_d14_addresses_and_messages_of_the_kernel_are_hidden(platform: Platform, alice: User) -> None:
    """kernel.kptr_restrict and dmesg_restrict are gates: tests/security/test_gates.py has them off."""
    assert set(bash(platform, alice, "cut -c-16 /proc/kallsyms | sort -u").split()) == {"0" * 16}
    assert "Operation not permitted" in bash(platform, alice, "dmesg")


def test_d14_settings_of_the_kernel_cannot_be_written(platform: Platform, alice: User) -> None:
    """Twice: the file is root's and the mount is read-only. Without the second, the first still refuses."""
    script = "echo 1 > /proc/sys/kernel/hostname"
    assert "Read-only file system" in bash(platform, alice, script)
    assert "Permission denied" in bash(platform, alice, script, change=without("readonlyPaths"))


# -- D15


FDS = """
import os
print(*sorted(os.listdir("/proc/self/fd")), *(os.readlink(f"/proc/self/fd/{number}") for number in range(3)))
"""


def test_d15_no_descriptor_of_the_platform_is_in_a_sandbox(platform: Platform, alice: User) -> None:
    """The last descriptor is that of the listing itself. The control hands one in by runc's own option."""
    reader, writer = os.pipe()
    try:
        plain, preserved = (descriptors(platform, alice, reader, *options) for options in ((), ("--preserve-fds", "1")))
    finally:
        os.close(reader)
        os.close(writer)
    *numbers, stdin, stdout, stderr = plain
    assert numbers == ["0", "1", "2", "3"]
    assert all(place.startswith("pipe:") for place in (stdin, stdout, stderr))
    assert preserved[:5] == ["0", "1", "2", "3", "4"]


def descriptors(platform: Platform, user: User, passed: int, *options: str) -> list[str]:
    """What a sandbox has open when whoever starts runc has `passed` open as descriptor 3."""
    with prepared(platform, user, ("/usr/bin/python3", "-c", FDS)) as (argv, _):
        at = argv.index("run") + 1
        command = ["/bin/bash", "-c", f'exec "$@" 3<&{passed}', "bash", *argv[:at], *options, *argv[at:]]
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, pass_fds=[passed], check=True
        )
    return done.stdout.split()


def test_d15_a_site_has_its_own_streams_and_nothing_else(platform: Platform, alice: User) -> None:
    put(platform, alice, "fds.py", "import os\nfor n in range(3): print(os.readlink(f'/proc/1/fd/{n}'))")
    platform.create(alice, "alice", "python3 fds.py > fds; ls /proc/1/fd >> fds; exec python3 answer.py")
    stdin, stdout, stderr, *numbers = platform.shell("alice", "cat fds").split()
    platform.delete(alice, "alice")
    assert (stdin, Path(stdout).name, Path(stderr).name) == ("/dev/null", "stdout", "stderr")
    assert [number for number in numbers if number != "255"] == ["0", "1", "2"]  # 255 is bash's own


# -- D16


def test_d16_a_mount_below_a_read_only_directory_is_read_only(platform: Platform, alice: User) -> None:
    source = platform.root / "nested"
    (source / "below").mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=1777", "hostel-test", source / "below"], check=True)

    def change(config: dict[str, Any], *, is_recursive: bool) -> None:
        bind = render_bind(Mount(source=str(source), to="/mnt"))
        if not is_recursive:
            bind["options"] = ["ro" if option == "rro" else option for option in bind["options"]]
        config["mounts"].append(bind)

    try:
        write = "echo x > /mnt/below/file && echo written"
        assert "Read-only file system" in bash(platform, alice, write, change=lambda c: change(c, is_recursive=True))
        assert "written" in bash(platform, alice, write, change=lambda c: change(c, is_recursive=False))
    finally:
        subprocess.run(["umount", source / "below"], check=True)


def test_d16_the_system_is_read_only(platform: Platform, alice: User) -> None:
    """The control is what is a tenant's own."""
    touch = "for place in {}; do touch $place/x 2>/dev/null && rm $place/x && echo $place; done"
    refused = "/usr /usr/local /etc /opt /var/log / /srv /home /run /dev"
    assert bash(platform, alice, touch.format(refused)) == ""
    own = "/home/alice /tmp /dev/shm /var/tmp"
    assert bash(platform, alice, touch.format(own)).split() == own.split()


# -- D17, D18


def test_d17_no_source_or_target_of_a_mount_is_a_tenants_to_change(platform: Platform, alice: User) -> None:
    """The control shows what runc does with a link in a place that is: it mounts what the link points to."""
    home = str(platform.paths.homes / "alice")
    with prepared(platform, alice, ("true",)) as (_, bundle):
        config = json.loads((bundle / "config.json").read_text())
    mounts = config["mounts"]
    assert [mount["source"] for mount in mounts if mount["source"].startswith(home)] == [home]
    assert [mount["destination"] for mount in mounts if mount["destination"].startswith("/home/alice/")] == []
    for mount in mounts:
        if mount["type"] == "bind" and mount["source"] != home:
            for place in (Path(mount["source"]), *Path(mount["source"]).parents):
                assert place.stat().st_uid == 0
                assert not place.stat().st_mode & 0o002 or place.stat().st_mode & 0o1000, place
                assert place.stat().st_gid < 1_000, place
    secret = platform.root / "secret"
    secret.mkdir()
    (secret / "file").write_text("of the host")
    bash(platform, alice, f"ln -sfn {secret} ~/link")

    def through_link(config: dict[str, Any]) -> None:
        config["mounts"].append(render_bind(Mount(source=f"{home}/link", to="/mnt")))

    assert bash(platform, alice, "cat /mnt/file; rm ~/link", change=through_link) == "of the host"


def test_d18_nothing_in_a_home_is_roots(platform: Platform, alice: User) -> None:
    """The control is a directory to start in that does not exist: runc makes it, as root."""
    home = platform.paths.homes / "alice"
    bash(platform, alice, "true")
    assert owned_by_root(home) == []

    def elsewhere(config: dict[str, Any]) -> None:
        config["process"]["cwd"] = "/home/alice/nope"

    run(platform, alice, ("true",), change=elsewhere)
    assert owned_by_root(home) == ["nope"]
    (home / "nope").rmdir()


def owned_by_root(home: Path) -> list[str]:
    return [entry.name for entry in home.iterdir() if entry.lstat().st_uid == 0]
