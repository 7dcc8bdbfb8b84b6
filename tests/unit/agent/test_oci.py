"""The configuration of a sandbox: what a tenant must not get stands in it for every input."""

from hypothesis import given
from hypothesis import strategies as st

from hostel.agent.oci import Container, Mount, render_config
from hostel.agent.seccomp import render_profile
from hostel.wire.website import Limits


def container(**changes: object) -> Container:
    values: dict[str, object] = {
        "hostname": "hostel",
        "argv": ("/bin/true",),
        "environment": {"A": "1"},
        "cwd": "/home/u",
        "uid": 1_879_048_208,
        "cgroup": "/hostel-1a2b3c4d/16/r",
        "network": "/proc/1/fd/3",
        "limits": Limits(),
        "mounts": (Mount(source="/usr", to="/usr"), Mount(source="/h", to="/home/u", writable=True)),
    }
    return Container(**(values | changes))  # type: ignore[arg-type]


def test_a_tenant_has_no_privileges() -> None:
    process = render_config(container())["process"]
    assert process["noNewPrivileges"] is True
    assert process["user"]["uid"] == process["user"]["gid"] == 1_879_048_208
    assert all(granted == [] for granted in process["capabilities"].values())


def test_every_namespace_is_the_tenants_own() -> None:
    kinds = {entry["type"]: entry.get("path") for entry in render_config(container())["linux"]["namespaces"]}
    assert kinds == {"pid": None, "mount": None, "ipc": None, "uts": None, "cgroup": None, "network": "/proc/1/fd/3"}


def test_what_is_not_writable_is_so_recursively() -> None:
    binds = {m["destination"]: m["options"] for m in render_config(container())["mounts"] if m["type"] == "bind"}
    assert "rro" in binds["/usr"]
    assert "rw" in binds["/home/u"]
    assert all({"nosuid", "nodev"} <= set(options) for options in binds.values())


def test_every_tmpfs_has_a_size() -> None:
    mounts = [mount for mount in render_config(container())["mounts"] if mount["type"] == "tmpfs"]
    assert mounts
    assert all(any(option.startswith("size=") for option in mount["options"]) for mount in mounts)


def test_the_limits_are_those_asked_for() -> None:
    resources = render_config(container(limits=Limits(memory_bytes=1 << 28, pids=7, cpu=0.5)))["linux"]["resources"]
    assert resources["memory"] == {"limit": 1 << 28, "swap": 1 << 28}
    assert resources["pids"] == {"limit": 7}
    assert resources["cpu"] == {"quota": 50_000, "period": 100_000}


@given(st.text(max_size=200))
def test_a_command_only_ever_reaches_argv(command: str) -> None:
    config = render_config(container(argv=("/bin/bash", "-f", "-c", command)))
    assert config["process"]["args"] == ["/bin/bash", "-f", "-c", command]
    assert config["mounts"] == render_config(container())["mounts"]


FORBIDDEN = set(
    "mount umount2 pivot_root bpf io_uring_setup keyctl add_key perf_event_open unshare setns init_module kexec_load"
    " swapon reboot userfaultfd open_by_handle_at clone3 fsopen fsmount move_mount quotactl settimeofday clock_settime"
    " acct".split()
)


def test_the_seccomp_profile_allows_by_name_and_nothing_dangerous() -> None:
    profile = render_profile()
    assert profile["defaultAction"] == "SCMP_ACT_ERRNO"
    allowed = {name for rule in profile["syscalls"] if rule["action"] == "SCMP_ACT_ALLOW" for name in rule["names"]}
    assert not allowed & FORBIDDEN
    (clone,) = [rule for rule in profile["syscalls"] if rule["names"] == ["clone"]]
    assert clone["args"][0]["value"] & 0x10000000  # CLONE_NEWUSER is among the flags that must be clear
