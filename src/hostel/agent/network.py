"""A tenant's network: a namespace, a veth pair, one address, NAT outward and a policy.

Every tenant has one address of the installation's /16 and the same gateway address, so the rules are one table whose
size does not grow with the number of tenants. A namespace lives by the agent's descriptor and by the processes in it;
after an agent's death the next one takes it back from a member's /proc/<pid>/ns/net.
"""

import contextlib
import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from hostel.agent import kernel
from hostel.agent.errors import SandboxFault
from hostel.agent.installation import Installation
from hostel.agent.ports import COUNT, FIRST
from hostel.agent.threads import in_new_thread
from hostel.wire.config import Config

# Not for tenants unless the operator allows them: private, shared, link-local (cloud metadata), benchmark, multicast.
PRIVATE = ("10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16",
           "198.18.0.0/15", "224.0.0.0/3")  # fmt: skip
RATE_SHARE = 8  # of the connections that a tenant may have open, this part may be opened in a second


@dataclass(frozen=True, slots=True)
class Namespace:
    """A network namespace held open by `descriptor`."""

    descriptor: int

    @property
    def path(self) -> str:
        """A path that runc, a child of this process, can open as long as this process lives."""
        return f"/proc/{os.getpid()}/fd/{self.descriptor}"

    def close(self) -> None:
        os.close(self.descriptor)


def host_resolvers(
    files: tuple[Path, ...] = (Path("/etc/resolv.conf"), Path("/run/systemd/resolve/resolv.conf")),
) -> list[str]:
    """IPv4 name servers of the host that a sandbox can be sent to.

    A stub on loopback (systemd-resolved's 127.0.0.53) is none: it answers the host alone. The second file is where
    systemd-resolved lists its own upstreams (systemd-resolved.service(8)).
    """
    for file in files:
        with contextlib.suppress(OSError):
            found = [
                words[1]
                for words in map(str.split, file.read_text().splitlines())
                if len(words) >= 2 and words[0] == "nameserver" and ":" not in words[1]
            ]
            usable = [address for address in found if not address.startswith("127.")]
            if usable:
                return usable
    return []


def render_rules(
    installation: Installation, config: Config, resolvers: list[str], connections: Mapping[int, int] | None = None
) -> str:
    """The installation's nftables table, as text for `nft -f`: replaces the table as a whole, atomically.

    `connections` says by number how many connections a tenant may have open, where that is not the plan's number.
    Whatever a tenant may reach, it reaches through the chain `limited`. A refusal is a reset: ICMP messages are rate
    limited (icmp(7), icmp_ratelimit), and who gets none waits.
    """
    name = f"hostel_{installation.id}"
    tenants = f'"h{installation.id}*"'
    gateway = installation.gateway
    ports = f"{{ {config.listen.http_port}, {config.listen.https_port} }}"
    allowed = "".join(f"    ip daddr {network} goto limited\n" for network in config.network.allow)
    usual = config.limits.user_connections
    own = {number: limit for number, limit in (connections or {}).items() if limit != usual}
    plans = "".join(_render_plan(limit) for limit in sorted({usual, *own.values()}))
    elements = ", ".join(f"{installation.address(number)} : goto plan_{limit}" for number, limit in sorted(own.items()))
    dns = (
        f"    iifname {tenants} ip daddr {gateway} udp dport 53 dnat ip to {resolvers[0]}\n"
        f"    iifname {tenants} ip daddr {gateway} tcp dport 53 dnat ip to {resolvers[0]}\n"
        if resolvers
        else ""
    )
    return f"""\
table inet {name} {{}}
delete table inet {name}
table inet {name} {{
  chain refuse {{
    meta l4proto tcp reject with tcp reset
    reject
  }}
{plans}  map plans {{
    type ipv4_addr : verdict
{f"    elements = {{ {elements} }}" if elements else ""}
  }}
  chain limited {{
    ip saddr vmap @plans
    goto plan_{usual}
  }}
  chain from_tenant {{
    meta nfproto ipv6 drop
    ct state established,related accept
    ct status dnat ct original ip daddr {gateway} goto limited
{allowed}    ip daddr {{ {", ".join(PRIVATE)} }} goto refuse
    tcp dport 25 goto refuse
    goto limited
  }}
  chain prerouting {{
    type nat hook prerouting priority dstnat; policy accept;
{dns}  }}
  chain postrouting {{
    type nat hook postrouting priority srcnat; policy accept;
    ip saddr {installation.subnet} oifname != {tenants} masquerade
  }}
  chain forward {{
    type filter hook forward priority filter; policy accept;
    iifname {tenants} oifname {tenants} goto refuse
    iifname {tenants} jump from_tenant
    oifname {tenants} ct state established,related accept
    oifname {tenants} goto refuse
  }}
  chain input {{
    type filter hook input priority filter; policy accept;
    iifname != {tenants} return
    meta nfproto ipv6 drop
    ct state established,related accept
    ct status dnat ct original ip daddr {gateway} goto limited
    tcp dport {ports} goto limited
    goto refuse
  }}
}}
"""


def _render_plan(limit: int) -> str:
    """The chain through which tenants go who may have `limit` connections.

    A closed connection is no longer counted but stays in the kernel's table of connections, which all tenants share,
    for two minutes (nf_conntrack_tcp_timeout_time_wait): so what is opened in a second has a limit too. Look-ups of
    names are under the latter alone: they are never closed. A set that counts connections must have no timeout
    (nftables' wiki, "Connlimits").
    """
    rate = f"limit rate over {max(1, limit // RATE_SHARE)}/second burst {limit} packets"
    return f"""\
  set opened_{limit} {{
    type ipv4_addr
    size 65536
    flags dynamic,timeout
    timeout 1m
  }}
  set open_{limit} {{
    type ipv4_addr
    size 65536
    flags dynamic
  }}
  chain plan_{limit} {{
    update @opened_{limit} {{ ip saddr {rate} }} goto refuse
    udp dport 53 accept
    add @open_{limit} {{ ip saddr ct count over {limit} }} goto refuse
    accept
  }}
"""


def ensure_rules(installation: Installation, config: Config, *, connections: Mapping[int, int] | None = None) -> None:
    """Load the table, give the gateway its address and let the kernel forward. Idempotent."""
    resolvers = list(config.network.resolvers) or host_resolvers()
    nft(render_rules(installation, config, resolvers, connections))
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
    with IPRoute() as ip:
        loopback = ip.link_lookup(ifname="lo")[0]
        with _ignore_existing():
            ip.addr("add", index=loopback, address=installation.gateway, prefixlen=32)


def has_rules(installation: Installation) -> bool:
    """Whether the table is loaded and the gateway has its address.

    A restart of the host's own firewall flushes every table.
    """
    argv = ["nft", "list", "table", "inet", f"hostel_{installation.id}"]
    try:
        if subprocess.run(argv, capture_output=True, timeout=10, check=False).returncode != 0:
            return False
    except (OSError, subprocess.TimeoutExpired):
        return False
    with IPRoute() as ip:
        return any(True for _ in ip.get_addr(address=installation.gateway))


def remove_rules(installation: Installation) -> None:
    """Take back what `ensure_rules` set, but for forwarding, which others may rely on. Idempotent."""
    nft(f"table inet hostel_{installation.id} {{}}\ndelete table inet hostel_{installation.id}\n")
    with IPRoute() as ip, contextlib.suppress(NetlinkError):
        loopback = ip.link_lookup(ifname="lo")[0]
        ip.addr("del", index=loopback, address=installation.gateway, prefixlen=32)


def nft(rules: str) -> None:
    """Apply `rules` in one transaction. Raises SandboxFault with nft's own words."""
    done = subprocess.run(["nft", "-f", "-"], input=rules, text=True, capture_output=True, timeout=10, check=False)
    if done.returncode != 0:
        raise SandboxFault(f"nft refused the installation's rules: {done.stderr.strip()}")


def ensure_namespace(installation: Installation, number: int, *, member_pids: Sequence[int] = ()) -> Namespace:
    """The network namespace of tenant `number`: taken back from a process in it, else made anew.

    A process that runc is still preparing may be in the host's namespace yet: that one is never taken.
    """
    own = os.stat("/proc/self/ns/net").st_ino
    for pid in member_pids:
        with contextlib.suppress(OSError):
            descriptor = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
            if os.fstat(descriptor).st_ino != own:
                return Namespace(descriptor)
            os.close(descriptor)
    remove_interface(installation, number)
    namespace = Namespace(in_new_thread(lambda: _make(installation, number)))
    _attach(installation, number)
    return namespace


def remove_interface(installation: Installation, number: int) -> None:
    """Remove the host's end of tenant `number`'s veth pair, and the other end with it. Idempotent."""
    with IPRoute() as ip:
        for index in ip.link_lookup(ifname=installation.interface(number)):
            with contextlib.suppress(NetlinkError):
                ip.link("del", index=index)


def _make(installation: Installation, number: int) -> int:
    """In a thread of its own: a new namespace with lo and eth0 set up. Returns a descriptor of it."""
    host = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)  # of the main thread, which never moves
    try:
        kernel.unshare_network()
        descriptor = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        # Link-local IPv6 would be a way round the IPv4 policy: eth0 gets none. ::1 stays for the tenant's own use.
        # /proc/sys/net is that of the writing thread's namespace (proc_sysctl.c).
        with contextlib.suppress(FileNotFoundError):
            Path("/proc/sys/net/ipv6/conf/default/disable_ipv6").write_text("1")
        with IPRoute() as ip:
            ip.link("set", index=ip.link_lookup(ifname="lo")[0], state="up")
            peer = {"ifname": installation.interface(number), "net_ns_fd": host}
            ip.link("add", ifname="eth0", kind="veth", peer=peer)
            index = ip.link_lookup(ifname="eth0")[0]
            ip.addr("add", index=index, address=installation.address(number), prefixlen=32)
            ip.link("set", index=index, state="up")
            ip.route("add", dst=f"{installation.gateway}/32", oif=index, scope="link")
            ip.route("add", dst="default", gateway=installation.gateway)
    finally:
        os.close(host)
    return descriptor


def let_edge_in(installation: Installation, number: int, namespace: Namespace) -> None:
    """What the edge asks for at a run's port reaches a server of tenant `number` that listens on 127.0.0.1.

    From the gateway's address alone; other tenants are refused before (`forward`). Idempotent.
    """
    _route_to(installation, number)  # an earlier version's had no source address
    in_new_thread(lambda: _let_in(installation, namespace.descriptor))


def _let_in(installation: Installation, descriptor: int) -> None:
    """In a thread of its own."""
    kernel.enter_network(descriptor)
    Path("/proc/sys/net/ipv4/conf/eth0/route_localnet").write_text("1")
    last = FIRST + COUNT - 1
    nft(f"""\
table ip hostel {{}}
delete table ip hostel
table ip hostel {{
  chain prerouting {{
    type nat hook prerouting priority dstnat; policy accept;
    iifname eth0 ip saddr {installation.gateway} tcp dport {FIRST}-{last} dnat to 127.0.0.1
  }}
  chain input {{
    type filter hook input priority filter; policy accept;
    iifname eth0 ct state new ct status dnat accept
    iifname eth0 ct state new meta l4proto tcp reject with tcp reset
  }}
}}
""")


def _attach(installation: Installation, number: int) -> None:
    name = installation.interface(number)
    with contextlib.suppress(FileNotFoundError):
        Path(f"/proc/sys/net/ipv6/conf/{name}/disable_ipv6").write_text("1")
    with IPRoute() as ip:
        ip.link("set", index=ip.link_lookup(ifname=name)[0], state="up")
    _route_to(installation, number)


def _route_to(installation: Installation, number: int) -> None:
    with IPRoute() as ip:
        index = ip.link_lookup(ifname=installation.interface(number))[0]
        # An orphan of another installation may have left a route to this address: it must not take our packets.
        # By its address the tenant knows that the edge is at the door.
        ip.route(
            "replace",
            dst=f"{installation.address(number)}/32",
            oif=index,
            scope="link",
            prefsrc=installation.gateway,
        )


@contextlib.contextmanager
def _ignore_existing() -> Iterator[None]:
    try:
        yield
    except NetlinkError as error:
        if error.code != 17:  # EEXIST
            raise
