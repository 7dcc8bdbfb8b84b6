"""Names: which user names and domains exist at all. The one place that canonicalises a domain.

Pure functions over text from outside; each raises InvalidName with what would be accepted.
"""

import re
from collections.abc import Collection

import idna

from hostel.wire.errors import Refusal
from hostel.wire.homes import find_fault
from hostel.wire.suffixes import is_public_suffix

USERNAME_LENGTH_LIMIT = 30
# /var/sockets/<domain>/app.sock must fit sun_path, which holds 107 usable bytes (unix(7)).
DOMAIN_LENGTH_LIMIT = 85
_TYPED_LENGTH_LIMIT = 253  # no name of the DNS is longer, and mapping a text takes longer the longer it is
COMMAND_LENGTH_LIMIT = 16_384  # bytes; execve takes 128 KiB for one argument, and this much is a script, not a command

# Names that browsers, mail and proxies give a meaning of their own, and the platform's own.
# `_*`, which stands for records such as _dmarc, has no place in the grammar at all.
RESERVED_LABELS = frozenset(
    "www www1 www2 api admin mail webmail mx mx1 mx2 ns ns1 ns2 ns3 ns4 smtp imap pop pop3 ftp ntp autodiscover"
    " autoconfig wpad isatap mta-sts localhost broadcasthost postmaster hostmaster webmaster administrator"
    " login sso oauth auth account accounts billing security support"
    " hostel panel edge agent logger root nobody status static help docs blog".split()
)
SYSTEM_TENANT = "hostel"  # the panel's own account; reserved above

_USERNAME = re.compile(r"[a-z][a-z0-9]*")
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_DOMAIN = re.compile(rf"{_LABEL}(?:\.{_LABEL})+")
_LABEL_OF_IDNA = re.compile(r"(?:^|\.)..--")


class InvalidName(Refusal):
    """That name cannot be used."""

    code = "invalid_name"


def check_username(name: str) -> str:
    """`name` if it may be a user's name, else InvalidName.

    Lower-case letters and digits only: a hyphen would make `x-alice.<domain>` ambiguous between user `x-alice`
    and an extra site of `alice`.
    """
    if not _USERNAME.fullmatch(name):
        raise InvalidName("A user name starts with a letter and holds lower-case letters and digits only.")
    if len(name) > USERNAME_LENGTH_LIMIT:
        raise InvalidName(f"A user name has at most {USERNAME_LENGTH_LIMIT} characters.")
    if name in RESERVED_LABELS:
        raise InvalidName(f"The name {name!r} is reserved; choose another one.")
    return name


def canonical_domain(domain_name: str) -> str:
    """The one spelling under which a domain is stored and looked up: lower case, A-labels, no trailing dot.

    UTS-46, non-transitional, and IDNA 2008: `Faß.example.` is `xn--fa-hia.example`, never `fass.example`.
    Raises InvalidName for anything that is not dot-separated labels of letters, digits and inner hyphens then.
    Idempotent.
    """
    if len(domain_name) > _TYPED_LENGTH_LIMIT:
        raise InvalidName(f"A domain name has at most {DOMAIN_LENGTH_LIMIT} characters here.")
    canonical = domain_name.lower() if domain_name.isascii() else _to_ascii(domain_name)
    canonical = canonical.removesuffix(".")
    if not _DOMAIN.fullmatch(canonical):
        raise InvalidName("A domain name holds letters, digits and hyphens, in labels separated by dots.")
    if len(canonical) > DOMAIN_LENGTH_LIMIT:
        raise InvalidName(f"A domain name has at most {DOMAIN_LENGTH_LIMIT} characters here.")
    if _LABEL_OF_IDNA.search(canonical) and _to_ascii(canonical) != canonical:
        raise InvalidName("That domain name is not spelled as IDNA 2008 has it.")
    return canonical


def _to_ascii(domain_name: str) -> str:
    try:
        return idna.encode(domain_name, uts46=True, std3_rules=True).decode("ascii")
    except UnicodeError as error:  # idna.IDNAError is one
        raise InvalidName("That is no domain name by IDNA 2008, the rules for names beyond ASCII.") from error


def check_user_domain(domain_name: str, *, username: str, sites_domain: str) -> str:
    """The canonical form of a default domain of `username`, else InvalidName.

    Accepted are `<username>.<sites domain>` and `<label>-<username>.<sites domain>`, in ASCII. No A-label among them:
    `xn--ww-ypc` would be one of the user `ypc`, and browsers show it as something that looks like `www`.
    """
    if domain_name.endswith("."):
        raise InvalidName("Leave out the dot at the end of the domain name.")
    canonical = canonical_domain(domain_name)
    if canonical != domain_name.lower() or "xn--" in canonical.removesuffix(sites_domain):
        raise InvalidName("Use the letters a to z, digits and hyphens only.")
    label, _, parent = canonical.partition(".")
    accepted = f"{username}.{sites_domain} or something-{username}.{sites_domain}"
    if label in RESERVED_LABELS and parent == sites_domain:
        raise InvalidName(f"The name {label!r} is reserved. Use {accepted}.")
    prefix, hyphen, owner = label.rpartition("-")
    is_own = label == username or (hyphen and owner == username and prefix)
    if parent != sites_domain or not is_own:
        raise InvalidName(f"This domain cannot be used. Use {accepted}.")
    if prefix in RESERVED_LABELS:
        raise InvalidName(f"The name {prefix!r} is reserved. Use another word before -{username}.")
    return canonical


def is_below(domain: str, parent: str) -> bool:
    """Whether canonical `domain` is `parent` or ends in it."""
    return domain == parent or domain.endswith(f".{parent}")


def check_custom_domain(domain_name: str, *, platform: Collection[str]) -> str:
    """The canonical form of a domain of a user's own, else InvalidName. `platform` are the platform's own domains.

    Says nothing about whose it is.
    """
    if domain_name.endswith("."):
        raise InvalidName("Leave out the dot at the end of the domain name.")
    canonical = canonical_domain(domain_name)
    if canonical != domain_name.lower():
        raise InvalidName(f"Write the domain as {canonical}.")
    if canonical.rpartition(".")[2].isdecimal():
        raise InvalidName("That is an address; give a domain name, www.example.org for example.")
    if any(is_below(canonical, own) or is_below(own, canonical) for own in platform):
        raise InvalidName("That domain belongs to the platform.")
    if is_public_suffix(canonical):
        raise InvalidName("Nobody owns that domain as a whole; give one below it.")
    return canonical


def check_command(command: str) -> str:
    """`command`, unchanged, if it may be run, else InvalidName. A trailing space is kept: clients compare it."""
    if not command.strip():
        raise InvalidName("The command must not be empty.")
    if "\0" in command or "\n" in command or "\r" in command:
        raise InvalidName("The command is one line: it must not contain a newline or a NUL character.")
    if len(command.encode("utf-8", "surrogatepass")) > COMMAND_LENGTH_LIMIT:
        raise InvalidName(f"The command has at most {COMMAND_LENGTH_LIMIT} bytes; put longer ones in a script.")
    return command


def check_working_directory(path: str, *, username: str) -> str:
    """`path`, or InvalidName. "" is the home. The command's own shell goes there, as the user."""
    fault = find_fault(path, username=username) if path else None
    if fault:
        raise InvalidName(fault)
    return path
