"""Whom browsers let set a cookie for whom, by the Public Suffix List that comes with the library `publicsuffixlist`.

Any website may set cookies for, and clear those of, every name below its own registrable domain: the name right below
a public suffix. Names of the demonstration and of tests, `hostel.localhost` for one, have one too.
"""

import functools

from publicsuffixlist import PublicSuffixList

# Reserved by RFC 2606, 6761, 6762, 8375 and by ICANN for private use: no such name can be on the list.
_PRIVATE_TOP_LABELS = frozenset("localhost test example invalid local internal".split())


@functools.cache
def _suffixes() -> PublicSuffixList:
    return PublicSuffixList()


def is_public_suffix(domain: str) -> bool:
    """Whether browsers keep the names right below `domain` apart."""
    return bool(_suffixes().is_public(domain))


def share_cookies(host: str, other: str) -> bool:
    """Whether a website at one of the two may set cookies that browsers send to the other."""
    registrable = _suffixes().privatesuffix(host)
    return registrable is not None and registrable == _suffixes().privatesuffix(other)


def registrable_domain(host: str) -> str:
    """The name right below a public suffix that `host` lies at or below; `host` where there is none."""
    return str(_suffixes().privatesuffix(host.removeprefix("*.")) or host)


def is_private_name(domain: str) -> bool:
    """Whether `domain` exists on no public DNS: nobody can put it on the list."""
    return domain.rpartition(".")[2] in _PRIVATE_TOP_LABELS or domain.endswith("home.arpa")
