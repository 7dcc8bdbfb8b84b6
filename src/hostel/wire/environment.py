"""Environment variables of a website: which names and values there may be. Pure."""

import re
from collections.abc import Mapping

from hostel.wire.errors import Refusal

VARIABLES_MOST = 200
NAME_LENGTH_LIMIT = 128
VALUE_BYTES_LIMIT = 16_384
TOTAL_BYTES_LIMIT = 65_536  # all names and values together; a spec with them must stay a small message

# What the platform itself tells a website. Others that it presets (PATH, LANG, ...) may be set anew.
RESERVED = frozenset({"DOMAIN_SOCKET", "HOME", "USER", "LOGNAME", "API_TOKEN"})
_RESERVED_PREFIXES = ("PYTHONANYWHERE_", "_LIBCONTAINER_")  # the second is runc's own, read before the command starts
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class InvalidVariable(Refusal):
    """That environment variable cannot be set."""

    code = "invalid_variable"


def check_name(name: str) -> str:
    """`name`, or InvalidVariable."""
    if not _NAME.fullmatch(name) or len(name) > NAME_LENGTH_LIMIT:
        raise InvalidVariable(
            f"A name has letters, digits and underscores, does not begin with a digit, and is at most "
            f"{NAME_LENGTH_LIMIT} characters long."
        )
    if name in RESERVED or name.startswith(_RESERVED_PREFIXES):
        raise InvalidVariable(f"{name} is set by the platform; choose another name.")
    return name


def check_value(value: str) -> str:
    """`value`, or InvalidVariable. Line breaks are allowed: keys and certificates have them."""
    if "\0" in value:
        raise InvalidVariable("A value cannot hold a NUL character.")
    if len(value.encode("utf-8", "surrogatepass")) > VALUE_BYTES_LIMIT:
        raise InvalidVariable(f"A value has at most {VALUE_BYTES_LIMIT:,} bytes.")
    return value


def check_environment(environment: Mapping[str, str]) -> None:
    """Raises InvalidVariable where one of them, or all together, cannot be."""
    for name, value in environment.items():
        check_name(name)
        check_value(value)
    if len(environment) > VARIABLES_MOST:
        raise InvalidVariable(f"A website has at most {VARIABLES_MOST} variables.")
    total = sum(len(f"{name}={value}".encode("utf-8", "surrogatepass")) for name, value in environment.items())
    if total > TOTAL_BYTES_LIMIT:
        raise InvalidVariable(f"All variables of a website together have at most {TOTAL_BYTES_LIMIT:,} bytes.")
