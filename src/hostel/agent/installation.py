"""What tells this installation from others on the same machine: id, block of uids, subnet.

Claims are made in one machine-wide directory under a lock, so that several installations (and the tests) run side by
side. A claim whose root is gone, or holds another installation, is free again.
"""

import contextlib
import fcntl
import ipaddress
import json
import os
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from hostel.agent.errors import InstallationFull
from hostel.wire.codec import parse, to_jsonable
from hostel.wire.errors import ConfigError, MalformedMessage
from hostel.wire.files import write_atomically
from hostel.wire.paths import Paths

CLAIMS = Path("/var/lib/hostel-installations")
UIDS = 65_536
# systemd's table of uids calls 1879048192 to 2147483647 unused (systemd.io/UIDS-GIDS).
FIRST_UID = 1_879_048_192
BLOCKS = 4_096
PANEL_NUMBER = 10  # smaller ones are kept for the gateway and what may come
PROBE_NUMBERS = (11, 12)  # of tenants that do not exist, for trying what tenants can reach
FIRST_NUMBER = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """`number`s count tenants; each gives a uid, an address and a socket directory, and is never given again."""

    id: str  # 8 hex digits, part of every name the kernel sees
    uid_base: int
    subnet: str  # a /16
    next_number: int = FIRST_NUMBER

    @property
    def gateway(self) -> str:
        return str(ipaddress.IPv4Network(self.subnet)[1])

    def uid(self, number: int) -> int:
        return self.uid_base + number

    def address(self, number: int) -> str:
        return str(ipaddress.IPv4Network(self.subnet)[number])

    @property
    def interfaces(self) -> str:
        """How the names of all its interfaces begin."""
        return f"h{self.id}"

    def interface(self, number: int) -> str:
        return f"{self.interfaces}{number}"  # at most 14 characters; the kernel takes 15

    @property
    def cgroups(self) -> tuple[str, str]:
        """Above all users, and above the panel, which does not share its part of the processor with them."""
        return f"/hostel-{self.id}", f"/hostel-{self.id}-platform"

    def cgroup_of(self, number: int) -> str:
        users, platform = self.cgroups
        return f"{platform if number == PANEL_NUMBER else users}/{number}"


def take_number(paths: Paths, installation: Installation) -> tuple[int, Installation]:
    """A tenant number that was never used. On disk before it is returned, so that no crash gives it twice."""
    number = installation.next_number
    if number >= UIDS:
        raise InstallationFull
    advanced = replace(installation, next_number=number + 1)
    _write(paths, advanced)
    return number, advanced


def ensure_installation(
    paths: Paths,
    *,
    pool: str,
    claims: Path = CLAIMS,
    remove_leftovers: Callable[[Installation], None] | None = None,
) -> Installation:
    """This root's installation, claimed on first call. Safe to repeat and to race.

    `remove_leftovers` is called with each installation whose root is gone, and then its claim goes. What it had claimed
    is free in any case.
    """
    claims.mkdir(mode=0o755, parents=True, exist_ok=True)
    with _lock(claims):
        known = _read(paths)
        others = []
        for claimed, is_live in _read_claims(claims, except_root=paths.root):
            if is_live:
                others.append(claimed)
            elif remove_leftovers and (known is None or claimed.id != known.id):  # else it is this one, moved
                remove_leftovers(claimed)
                (claims / f"{claimed.id}.json").unlink()
        if known is None:
            known = _claim(pool, others)
            _write(paths, known)
        elif any(other.uid_base == known.uid_base or other.subnet == known.subnet for other in others):
            raise ConfigError(
                f"{paths.installation_file}: its uids or subnet belong to another installation on this machine; "
                "was the folder copied? Use one of the two only"
            )
        claim = {"root": str(paths.root), "installation": to_jsonable(known)}
        write_atomically(claims / f"{known.id}.json", json.dumps(claim).encode())
    return known


def _claim(pool: str, others: list[Installation]) -> Installation:
    taken_blocks = {other.uid_base for other in others}
    taken_subnets = {other.subnet for other in others}
    bases = (FIRST_UID + block * UIDS for block in range(BLOCKS))
    uid_base = next((base for base in bases if base not in taken_blocks), None)
    subnets = [str(net) for net in ipaddress.IPv4Network(pool).subnets(new_prefix=16)]
    free = [net for net in subnets if net not in taken_subnets]
    # Not the first: what an installation that was killed left in the kernel would meet the next one at once.
    subnet = secrets.choice(free) if free else None
    if uid_base is None or subnet is None:
        raise ConfigError(f"network.pool: every /16 of {pool} is taken by another installation; choose a larger pool")
    return Installation(id=secrets.token_hex(4), uid_base=uid_base, subnet=subnet)


def _read_claims(claims: Path, *, except_root: Path) -> Iterator[tuple[Installation, bool]]:
    """Others' claims, each with whether its root still holds the installation. What cannot be read is left out."""
    for file in claims.glob("*.json"):
        with contextlib.suppress(OSError, ValueError, KeyError, MalformedMessage):
            data = json.loads(file.read_bytes())
            claimed = parse(Installation, data["installation"])
            root = Path(data["root"])
            in_place = _read(Paths(root))
            is_live = in_place is not None and in_place.id == claimed.id
            if root != except_root or not is_live:
                yield claimed, is_live


def _read(paths: Paths) -> Installation | None:
    try:
        return parse(Installation, json.loads(paths.installation_file.read_bytes()))
    except FileNotFoundError:
        return None


def _write(paths: Paths, installation: Installation) -> None:
    write_atomically(paths.installation_file, json.dumps(to_jsonable(installation)).encode())


@contextlib.contextmanager
def _lock(directory: Path) -> Iterator[None]:
    descriptor = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
