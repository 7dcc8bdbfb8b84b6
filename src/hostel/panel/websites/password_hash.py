"""Hashes passwords of a website's visitors as the edge checks them: sha512-crypt, by the C library that both have."""

import ctypes
import secrets
import string

_SALT_CHARACTERS = string.ascii_letters + string.digits + "./"
_WORKSPACE_BYTES = 32_768  # sizeof(struct crypt_data), crypt(3)


def hash_password(password: str) -> str:
    library = ctypes.CDLL("libcrypt.so.1")
    library.crypt_rn.restype = ctypes.c_char_p
    library.crypt_rn.argtypes = [ctypes.c_char_p, ctypes.c_char_p, ctypes.c_void_p, ctypes.c_int]
    salt = "".join(secrets.choice(_SALT_CHARACTERS) for _ in range(16))
    workspace = ctypes.create_string_buffer(_WORKSPACE_BYTES)
    hashed = library.crypt_rn(password.encode(), f"$6${salt}$".encode(), workspace, _WORKSPACE_BYTES)
    if hashed is None:
        raise RuntimeError("libcrypt makes no sha512-crypt")
    return str(hashed.decode("ascii"))
