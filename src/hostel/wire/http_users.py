"""Who may visit a website that asks for a password: names, and hashes of sha512-crypt. Pure."""

import re
from collections.abc import Mapping

from hostel.wire.errors import Refusal

USERS_MOST = 100
NAME_BYTES_LIMIT = 64
PASSWORD_BYTES_LIMIT = 128  # the hash takes longer the longer the password is, and nginx waits for it
# Without `rounds=`, which is 5,000 then: whoever could set it could make nginx stand still.
_HASH = re.compile(r"\$6\$[./0-9A-Za-z]{8,16}\$[./0-9A-Za-z]{86}")


class InvalidHttpUser(Refusal):
    """That user name or password cannot be used."""

    code = "invalid_http_user"


def check_http_username(name: str) -> str:
    """`name`, or InvalidHttpUser."""
    if not name or set(":/") & set(name) or _size(name) > NAME_BYTES_LIMIT:
        raise InvalidHttpUser(f"A user name has 1 to {NAME_BYTES_LIMIT} bytes, no colon and no slash.")
    return name


def check_http_password(password: str) -> str:
    """`password`, or InvalidHttpUser."""
    if not password or _size(password) > PASSWORD_BYTES_LIMIT:
        raise InvalidHttpUser(f"A password has 1 to {PASSWORD_BYTES_LIMIT} bytes.")
    return password


def check_http_users(users: Mapping[str, str]) -> None:
    """`users` are hashes by name. Raises InvalidHttpUser where one cannot be, or where they are too many."""
    if len(users) > USERS_MOST:
        raise InvalidHttpUser(f"A website has at most {USERS_MOST} users for its password.")
    for name, hash_ in users.items():
        check_http_username(name)
        if not _HASH.fullmatch(hash_):
            raise InvalidHttpUser("A password is kept as sha512-crypt with its usual rounds.")


def _size(text: str) -> int:
    if any(ord(character) < 32 or ord(character) == 127 for character in text):
        raise InvalidHttpUser("Control characters cannot be used.")
    try:
        return len(text.encode())
    except UnicodeEncodeError:
        raise InvalidHttpUser("Only text that UTF-8 can spell can be used.") from None
