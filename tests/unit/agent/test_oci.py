"""The configuration of a sandbox: what a tenant must not get stands in it for every input."""

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostel.agent.image import Image
from hostel.agent.installation import Installation
from hostel.agent.launch import Launcher
from hostel.agent.oci import Container, Mount, render_config
from hostel.agent.ports import Ports
from hostel.agent.sandbox import RunSpec
from hostel.agent.seccomp import render_profile
from hostel.agent.tenant import Tenant, TenantRecord
from hostel.wire.config import Config, SitesConfig
from hostel.wire.paths import Paths
from hostel.wire.website import Limits, TenantLimits, Version, WebsiteSpec

INSTALLATION = Installation(id="1a2b3c4d", uid_base=1_879_048_192, subnet="10.200.0.0/16")


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


# -- security D17: whatever names there are, no mount starts or ends where a tenant decides what lies there

LABEL = st.from_regex(r"[a-z][a-z0-9]{0,20}", fullmatch=True)
SITE = st.from_regex(r"[A-Za-z0-9]([A-Za-z0-9-]{0,20}[A-Za-z0-9])?", fullmatch=True)
ROOT = Path("/srv/platform")


def bind_mounts(spec: RunSpec) -> list[dict[str, Any]]:
    config = render_config(container(mounts=spec.mounts, argv=spec.argv, environment=spec.environment, cwd=spec.cwd))
    return [mount for mount in config["mounts"] if mount["type"] == "bind"]


@given(name=LABEL, label=SITE, command=st.text(max_size=50), number=st.integers(16, 65_535), terminal=st.booleans())
def test_d17_no_mount_begins_or_ends_below_what_a_tenant_can_write(
    tmp_path_factory: pytest.TempPathFactory, name: str, label: str, command: str, number: int, terminal: bool
) -> None:
    paths = Paths(tmp_path_factory.getbasetemp() / "d17")
    config = Config(sites=SitesConfig(domain="hostel.localhost"))
    image = Image(usr_local=ROOT / "images/local", etc=ROOT / "images/etc", interpreters=())
    record = TenantRecord(name=name, number=number, version=Version(epoch=1, revision=1), limits=TenantLimits())
    tenant = Tenant(record, paths, INSTALLATION, paths.homes / name)
    launcher = Launcher(config=config, paths=paths, image=image, ports=Ports(paths.runs, paths.run / "last_port"))
    domain = f"{label}-{name}.{config.sites.domain}"
    website = WebsiteSpec(
        domain_name=domain, tenant=name, version=Version(epoch=1, revision=1), enabled=True, command=command
    )
    for spec in (launcher.website(website, tenant), launcher.command(tenant, (command,), Limits(), terminal=terminal)):
        mounts = bind_mounts(spec)
        writable = [mount["source"] for mount in mounts if "rw" in mount["options"]]
        own_sockets = str(tenant.socket_directory / spec.run)
        assert set(writable) <= {str(tenant.home), own_sockets}
        for mount in mounts:
            assert mount["source"] == os.path.normpath(mount["source"])
            assert mount["destination"] == os.path.normpath(mount["destination"])
            assert not mount["source"].startswith((f"{tenant.home}/", f"{own_sockets}/"))
            assert not mount["destination"].startswith((f"/home/{name}/", "/tmp/", "/var/tmp/", "/dev/shm/"))
            is_of_all = mount["source"].startswith(("/usr", str(ROOT)))
            is_of_tenant = {name, str(number), spec.run} & set(Path(mount["source"]).parts)
            assert is_of_all or is_of_tenant, "another tenant's"
