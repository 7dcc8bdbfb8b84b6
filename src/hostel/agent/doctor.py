"""What only the running agent can say of the machine: is what it set still in force?"""

import asyncio
import stat
from collections.abc import Callable, Collection, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography import x509

from hostel.agent import network
from hostel.agent.certificates import SITES
from hostel.agent.disk import QUOTA_OPTIONS
from hostel.agent.mounts import find_mount
from hostel.agent.records import find_unreadable
from hostel.wire.config import read_config
from hostel.wire.errors import ConfigError, Reason
from hostel.wire.report import AgentCheck
from hostel.wire.website import Sleep, State

if TYPE_CHECKING:
    from hostel.agent.node import Node

_NAMED_MOST = 5


async def check_machine(node: "Node") -> tuple[AgentCheck, ...]:
    """All checks, each of which says what to do when it is not ok."""
    checks: tuple[Callable[[Node], AgentCheck], ...] = (
        _panel,
        _configuration,
        _rules,
        _forwarding,
        _logs,
        _resolvers,
        _uids,
        _quotas,
        _panel_disk,
        _certificates,
        _sleep,
    )
    gates = tuple(result.as_check() for result in await node.gates.try_all())
    looked_at = [await asyncio.to_thread(check, node) for check in checks]
    return (*gates, *looked_at, *await asyncio.to_thread(lambda: [*_records(node), *_wanted_state(node)]))


def _panel(node: "Node") -> AgentCheck:
    report = node.panel.report()
    why = f": {report.failure.detail}" if report.failure else ""
    return AgentCheck(
        name="panel",
        ok=report.state is State.RUNNING,
        message=f"the panel is {report.state.value}{why}",
        hint=f"read {node.paths.site_logs}/hostel/{node.config.panel_host}.error.log",
    )


def _configuration(node: "Node") -> AgentCheck:
    file, hint = node.paths.config_file, "`hostel reload` takes it over"
    try:
        written = read_config(file)
    except ConfigError as error:
        return AgentCheck(name="configuration", ok=False, message=f"{file} cannot be used now", hint=str(error))
    if written.foundation != node.config.foundation:
        hint = "a change of [sites], [panel], [listen] or [network] holds once `hostel up` is stopped and started again"
    is_in_force = written.digest == node.config.digest
    message = "in force" if is_in_force else f"{file} was changed since it was taken over"
    return AgentCheck(name="configuration", ok=is_in_force, message=message, hint=hint, is_grave=False)


def _rules(node: "Node") -> AgentCheck:
    is_loaded = network.has_rules(node.installation)
    return AgentCheck(
        name="network rules",
        ok=is_loaded,
        message=f"nftables table hostel_{node.installation.id}" + ("" if is_loaded else " is gone"),
        hint="something flushed the rules: they are loaded again within half a minute",
    )


def _forwarding(_: "Node") -> AgentCheck:
    with open("/proc/sys/net/ipv4/ip_forward") as file:
        is_on = file.read().strip() == "1"
    message = "the kernel forwards IPv4" if is_on else "net.ipv4.ip_forward is 0: sandboxes have no network"
    return AgentCheck(name="forwarding", ok=is_on, message=message, hint="sysctl -w net.ipv4.ip_forward=1")


def _logs(node: "Node") -> AgentCheck:
    """nginx opens logs by name: a FIFO would stop a worker until somebody reads it, a link would lead elsewhere."""
    odd = sorted(str(path) for path in node.paths.site_logs.glob("*/*") if not _is_file(path))
    return AgentCheck(
        name="logs",
        ok=not odd,
        message="all logs of websites are files"
        if not odd
        else f"no file, where logs of websites lie: {', '.join(odd)}",
        hint="remove it, and find out who made it: users cannot",
    )


def _is_file(path: Path) -> bool:
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except FileNotFoundError:  # rotated meanwhile
        return True


def _resolvers(node: "Node") -> AgentCheck:
    resolvers = list(node.config.network.resolvers) or network.host_resolvers()
    return AgentCheck(
        name="name servers",
        ok=bool(resolvers),
        message=f"sandboxes ask {', '.join(resolvers)}" if resolvers else "the host has none that sandboxes can reach",
        hint=f"set network.resolvers in {node.paths.config_file}",
    )


def _uids(node: "Node") -> AgentCheck:
    left = 65_536 - node.installation.next_number
    return AgentCheck(
        name="uids",
        ok=left > 100,
        message=f"{left} users can still be added",
        hint="uids are never used twice: move to a new installation",
    )


def _quotas(node: "Node") -> AgentCheck:
    """Homes are measured from outside: on any file system, and on any it is weaker than a quota."""
    kind, options = find_mount(node.paths.homes)
    over = [
        tenant.name
        for tenant in node.users()
        if node.disk.describe_excess(tenant.name, tenant.record.limits.disk_bytes)
    ]
    quotas = sorted(options & QUOTA_OPTIONS)
    set_by_hand = f"; it has quotas ({', '.join(quotas)}), which Hostel does not set" if quotas else ""
    named = f"; over it: {', '.join(over)}" if over else ""
    return AgentCheck(
        name="disk limits",
        ok=False,
        is_grave=False,
        message=f"measured, not enforced: homes lie on {kind}{set_by_hand}{named}",
        hint="a user can fill the disk between two measurements. Put homes on a file system of their own, mounted with "
        "usrquota, and set a quota for each user's uid with setquota(8)",
    )


def _panel_disk(node: "Node") -> AgentCheck:
    is_shared = node.paths.homes.stat().st_dev == node.paths.panel.stat().st_dev
    return AgentCheck(
        name="platform's disk",
        ok=not is_shared,
        is_grave=False,
        message="the panel's database shares its file system with users' homes"
        if is_shared
        else "users' homes cannot fill the file system of the panel's database",
        hint=f"mount another file system at {node.paths.homes}: a user who fills it then stops nobody's account",
    )


def _certificates(node: "Node") -> AgentCheck:
    """Of users' own domains, and the sites domain's."""
    now = datetime.now(UTC)
    ends = {domain: node.keyring.certificate(domain).not_valid_after_utc for domain in node.keyring.domains}
    sites = x509.load_pem_x509_certificate((node.paths.certificates / f"{SITES}.pem").read_bytes())
    ends[node.config.sites.domain] = sites.not_valid_after_utc
    late = sorted(domain for domain, end in ends.items() if end < now)
    failing = [domain for domain in node.keyring.domains if getattr(node.keyring.find(domain), "failure", "")]
    names = ", ".join([*late, *failing][:_NAMED_MOST])
    return AgentCheck(
        name="certificates",
        ok=not late and not failing,
        message=f"{len(ends)} certificates, {len(late)} past their end, {len(failing)} could not be renewed"
        + (f": {names}" if names else ""),
        hint="owners see why in GET domains/<domain>/ssl/; of the sites domain the agent's log says it",
        is_grave=node.config.sites.domain in late,
    )


def _sleep(node: "Node") -> AgentCheck:
    """Whether websites that shall hibernate can."""
    wanting = [site for _, site in sorted(node.websites.items()) if site.spec.sleep is Sleep.HIBERNATE]
    node.hibernation.look()
    awake = {site.domain: failure for site in wanting if (failure := site.report().sleep_failure) is not None}
    frozen = sum(site.is_frozen for site in wanting)
    is_planned = node.config.limits.site_sleep is Sleep.HIBERNATE
    obstacle = node.hibernation.obstacle if wanting or is_planned else None
    why = obstacle or next(iter(awake.values()), None)
    if why is None:
        told = f"{len(wanting)} websites may hibernate, {frozen} do" if wanting else "no website hibernates"
        return AgentCheck(name="sleep", ok=True, message=told)
    named = f"; awake: {_name_some(awake)}" if awake else ""
    is_its_own = obstacle is None and why.reason is Reason.CANNOT_FREEZE
    cannot = len(wanting if obstacle else awake)
    return AgentCheck(
        name="sleep",
        ok=False,
        is_grave=False,
        message=f"of {len(wanting)} websites that may hibernate {cannot} cannot: {_first_sentence(why.detail)}{named}",
        hint=_HOW_TO_FREEZE_ONE if is_its_own else _HOW_TO_SLEEP[why.reason],
    )


def _name_some(domains: Collection[str]) -> str:
    return ", ".join(list(domains)[:_NAMED_MOST]) + (" ..." if len(domains) > _NAMED_MOST else "")


def _first_sentence(text: str) -> str:
    return text.split(". ", maxsplit=1)[0].rstrip(".")


_HOW_TO_SLEEP = {
    Reason.NO_SWAP: "make swap: compressed in memory (`apt install zram-tools`, PERCENT=100 in /etc/default/zramswap, "
    "vm.page-cluster=0), or a file (`fallocate -l 16G /swapfile && chmod 600 /swapfile && mkswap /swapfile && "
    "swapon /swapfile`, and a line in /etc/fstab). A sleeping Django website takes 30 to 60 MiB of it. Let "
    "vm.swappiness be more than 0",
    Reason.CANNOT_FREEZE: "hibernation needs cgroups of version 2 and Linux 5.19, or version 1 with the controllers "
    "freezer and memory; `sleep: stop` needs neither",
}
_HOW_TO_FREEZE_ONE = (
    "`ps -eo pid,user,stat,wchan:20,args` shows which process is in state D and where it waits: for a file system that "
    "does not answer, or a debugger. Each website is tried again; a reload starts it anew, and `sleep: stop` freezes "
    "nothing"
)


def _records(node: "Node") -> Iterator[AgentCheck]:
    """One line for each file that should be a record and is none; one that all is well."""
    faults = list(find_unreadable(node.paths))
    for file, fault in faults:
        is_ours = file.suffix == ".json"
        repair = "the panel repeats it at the next start, or when its owner changes anything; if it stays, remove it"
        yield AgentCheck(
            name="records",
            ok=False,
            message=f"{file} cannot be read and is ignored: {fault}",
            hint=repair if is_ours else "move it away: nothing but the platform's own files belongs there",
        )
    if not faults:
        yield AgentCheck(name="records", ok=True, message="all records on disk can be read")


def _wanted_state(node: "Node") -> Iterator[AgentCheck]:
    """One line for each user or website that the panel's database does not know, as after a restore."""
    tenants, websites = node.unknown_to_panel()
    for tenant in tenants:
        yield AgentCheck(
            name="wanted state",
            ok=False,
            message=f"user {tenant.name} is here, but the panel's database does not know them",
            hint=f"`hostel user add {tenant.name}` gives them an account again, with home and websites; "
            f"`hostel user remove {tenant.name}` after that removes everything",
        )
    for website in websites:
        yield AgentCheck(
            name="wanted state",
            ok=False,
            message=f"website {website.domain} of {website.spec.tenant} runs here, but the panel's database does not "
            "know it",
            hint=f"{website.spec.tenant} creates it again, by the same call, to have it back (it goes on serving), and "
            "deletes it after that to be rid of it",
        )
    if not tenants and not websites:
        yield AgentCheck(name="wanted state", ok=True, message="the panel's database knows all that is here")
