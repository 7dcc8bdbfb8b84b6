"""What this machine must offer before Hostel can run: each thing looked at once, with the next step when it fails.

Nothing here changes the machine. `hostel up` refuses to start when one of
`preflight` fails; `hostel doctor` shows all of them.
"""

import os
import platform
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from hostel.cli import runc_advisories
from hostel.cli.ports import find_holders, is_own_nginx, is_taken, try_to_listen
from hostel.wire.config import Config
from hostel.wire.paths import Paths
from hostel.wire.suffixes import is_private_name, is_public_suffix, share_cookies
from hostel.wire.website import MIB

SOCKET_PATH_LIMIT_BYTES = 107  # unix(7): sun_path without its final NUL
LONGEST_SOCKET = "65535/" + "r" * 14 + "/app.sock"  # <tenant number>/<run>/app.sock below paths.sockets
SAFE_PATH = re.compile(r"[A-Za-z0-9/._+@=-]+")
NOSYMFOLLOW_KERNEL = (5, 10)
EDGE_USER = "www-data"
PROBE_DEADLINE_S = 10
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Status(StrEnum):
    OK = "ok"
    WARNING = "warning"
    FAILS = "fails"


@dataclass(frozen=True, slots=True)
class Check:
    name: str
    status: Status
    message: str
    hint: str = ""


def ok(name: str, message: str) -> Check:
    return Check(name, Status.OK, message)


def warning(name: str, message: str, hint: str) -> Check:
    return Check(name, Status.WARNING, message, hint)


def fails(name: str, message: str, hint: str) -> Check:
    return Check(name, Status.FAILS, message, hint)


@dataclass(frozen=True, slots=True)
class Part:
    """A program or file of the distribution that Hostel uses; any one of `files` will do."""

    name: str
    package: str
    files: tuple[str, ...]

    def find(self) -> str | None:
        for file in self.files:
            if "/" not in file and (program := shutil.which(file, path=SYSTEM_PATH)):
                return program
            if "/" in file and (found := next(iter(sorted(Path("/").glob(file.lstrip("/")))), None)):
                return str(found)
        return None


PARTS = (
    Part("nginx", "nginx-light", ("nginx",)),
    Part("nginx's Lua module", "libnginx-mod-http-lua", ("/usr/lib/nginx/modules/ngx_http_lua_module.so",)),
    Part("lua-resty-core", "lua-resty-core", ("/usr/share/lua/5.1/resty/core.lua",)),
    Part("lua-cjson", "lua-cjson", ("/usr/lib/*/lua/5.1/cjson.so", "/usr/local/lib/lua/5.1/cjson.so")),
    Part("runc", "runc", ("runc",)),
    Part("nft", "nftables", ("nft",)),
)


def preflight(paths: Paths, config: Config) -> list[Check]:
    """What must hold before the platform starts. Cheap: well under a second."""
    return [
        check_root_user(),
        check_root_directory(paths),
        check_root_is_reachable(paths),
        *check_parts(),
        check_kernel(platform.release()),
        check_memory_cgroup(),
        check_forwarding(),
        *check_ports(paths, config),
    ]


# -- who and where


def check_root_user() -> Check:
    if os.geteuid() == 0:
        return ok("user", "root")
    return fails("user", f"runs as user {os.geteuid()}, not as root", "run it with sudo, or from a root shell")


def check_root_directory(paths: Paths) -> Check:
    """Every socket below the root must have a path that the kernel accepts, and nginx.conf must be able to hold it."""
    if not SAFE_PATH.fullmatch(str(paths.root)):
        message = f"the path {paths.root} holds characters that nginx.conf gives a meaning"
        return fails("root", message, "choose a --root of letters, digits and /._+@=- only")
    longest = len(os.fsencode(paths.sockets / LONGEST_SOCKET))
    if longest <= SOCKET_PATH_LIMIT_BYTES:
        return ok("root", str(paths.root))
    room = len(os.fsencode(paths.root)) - (longest - SOCKET_PATH_LIMIT_BYTES)
    message = (
        f"the path {paths.root} is too long: unix sockets below it would need {longest} bytes, and Linux takes 107"
    )
    return fails("root", message, f"choose a --root of at most {room} bytes, /srv/hostel for example")


def check_root_is_reachable(paths: Paths) -> Check:
    """nginx's workers run as www-data; they connect to sockets and open logs below the root."""
    name = "root is reachable"
    for directory in (*reversed(paths.root.parents), paths.root):
        if not directory.exists():
            break
        if os.geteuid() == 0 and not _may_enter(directory):
            mode = f"{directory.stat().st_mode & 0o7777:o}"
            message = f"nginx's workers (user {EDGE_USER}) may not enter {directory} (mode {mode})"
            return fails(name, message, f"choose a --root elsewhere, or: chmod o+x {directory}")
    return ok(name, f"by nginx's workers, as {EDGE_USER}")


def _may_enter(directory: Path) -> bool:
    if directory.stat().st_mode & 0o001:
        return True
    try:  # ask as the user itself: groups and access lists may allow it
        asked = subprocess.run(["test", "-x", directory], user=EDGE_USER, group=EDGE_USER, extra_groups=[], check=False)
    except (KeyError, ValueError, OSError):  # no such user: nginx is not installed, and has a check of its own
        return True
    return asked.returncode == 0


# -- programs


def check_parts(parts: Sequence[Part] = PARTS) -> list[Check]:
    missing = [part.package for part in parts if part.find() is None]
    hint = f"`make install` in Hostel's directory, or: apt-get install --no-install-recommends {' '.join(missing)}"
    return [_check_part(part, hint) for part in parts]


def _check_part(part: Part, hint: str) -> Check:
    found = part.find()
    return ok(part.name, found) if found else fails(part.name, f"not found (Debian's {part.package})", hint)


def check_runc_version() -> Check:
    name = "runc's version"
    program = shutil.which("runc", path=SYSTEM_PATH)
    text = run_probe([program, "--version"]).stdout if program else ""
    release = runc_advisories.parse_release(text)
    if release is None:
        return warning(name, "unknown", "install runc; `runc --version` must print its version")
    version = ".".join(map(str, release))
    cves = runc_advisories.open_advisories(release, runc_advisories.read_changelog())
    if not cves:
        return ok(name, version)
    hint = f"put runc {runc_advisories.FIXED_RELEASES} at /usr/local/sbin/runc; SECURITY.md says what these holes need"
    return warning(name, f"{version} lacks the fixes of {', '.join(cves)}", hint)


def check_nginx_service() -> Check:
    """The distribution's own nginx would take ports 80 and 443 at the next boot."""
    name = "Debian's nginx service"
    if not Path("/run/systemd/system").is_dir():
        return ok(name, "not started by anything: systemd does not run here")
    state = run_probe(["systemctl", "is-enabled", "nginx.service"]).stdout.strip()
    if state != "enabled":
        return ok(name, state or "not installed")
    return warning(name, "enabled: it takes ports 80 and 443 at boot", "systemctl disable --now nginx")


def run_probe(argv: Sequence[str]) -> "subprocess.CompletedProcess[str]":
    """Run a program that only looks; one that is missing or hangs counts as one that failed without a word."""
    environment = {**os.environ, "PATH": SYSTEM_PATH, "LC_ALL": "C"}
    try:
        return subprocess.run(
            list(argv), capture_output=True, text=True, timeout=PROBE_DEADLINE_S, check=False, env=environment
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return subprocess.CompletedProcess(list(argv), 127, "", str(error))


# -- the kernel


def check_kernel(release: str) -> Check:
    match = re.match(r"(\d+)\.(\d+)", release)
    version = (int(match[1]), int(match[2])) if match else (0, 0)
    if version >= NOSYMFOLLOW_KERNEL:
        return ok("kernel", f"{release}, mounts can refuse symbolic links (nosymfollow)")
    message = f"{release} is too old: websites' sockets need the mount option nosymfollow of Linux 5.10"
    return fails("kernel", message, "upgrade the kernel; Debian 11 and later have a newer one")


def check_memory_cgroup() -> Check:
    name = "control groups"
    version, controllers = read_cgroups(Path("/proc/self/mountinfo").read_text())
    missing = sorted({"memory", "pids", "cpu"} - controllers)
    if not missing:
        return ok(name, f"version {version}, with memory, pids and cpu")
    message = f"version {version} lacks {', '.join(missing)}: websites' limits cannot be held"
    hint = "add `cgroup_enable=memory swapaccount=1` to the kernel's command line and reboot"
    return fails(name, message, hint if "memory" in missing else "mount the missing controllers below /sys/fs/cgroup")


def read_cgroups(mountinfo: str) -> tuple[int, set[str]]:
    """The version in use (1 where version 1 holds the memory controller) and its controllers."""
    of_version_1: set[str] = set()
    unified = ""
    for line in mountinfo.splitlines():
        fields = line.split()
        kind = fields[fields.index("-") + 1]
        if kind == "cgroup":
            of_version_1 |= set(fields[-1].split(","))
        elif kind == "cgroup2":
            unified = fields[4]
    if "memory" in of_version_1 or not unified:
        return 1, of_version_1
    controllers = Path(unified, "cgroup.controllers")
    return 2, set(controllers.read_text().split()) if controllers.exists() else set()


def check_forwarding() -> Check:
    """The agent turns it on; it must be able to."""
    name = "IPv4 forwarding"
    switch = Path("/proc/sys/net/ipv4/ip_forward")
    if switch.read_text().strip() == "1":
        return ok(name, "on")
    if os.access(switch, os.W_OK) and not os.statvfs(switch).f_flag & os.ST_RDONLY:
        return ok(name, "off; the agent turns it on, so that sandboxes reach the network")
    return fails(name, f"off, and {switch} is read-only here", "on the machine itself: sysctl net.ipv4.ip_forward=1")


def check_packet_filter() -> Check:
    name = "packet filter"
    answer = run_probe(["nft", "list", "tables"])
    if answer.returncode == 0:
        return ok(name, "nftables answers")
    reason = answer.stderr.strip().splitlines()[:1] or ["no answer"]
    return fails(
        name, f"nft: {reason[0]}", "load the kernel's nf_tables (modprobe nf_tables), or use a kernel that has it"
    )


def check_core_pattern(pattern: str) -> Check:
    """RLIMIT_CORE keeps a sandbox from writing core files, but not from having them piped to a program (core(5))."""
    name = "core dumps"
    if not pattern.startswith("|"):
        return ok(name, "none of websites: their limit is 0")
    message = f"the memory of a website that crashes goes to {pattern[1:].split(maxsplit=1)[0]}, whatever its limit"
    return warning(name, message, "sysctl -w kernel.core_pattern=core, or let it ignore uids from 1879048192 on")


def read_core_pattern() -> str:
    return Path("/proc/sys/kernel/core_pattern").read_text().strip()


def check_kernel_is_newest(
    release: str, boot: Path = Path("/boot"), flag: Path = Path("/run/reboot-required")
) -> Check:
    """All users share the kernel: a hole that has been mended on disk is open until the machine starts it."""
    name = "newest kernel"
    flavour = release.rpartition("-")[2]
    installed = [file.name.removeprefix("vmlinuz-") for file in boot.glob(f"vmlinuz-*-{flavour}")]
    newest = max(installed, key=_version_of, default=release)
    if _version_of(newest) > _version_of(release):
        return warning(name, f"{newest} is installed, {release} runs", "reboot: websites wake with their first request")
    if flag.exists():
        return warning(name, f"{release} runs, and {flag} says that a reboot is due", f"reboot; {flag}.pkgs says why")
    return ok(name, f"{release} runs, and no newer one is installed")


def _version_of(release: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", release))


# -- the network


def check_ports(paths: Paths, config: Config) -> Iterator[Check]:
    listen = config.listen
    for scheme, port in (("HTTP", listen.http_port), ("HTTPS", listen.https_port)):
        yield check_port(paths, f"{scheme} port", port, listen.addresses)


def check_port(paths: Paths, name: str, port: int, addresses: Sequence[str]) -> Check:
    errors = [(address, error) for address in addresses if (error := try_to_listen(address, port)) is not None]
    if "::" in addresses and len(addresses) > 1:  # a machine without IPv6 does with the others
        errors = [(address, error) for address, error in errors if address != "::" or is_taken(error)]
    if not errors:
        return ok(name, f"{port} is free")
    address, error = errors[0]
    if not is_taken(error):
        hint = f"change listen.addresses or the port in {paths.config_file}"
        return fails(name, f"nothing can listen at {address} port {port}: {error.strerror}", hint)
    holders = find_holders(port)
    if holders and all(is_own_nginx(holder, paths) for holder in holders):
        return ok(name, f"{port} is held by this installation's own nginx")
    who = " and ".join(map(str, holders[:3])) or "a process that cannot be seen from here"
    hint = f"stop it, or choose another port: --{name.split(maxsplit=1)[0].lower()}-port or {paths.config_file}"
    return fails(name, f"{port} is taken by {who}", hint)


def check_resolvers(config: Config) -> Check:
    name = "resolvers"
    if config.network.resolvers:
        return ok(name, ", ".join(config.network.resolvers))
    found = host_resolvers()
    outward = [address for address in found if not address.startswith(("127.", "::1"))]
    if outward:
        return ok(name, ", ".join(outward))
    if found:
        return ok(name, f"{', '.join(found)}, on this machine itself")
    return warning(
        name, "none in /etc/resolv.conf: sandboxes cannot look names up", "set network.resolvers in hostel.toml"
    )


def host_resolvers() -> list[str]:
    """The machine's DNS servers; behind systemd-resolved's local stub those that it asks."""
    for file in ("/run/systemd/resolve/resolv.conf", "/etc/resolv.conf"):
        if Path(file).exists():
            return re.findall(r"^\s*nameserver\s+(\S+)", Path(file).read_text(), re.MULTILINE)
    return []


def check_names(config: Config) -> Check:
    """Do the panel's host and a website's name lead anywhere?"""
    name = "names"
    for host in (config.panel_host, f"any.{config.sites.domain}"):
        try:
            socket.getaddrinfo(host, config.listen.https_port, type=socket.SOCK_STREAM)
        except OSError:
            local = config.sites.domain.endswith("localhost")
            hint = (
                "apt-get install libnss-myhostname, and `hosts: files myhostname dns` in /etc/nsswitch.conf"
                if local
                else f"point the DNS records {config.panel_host} and *.{config.sites.domain} at this machine"
            )
            return warning(name, f"{host} does not resolve here", hint)
    return ok(name, f"{config.panel_host} and *.{config.sites.domain} resolve")


def check_cookies(config: Config) -> Check:
    """Websites are each other's strangers, and the panel's: do browsers know?"""
    name = "cookies"
    sites, panel = config.sites.domain, config.panel_host
    if is_public_suffix(sites):
        return ok(name, f"{sites} is in the Public Suffix List: browsers keep websites and the panel apart")
    if is_private_name(sites):
        shared = f"on {sites}, a name for trying things out, any website can set cookies for all others"
        return ok(name, shared + (" and for the panel" if share_cookies(panel, sites) else ""))
    if not share_cookies(panel, sites):
        return ok(name, f"{panel} lies outside {sites}, so no website sets cookies for the panel (for others they can)")
    hint = (
        f"have {sites} put on the Public Suffix List (https://publicsuffix.org/submit/), or give the panel a name of "
        "another domain: panel.host in hostel.toml"
    )
    return warning(name, f"any website below {sites} can set cookies for {panel}, and so lock a browser out", hint)


# -- what websites use


def check_interpreters(config: Config) -> Check:
    name = "Python"
    found = find_interpreters(config.python.directories)
    if found:
        return ok(name, ", ".join(found))
    return warning(name, "no interpreter found for websites", "apt-get install python3, or set python.directories")


def find_interpreters(directories: Sequence[str]) -> list[str]:
    """Versions that sandboxes will have, `3.11` and so on, oldest first."""
    places = [Path("/usr/bin")]
    for pattern in directories:
        expanded = Path(pattern).expanduser()
        places += [match / "bin" for match in Path("/").glob(str(expanded).lstrip("/"))]
    names = {file.name for place in places if place.is_dir() for file in place.glob("python3.*")}
    minors = {int(match[1]) for name in names if (match := re.fullmatch(r"python3\.(\d+)", name))}
    return [f"3.{minor}" for minor in sorted(minors)]


def check_disk(paths: Paths) -> Check:
    place = next(directory for directory in (paths.state, *paths.state.parents) if directory.exists())
    free_mib = shutil.disk_usage(place).free // MIB
    text = f"{free_mib / 1024:.1f} GiB free at {place}"
    if free_mib < 100:
        return fails("disk", text, "free some: the platform keeps its state and users' homes there")
    return (
        ok("disk", text) if free_mib > 2048 else warning("disk", text, "free some, or move the root to a larger disk")
    )
