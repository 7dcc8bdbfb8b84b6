"""Prepares all that nginx needs: checks first, then directories, pages, Lua files and nginx.conf below `paths.edge`.

Knows nothing of websites: what it writes is the same whatever is hosted. Starts nothing but `nginx -t`.
"""

import ipaddress
import json
import os
import re
import resource
import shutil
import socket
import subprocess
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import jinja2
import structlog

from hostel.edge.certificates import DEFAULT_CERTIFICATE, find_certificates
from hostel.edge.errors import (
    BadNginxConfiguration,
    EdgeCannotStart,
    MissingPrerequisite,
    NoCertificate,
)
from hostel.edge.ports import check_port, has_ipv6
from hostel.edge.workers import WORKER_USER, ensure_routes_directory
from hostel.wire.codec import defaults
from hostel.wire.config import Config
from hostel.wire.errors import ConfigError
from hostel.wire.files import write_atomically
from hostel.wire.paths import Paths
from hostel.wire.route import RouteRecord
from hostel.wire.suffixes import is_public_suffix

CERTIFICATE_DEADLINE_S = 30.0
NGINX_TEST_DEADLINE_S = 20.0
OPEN_FILES_WANTED = 65_536
SUN_PATH_LIMIT = 107  # usable bytes, unix(7)

MODULES = Path("/usr/lib/nginx/modules")
# What must be there, and the Debian package it comes in. lua-cjson lies in a directory of the architecture.
PREREQUISITES = (
    (MODULES, "ndk_http_module.so", "libnginx-mod-http-ndk"),
    (MODULES, "ngx_http_lua_module.so", "libnginx-mod-http-lua"),
    (Path("/usr/share/lua/5.1"), "resty/core.lua", "lua-resty-core"),
    (Path("/usr/lib"), "*/lua/5.1/cjson.so", "lua-cjson"),
)

_SOURCE = Path(__file__).parent
_SAFE_PATH = re.compile(r"[A-Za-z0-9/._+@=-]+")  # nothing that nginx.conf or Lua gives a meaning

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What nginx.conf depends on besides the configuration file."""

    addresses: tuple[str, ...]
    workers: int
    open_files: int


def find_nginx() -> str:
    """The path of nginx. Raises MissingPrerequisite, naming the package, if it or a module is not installed."""
    nginx = shutil.which("nginx", path=f"/usr/sbin:/usr/local/sbin:{os.environ.get('PATH', '')}")
    if nginx is None:
        raise MissingPrerequisite("nginx is not installed; run: apt-get install nginx-light")
    for directory, pattern, package in PREREQUISITES:
        if next(directory.glob(pattern), None) is None:
            raise MissingPrerequisite(f"{directory}/{pattern} is missing; run: apt-get install {package}")
    return nginx


def check_paths(paths: Paths) -> None:
    """Raise ConfigError unless the root's path can be written into nginx.conf and the control socket's fits."""
    if not _SAFE_PATH.fullmatch(str(paths.root)):
        raise ConfigError(f"{paths.root}: choose a root whose path holds letters, digits and /._+@=- only")
    if len(str(paths.edge_socket)) > SUN_PATH_LIMIT:
        raise ConfigError(f"{paths.root}: choose a root with a shorter path; {paths.edge_socket} is too long a socket")


def check_ports(config: Config, addresses: Sequence[str]) -> None:
    for address in addresses:
        for port in config.listen.ports:
            check_port(address, port)


def examine_machine(config: Config) -> Machine:
    """Raises EdgeCannotStart if there is no address to listen on."""
    addresses = [address for address in config.listen.addresses if address != "::" or has_ipv6()]
    if "::" in config.listen.addresses and "::" not in addresses:
        log.warning("IPv6 is absent on this machine; listening on IPv4 only", address="::")
    if not addresses:
        raise EdgeCannotStart("no address to listen on; correct addresses in hostel.toml ([listen])")
    _, hard_limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    open_files = OPEN_FILES_WANTED if hard_limit == resource.RLIM_INFINITY else min(OPEN_FILES_WANTED, hard_limit)
    workers = len(os.sched_getaffinity(0))
    return Machine(addresses=tuple(addresses), workers=workers, open_files=open_files)


def wait_for_certificate(paths: Paths, *, deadline_s: float = CERTIFICATE_DEADLINE_S) -> None:
    """Wait until the agent has written the certificate of the sites domain, else raise NoCertificate."""
    files = [paths.certificates / f"{DEFAULT_CERTIFICATE}.{suffix}" for suffix in ("pem", "key")]
    give_up = time.monotonic() + deadline_s
    while missing := [file for file in files if not file.exists()]:
        if time.monotonic() > give_up:
            raise NoCertificate(f"{missing[0]} did not appear within {deadline_s:g} s; is the agent running?")
        time.sleep(0.05)


def render_nginx_conf(paths: Paths, config: Config, machine: Machine) -> str:
    """The text of nginx.conf. Pure."""
    return (
        _templates(_SOURCE)
        .get_template("nginx.conf.j2")
        .render(
            modules=MODULES,
            user=WORKER_USER,
            workers=machine.workers,
            open_files=machine.open_files,
            edge=paths.edge,
            edge_socket=paths.edge_socket,
            error_log=paths.log / "edge.error.log",
            routes=paths.routes,
            certificates=paths.certificates,
            challenges=paths.challenges,
            agent_socket=paths.agent_for_edge / "agent.sock",
            panel_host=config.panel_host,
            shared_suffix="" if is_public_suffix(config.sites.domain) else f".{config.sites.domain}",
            uploads=paths.uploads,
            homes=paths.homes,
            connections_per_address=config.listen.connections_per_address,
            addresses=[f"[{address}]" if ":" in address else address for address in machine.addresses],
            http_port=config.listen.http_port,
            https_port=config.listen.https_port,
            proxy_http_port=config.listen.proxy_http_port,
            proxy_https_port=config.listen.proxy_https_port,
            trusted_proxies=[str(ipaddress.ip_network(text)) for text in config.listen.trusted_proxies],
        )
    )


def render_page(name: str, *, panel_url: str) -> str:
    """The HTML of one page a visitor may see; pages.lua says what stands for an error's id. Pure."""
    return _templates(_SOURCE / "pages").get_template(f"{name}.html").render(panel_url=panel_url)


def _templates(directory: Path) -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(directory),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        autoescape=jinja2.select_autoescape(["html"]),
    )


def install(paths: Paths, config: Config, machine: Machine) -> Path:
    """Write everything below `paths.edge`; safe to repeat. Returns the path of nginx.conf."""
    _ensure_directories(paths)
    shutil.rmtree(paths.uploads, ignore_errors=True)  # what a killed worker left; nginx makes the directory
    lua = paths.edge / "lua/hostel"
    shutil.rmtree(lua, ignore_errors=True)
    shutil.copytree(_SOURCE / "lua", lua)
    panel_url = f"https://{config.authority(config.panel_host)}/"
    for page in (_SOURCE / "pages").glob("*.html"):
        (paths.edge / "pages" / page.name).write_text(render_page(page.stem, panel_url=panel_url))
    index = [asdict(certificate) for certificate in find_certificates(paths.certificates)]
    write_atomically(paths.edge / "certificates.json", json.dumps(index).encode())
    assumed = {name: value for name, value in defaults(RouteRecord).items() if value is not None}  # Lua has no None
    write_atomically(paths.edge / "route_defaults.json", json.dumps(assumed).encode())
    conf = paths.edge / "nginx.conf"
    write_atomically(conf, render_nginx_conf(paths, config, machine).encode())
    return conf


def _ensure_directories(paths: Paths) -> None:
    for directory in (paths.edge, paths.edge / "pages", paths.edge / "empty", paths.log, paths.routes):
        directory.mkdir(parents=True, exist_ok=True)
    paths.challenges.mkdir(mode=0o711, exist_ok=True)
    paths.challenges.chmod(0o711)
    paths.edge.chmod(0o711)  # workers pass through to the pages and their temporary files
    paths.edge_socket.parent.mkdir(mode=0o700, exist_ok=True)
    paths.edge_socket.parent.chmod(0o700)  # whoever can connect to the socket in it decides what the edge serves
    ensure_routes_directory(paths)


def check_reachable(paths: Paths) -> None:
    """Raise EdgeCannotStart, naming the directory, if nginx's workers cannot reach what they read below the root."""
    directories = (paths.routes, paths.edge / "pages", paths.log)
    steps = {step for directory in directories for step in (directory, *directory.parents)}
    for step in sorted(steps):
        if not _may_pass(step):
            refusal = f"nginx's workers ({WORKER_USER}) may not enter {step}"
            raise EdgeCannotStart(f"{refusal}; run: chmod o+x {step}, or choose another root")


def _may_pass(directory: Path) -> bool:
    """What the kernel says to a process of the workers' user: modes alone do not tell, there may be access lists."""
    command = ["test", "-x", str(directory)]
    return subprocess.run(command, user=WORKER_USER, group=WORKER_USER, extra_groups=[], check=False).returncode == 0


def remove_stale_socket(paths: Paths) -> None:
    """Unlink a control socket that nobody listens on: nginx does not, and after a kill -9 would not start.

    Raises EdgeCannotStart if somebody does listen: an nginx of this root still runs.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(paths.edge_socket))
        except OSError:
            paths.edge_socket.unlink(missing_ok=True)
            return
    raise EdgeCannotStart(f"an edge of this root still runs and listens on {paths.edge_socket}; stop it first")


def check_nginx_conf(nginx: str, conf: Path) -> None:
    """Raise BadNginxConfiguration, with nginx's own words, if `nginx -t` refuses `conf`."""
    command = [nginx, "-t", "-q", "-c", str(conf)]
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=NGINX_TEST_DEADLINE_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise BadNginxConfiguration(f"nginx -t did not end within {NGINX_TEST_DEADLINE_S:g} s") from error
    if result.returncode != 0:
        raise BadNginxConfiguration(f"nginx refuses {conf}: {result.stderr.strip()}")
