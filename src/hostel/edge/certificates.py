"""Certificate files as the agent writes them, and which host names each is good for.

`<name>.pem` and `<name>.key`; or, of a user's domain, both in `<domain>.pem`.
"""

import ipaddress
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509

DEFAULT_CERTIFICATE = "sites"
AUTHORITY = "ca"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedCertificate:
    name: str
    names: tuple[str, ...]  # host names in lower case, `*.parent` among them
    key_file: str  # below the same directory


def find_certificates(directory: Path) -> list[ServedCertificate]:
    """All that can be served from `directory`; a file that cannot be read is left out, and nginx logs the rest."""
    found = []
    for chain in sorted(directory.glob("*.pem")):
        if chain.stem == AUTHORITY:
            continue
        key = chain.with_suffix(".key")
        if not key.exists():  # a user's: chain and key in one file, served for the domain that it is named after
            found.append(ServedCertificate(name=chain.stem, names=(chain.stem,), key_file=chain.name))
            continue
        try:
            names = host_names(chain.read_bytes())
        except ValueError:
            continue
        found.append(ServedCertificate(name=chain.stem, names=names, key_file=key.name))
    return found


def host_names(chain: bytes) -> tuple[str, ...]:
    """The DNS names of the first certificate in `chain`. Raises ValueError if it is no PEM certificate."""
    leaf = x509.load_pem_x509_certificate(chain)
    try:
        extension = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return ()
    names = (name.lower() for name in extension.value.get_values_for_type(x509.DNSName))
    return tuple(name for name in names if not _is_address(name))


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
