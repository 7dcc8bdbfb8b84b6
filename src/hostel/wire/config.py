"""The one configuration file, `hostel.toml`: read once by each process, written with comments on first start."""

import contextlib
import hashlib
import ipaddress
import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from hostel.wire.codec import parse, to_jsonable
from hostel.wire.errors import BadLimit, ConfigError, MalformedMessage
from hostel.wire.names import InvalidName, canonical_domain
from hostel.wire.website import MIB, SLEEP_AFTER_S, SLEEP_CEILING_S, Limits, Sleep, TenantLimits, Traffic

HELD_DAYS_CEILING = 3650
SITES_OWN, SITES_ACME, SITES_FILES = "own", "acme", "files"
SITES_SOURCES = (SITES_OWN, SITES_ACME, SITES_FILES)
DNS_WAIT_CEILING_S = 600
LIMIT_CEILING = 1 << 30  # no machine has so much of anything, and in MiB it fits the kernel's numbers


@dataclass(frozen=True, slots=True, kw_only=True)
class SitesConfig:
    domain: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PanelConfig:
    host: str = ""  # "" means www.<sites domain>
    requests_per_minute: int = 600  # of the API, for each user and address
    logins_per_minute: int = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class ListenConfig:
    http_port: int = 80
    https_port: int = 443
    addresses: tuple[str, ...] = ("0.0.0.0", "::")
    connections_per_address: int = 1024  # 0 for no limit
    trusted_proxies: tuple[str, ...] = ()  # whose word about visitors counts
    proxy_http_port: int = 0  # the same for the PROXY protocol; 0 for none
    proxy_https_port: int = 0

    @property
    def ports(self) -> tuple[int, ...]:
        ports = (self.http_port, self.https_port, self.proxy_http_port, self.proxy_https_port)
        return tuple(port for port in ports if port)


@dataclass(frozen=True, slots=True, kw_only=True)
class PythonConfig:
    directories: tuple[str, ...] = (
        "/opt/python/*",
        "~/.pyenv/versions/*",
        "~/.local/share/uv/python/*",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkConfig:
    pool: str = "10.192.0.0/11"  # each installation claims a /16 of it
    resolvers: tuple[str, ...] = ()  # () means the host's
    allow: tuple[str, ...] = ()  # private destinations that tenants may reach all the same


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxConfig:
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitsConfig:
    """The default plan. `site_`: one website. `user_`: one user, with everything that runs.

    The panel may hold other values for single users.
    """

    site_memory_mb: int = 512
    site_pids: int = 256
    site_cpu: float = 1.0
    site_requests: int = 256
    site_held: int = 100
    site_websockets: int = 2048
    site_sleep: Sleep = Sleep.OFF  # at least; owners may choose a tier that saves more
    site_sleep_after_s: int = SLEEP_AFTER_S
    user_memory_mb: int = 2048
    user_pids: int = 1024
    user_cpu: float = 2.0
    user_connections: int = 512
    user_websites: int = 20
    user_consoles: int = 10
    user_disk_mb: int = 5120
    start_deadline_s: float = 60.0

    def site(self) -> Limits:
        """Never more than the user may have: a limit that can be met, and named."""
        return Limits(
            memory_bytes=min(self.site_memory_mb, self.user_memory_mb) * MIB,
            pids=min(self.site_pids, self.user_pids),
            cpu=min(self.site_cpu, self.user_cpu),
        )

    def traffic(self) -> Traffic:
        return Traffic(requests=self.site_requests, held=self.site_held, websockets=self.site_websockets)

    def user(self) -> TenantLimits:
        return TenantLimits(
            memory_bytes=self.user_memory_mb * MIB,
            pids=self.user_pids,
            cpu=self.user_cpu,
            connections=self.user_connections,
            consoles=self.user_consoles,
            disk_bytes=self.user_disk_mb * MIB,
        )

    def overridden(self, values: Mapping[str, Any]) -> "LimitsConfig":
        """This plan with the `values` that one user has instead. Keys that this version does not know are nothing."""
        known: dict[str, Any] = {key: value for key, value in values.items() if key in LIMIT_KEYS.values()}
        if "site_sleep" in known:
            known["site_sleep"] = Sleep(known["site_sleep"])
        return replace(self, **known) if known else self  # a list of websites asks for each


# How the command line calls a limit, and its key in hostel.toml: `memory_mb` is user_memory_mb, `site_pids` site_pids.
LIMIT_KEYS = {field_.name.removeprefix("user_"): field_.name for field_ in fields(LimitsConfig)}


def parse_limit(text: str) -> tuple[str, float | str | None]:
    """`memory_mb=4096` as a key of hostel.toml and its value; None for `default`. Raises BadLimit."""
    name, _, given = text.partition("=")
    key = LIMIT_KEYS.get(name)
    if key is None:
        raise BadLimit(f"{name}: there is no such limit; there are {', '.join(LIMIT_KEYS)}")
    if given == "default":
        return key, None
    if key == "site_sleep":
        return key, _parse_sleep(given)
    kind = type(getattr(LimitsConfig(), key))
    try:
        value: int | float = kind(given)
    except ValueError:
        value = 0
    if key == "site_sleep_after_s" and not 0 < value <= SLEEP_CEILING_S:
        raise BadLimit(f"{name}: expected 1 to {SLEEP_CEILING_S} seconds, or the word `default`")
    if not 0 < value < LIMIT_CEILING:
        a_number = "a whole number" if kind is int else "a number"
        raise BadLimit(f"{name}: expected {a_number} above 0, or the word `default`")
    return key, value


def _parse_sleep(given: str) -> str:
    try:
        return Sleep(given).value
    except ValueError:
        words = ", ".join(tier.value for tier in Sleep)
        raise BadLimit(f"site_sleep: expected one of {words}, or the word `default`") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class LogsConfig:
    days: float = 30.0
    user_mb: int = 256  # of one user, all logs and their copies together


@dataclass(frozen=True, slots=True, kw_only=True)
class DomainsConfig:
    proof: bool = True  # users show that a domain of their own is theirs
    resolvers: tuple[str, ...] = ()  # `address` or `address:port`; () means the host's
    held_days: float = 7.0  # how long a deleted domain is kept for who had it


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificatesConfig:
    acme_directory: str = ""  # of the authority for users' own domains; "" obtains none
    acme_email: str = ""
    acme_ca_file: str = ""  # "" trusts what the system trusts
    sites: str = SITES_OWN  # where the certificate of the sites domain comes from: SITES_SOURCES
    sites_chain_file: str = ""
    sites_key_file: str = ""
    dns_server: str = ""  # that takes updates (RFC 2136), `address` or `address:port`
    dns_zone: str = ""  # "" is the sites domain
    dns_key_file: str = ""  # for them, as `tsig-keygen` writes it
    dns_hook: str = ""  # a program instead
    dns_wait_s: float = 10.0  # until all servers of the zone have it


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    sites: SitesConfig
    panel: PanelConfig = PanelConfig()
    listen: ListenConfig = ListenConfig()
    python: PythonConfig = PythonConfig()
    network: NetworkConfig = NetworkConfig()
    sandbox: SandboxConfig = SandboxConfig()
    limits: LimitsConfig = LimitsConfig()
    logs: LogsConfig = LogsConfig()
    domains: DomainsConfig = DomainsConfig()
    certificates: CertificatesConfig = CertificatesConfig()

    @property
    def panel_host(self) -> str:
        return self.panel.host or f"www.{self.sites.domain}"

    @property
    def own_domains(self) -> tuple[str, ...]:
        """The platform's: no user's own domain lies below or above them."""
        return self.sites.domain, self.panel_host

    @property
    def digest(self) -> str:
        """Another one for each other configuration."""
        return _digest(self)

    @property
    def foundation(self) -> str:
        """A digest of what only a new `hostel up` takes over: it stands in nginx's configuration and in addresses."""
        return _digest(self.sites, self.panel, self.listen, self.network)

    def authority(self, host: str, *, https: bool = True) -> str:
        """`host`, with the public port unless that is the scheme's own."""
        port, own = (self.listen.https_port, 443) if https else (self.listen.http_port, 80)
        return host if port == own else f"{host}:{port}"


def _digest(*parts: object) -> str:
    return hashlib.sha256(json.dumps(to_jsonable(parts)).encode()).hexdigest()[:16]


def read_config(path: Path) -> Config:
    """Read and check `path`. Raises ConfigError naming the file, the key and what would be accepted."""
    try:
        with path.open("rb") as file:
            data: dict[str, Any] = tomllib.load(file)
    except FileNotFoundError:
        raise ConfigError(f"{path} does not exist; `hostel up` writes it on first start") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: {error}") from error
    try:
        config = parse(Config, data)
        _check(config)
    except (MalformedMessage, InvalidName, ValueError) as error:
        raise ConfigError(f"{path}: {error}") from error
    return config


def _check(config: Config) -> None:
    _check_names(config)
    _check_ports(config)
    _check_network(config)
    _check_domains(config)
    _check_certificates(config.certificates)
    for section, values in (("limits", config.limits), ("logs", config.logs)):
        for field_ in fields(values):
            if isinstance(getattr(values, field_.name), Sleep):
                continue
            if not 0 < getattr(values, field_.name) < LIMIT_CEILING:
                raise ValueError(f"{section}.{field_.name}: expected more than 0, and a number that a machine can have")

    if config.limits.site_sleep_after_s > SLEEP_CEILING_S:
        raise ValueError(f"limits.site_sleep_after_s: expected 1 to {SLEEP_CEILING_S} seconds")


def _check_names(config: Config) -> None:
    if canonical_domain(config.sites.domain) != config.sites.domain:
        raise ValueError("sites.domain: expected lower case without a trailing dot")
    if canonical_domain(config.panel_host) != config.panel_host:
        raise ValueError("panel.host: expected lower case without a trailing dot")


def _check_ports(config: Config) -> None:
    for key in ("http_port", "https_port"):
        if not 1 <= getattr(config.listen, key) <= 65535:
            raise ValueError(f"listen.{key}: expected 1 to 65535")
    if config.listen.connections_per_address < 0:
        raise ValueError("listen.connections_per_address: expected 0 (no limit) or more")
    for key in ("proxy_http_port", "proxy_https_port"):
        if not 0 <= getattr(config.listen, key) <= 65535:
            raise ValueError(f"listen.{key}: expected 1 to 65535, or 0 for none")
    if config.listen.http_port == config.listen.https_port:
        raise ValueError("listen.https_port: expected another port than listen.http_port")
    if len(set(config.listen.ports)) < len(config.listen.ports):
        raise ValueError("listen.proxy_https_port: expected that all ports of [listen] differ")
    _check_proxies(config.listen)


def _check_proxies(listen: ListenConfig) -> None:
    for text in listen.trusted_proxies:
        try:
            network = ipaddress.ip_network(text)
        except ValueError as error:
            raise ValueError(f"listen.trusted_proxies: expected addresses or networks: {error}") from error
        if not network.prefixlen:
            raise ValueError(
                "listen.trusted_proxies: expected your proxies, not everybody: visitors could say who they are"
            )
    if (listen.proxy_http_port or listen.proxy_https_port) and not listen.trusted_proxies:
        raise ValueError("listen.trusted_proxies: expected the addresses of what speaks the PROXY protocol to you")


def _check_network(config: Config) -> None:
    for address in config.listen.addresses:
        ipaddress.ip_address(address)
    for address in config.network.resolvers:
        ipaddress.IPv4Address(address)
    for network in config.network.allow:
        ipaddress.IPv4Network(network)
    if ipaddress.IPv4Network(config.network.pool).prefixlen > 16:
        raise ValueError("network.pool: expected a network of /16 or larger, 10.192.0.0/11 for example")


def _check_domains(config: Config) -> None:
    for resolver in config.domains.resolvers:
        parse_resolver(resolver)
    if not 0 <= config.domains.held_days <= HELD_DAYS_CEILING:
        raise ValueError(f"domains.held_days: expected 0 to {HELD_DAYS_CEILING}")


def _check_certificates(wanted: CertificatesConfig) -> None:
    if wanted.acme_directory and not wanted.acme_directory.startswith(("https://", "http://")):
        raise ValueError("certificates.acme_directory: expected the URL of an ACME directory, or nothing")
    if wanted.sites not in SITES_SOURCES:
        raise ValueError(f"certificates.sites: expected one of {', '.join(SITES_SOURCES)}")
    if wanted.sites == SITES_ACME and not (wanted.acme_directory and (wanted.dns_server or wanted.dns_hook)):
        raise ValueError('certificates.sites: "acme" needs acme_directory, and dns_server or dns_hook')
    if wanted.sites == SITES_FILES and not (wanted.sites_chain_file and wanted.sites_key_file):
        raise ValueError('certificates.sites: "files" needs sites_chain_file and sites_key_file')
    if wanted.dns_server:
        parse_resolver(wanted.dns_server)
    if not 0 <= wanted.dns_wait_s <= DNS_WAIT_CEILING_S:
        raise ValueError(f"certificates.dns_wait_s: expected 0 to {DNS_WAIT_CEILING_S}")


def parse_resolver(text: str) -> tuple[str, int]:
    """`192.0.2.1`, `192.0.2.1:5353`, `2001:db8::1` or `[2001:db8::1]:5353` as address and port. Raises ValueError."""
    with contextlib.suppress(ValueError):
        return str(ipaddress.ip_address(text)), 53
    address, _, port = text.rpartition(":")
    if not port.isdecimal() or not 1 <= int(port) <= 65535:
        raise ValueError(f"{text!r}: expected an address, or an address and a port like 192.0.2.1:53")
    return str(ipaddress.ip_address(address.removeprefix("[").removesuffix("]"))), int(port)


def render_config(*, domain: str, http_port: int, https_port: int, environment: Mapping[str, str]) -> str:
    """The text of a first `hostel.toml`: every key with its default, commented."""
    preset = "\n".join(f"{key} = {_quote(value)}" for key, value in sorted(environment.items()))
    return f"""\
# Hostel's configuration. Read once at start: run `hostel up` again after a change.

[sites]
# Websites appear at <username>.<domain>. Point *.<domain> at this machine.
domain = {_quote(domain)}

[panel]
# Host name of the web pages and the API. "" means www.<sites.domain>.
host = ""
# Requests a minute to the API, for each user; more are answered with 429.
requests_per_minute = 600
# Attempts to log in, a minute, for each address.
logins_per_minute = 10

[listen]
http_port = {http_port}
https_port = {https_port}
# "0.0.0.0" is every IPv4 address of the machine, "::" every IPv6 address.
addresses = ["0.0.0.0", "::"]
# Requests under way and WebSockets of one visitor's address (of IPv6: network of 64 bits); more are answered with
# 429. 0 is no limit. The machine's own 127.0.0.1 and ::1 are never limited.
connections_per_address = 1024
# Load balancers and CDNs in front of this machine, as addresses or networks: from them alone X-Forwarded-For and
# X-Forwarded-Proto are believed, and the PROXY protocol on the ports below. Each must set these headers itself.
trusted_proxies = []
# Further ports, for what speaks the PROXY protocol (HTTP; HTTPS that is passed through). 0 is none.
proxy_http_port = 0
proxy_https_port = 0

[python]
# Where python3.X is looked for, beside /usr/bin: folders that hold bin/python3.X. "~" is root's home.
directories = ["/opt/python/*", "~/.pyenv/versions/*", "~/.local/share/uv/python/*"]

[network]
# Users' sandboxes get addresses from a /16 of this pool. Choose one that your network does not use.
pool = "10.192.0.0/11"
# DNS servers for sandboxes; [] means the host's.
resolvers = []
# Private networks that users may reach (they may reach every public address), ["10.1.2.0/24"] for example.
allow = []

[limits]
# The plan: for one website (site_), and for one user with everything that runs (user_).
# `hostel user limits NAME` gives one user other values.
site_memory_mb = 512
site_pids = 256
site_cpu = 1.0
# Of one website at once; more are answered with 503. Requests that it has not answered yet, requests that wait until
# it has started, and WebSockets with event streams.
site_requests = 256
site_held = 100
site_websockets = 2048
# What becomes of a website that nobody visits for so many seconds: "off", it stays awake; "hibernate", it is frozen and
# its memory goes to the swap, which this machine must have; "stop", it ends, and the next visitor starts it. Owners may
# choose for a website what saves more, and a shorter time.
site_sleep = "off"
site_sleep_after_s = 900
user_memory_mb = 2048
user_pids = 1024
user_cpu = 2.0
# Network connections that all sandboxes of one user may have open at once; an eighth of it is how many they may open
# a second.
user_connections = 512
user_websites = 20
# Open consoles and running `hostel shell` commands.
user_consoles = 10
# Of the home. Enforced by the file system if it has quotas; `hostel doctor` says which it is.
user_disk_mb = 5120
# How long a command may take until it accepts connections.
start_deadline_s = 60.0

[logs]
# How long a line in websites' logs is kept, and how much all logs of one user may take: the oldest copies go.
days = 30.0
user_mb = 256

[domains]
# Whether users must show by a DNS record that a domain of their own is theirs. false is for private networks.
proof = true
# DNS servers that are asked for it, "192.0.2.1" or "192.0.2.1:5353"; [] means the host's.
resolvers = []
# How long a domain that was deleted is kept for the user who had it.
held_days = 7.0

[certificates]
# The ACME directory of the authority that issues certificates for users' own domains. "" obtains none. With a URL you
# agree to its terms; Let's Encrypt's is "https://acme-v02.api.letsencrypt.org/directory".
acme_directory = ""
# An address that the authority may write to.
acme_email = ""
# A file with the root certificates of a private authority's own HTTPS. "" is for those that the system trusts.
acme_ca_file = ""
# Where the certificate of the sites domain and all names below it comes from: "own", the installation's own authority;
# "files", the two named below, which are looked at each hour; "acme", the authority above, by DNS records (DNS-01).
sites = "own"
sites_chain_file = ""
sites_key_file = ""
# For "acme": the server that takes updates (RFC 2136) of the zone ("" is the sites domain), with a key in a file as
# `tsig-keygen` writes it; or a program that is called with `add` or `remove`, the record's name, and its text.
dns_server = ""
dns_zone = ""
dns_key_file = ""
dns_hook = ""
# How long until all servers of the zone have such a record.
dns_wait_s = 10.0

[sandbox.environment]
# Set in every console and website, PIP_INDEX_URL for example.
{preset}
"""


def _quote(text: str) -> str:
    """A TOML basic string (toml.io, v1.0.0): quotes, backslashes and control characters escaped."""
    escaped = "".join(f"\\u{ord(c):04x}" if ord(c) < 32 or ord(c) == 127 or c in '"\\' else c for c in text)
    return f'"{escaped}"'
