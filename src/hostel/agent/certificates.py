"""The installation's own certificate authority, and the certificate of the sites domain.

The authority may only name the sites domain and the panel's host (RFC 5280, 4.2.1.10), so that trusting it on a
laptop trusts it for nothing else. Keys are 0600 and root's.
"""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import structlog
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from hostel.wire.config import SITES_OWN, Config
from hostel.wire.files import write_atomically

log = structlog.get_logger()

SITES = "sites"  # name of the certificate that covers the sites domain
CA = "ca"
_CA_LIFETIME = timedelta(days=3650)
_LEAF_LIFETIME = timedelta(days=90)
_BACKDATED = timedelta(hours=1)  # for clocks that go a little slow


def ensure_certificates(directory: Path, config: Config, *, installation: str, now: datetime | None = None) -> bool:
    """Make or renew what is missing, unfit for the configured names, or past two thirds of its life. Idempotent.

    Returns whether the sites certificate is another one than before.
    """
    now = now or datetime.now(UTC)
    names = leaf_names(config)
    permitted = {config.sites.domain, config.panel_host}
    authority = _load(directory, CA)
    is_new_authority = authority is None or not _permits(authority[0], permitted) or _is_due(authority[0], now)
    if is_new_authority or authority is None:
        authority = _make_authority(permitted, installation, now)
        _store(directory, CA, *authority)
        log.info("certificate authority made", permitted=sorted(permitted))
    has_others = config.certificates.sites != SITES_OWN and all(
        (directory / f"{SITES}.{suffix}").exists() for suffix in ("pem", "key")
    )
    if has_others:  # see sites_certificate.py
        return False
    leaf = _load(directory, SITES)
    if not is_new_authority and leaf is not None and _names(leaf[0]) == set(names) and not _is_due(leaf[0], now):
        return False
    _store(directory, SITES, *_make_leaf(authority, names, now))
    log.info("certificate made", names=names)
    return True


def leaf_names(config: Config) -> list[str]:
    domain, panel = config.sites.domain, config.panel_host
    names = [domain, f"*.{domain}"]
    if panel != domain and panel.partition(".")[2] != domain:
        names.append(panel)
    return names


def _make_authority(
    permitted: set[str], installation: str, now: datetime
) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"Hostel {installation} own authority")])
    subtrees = [x509.DNSName(domain) for domain in sorted(permitted)]
    certificate = (
        _builder(name, name, key, now, _CA_LIFETIME)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(is_authority=True), critical=True)
        .add_extension(x509.NameConstraints(permitted_subtrees=subtrees, excluded_subtrees=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return certificate, key


def _make_leaf(
    authority: tuple[x509.Certificate, ec.EllipticCurvePrivateKey], names: list[str], now: datetime
) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    issuer, issuer_key = authority
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0][:64])])
    issuer_id = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    certificate = (
        _builder(subject, issuer.subject, key, now, _LEAF_LIFETIME)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(is_authority=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(issuer_id), critical=False)
        .sign(issuer_key, hashes.SHA256())
    )
    return certificate, key


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, now: datetime, lifetime: timedelta
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATED)
        .not_valid_after(now + lifetime)
    )


def _key_usage(*, is_authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not is_authority,
        key_cert_sign=is_authority,
        crl_sign=is_authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _is_due(certificate: x509.Certificate, now: datetime) -> bool:
    lifetime = certificate.not_valid_after_utc - certificate.not_valid_before_utc
    return now > certificate.not_valid_before_utc + lifetime * 2 / 3


def _names(certificate: x509.Certificate) -> set[str]:
    san = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return set(san.get_values_for_type(x509.DNSName))


def _permits(authority: x509.Certificate, domains: set[str]) -> bool:
    constraints = authority.extensions.get_extension_for_class(x509.NameConstraints).value
    return {name.value for name in constraints.permitted_subtrees or []} == domains


def _load(directory: Path, name: str) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey] | None:
    """A stored pair; None when there is none. Raises ValueError on a file that holds something else."""
    try:
        certificate = x509.load_pem_x509_certificate((directory / f"{name}.pem").read_bytes())
        key = serialization.load_pem_private_key((directory / f"{name}.key").read_bytes(), password=None)
    except FileNotFoundError:
        return None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
        return None  # a crash came between the two writes: make both anew
    return certificate, key


def _store(directory: Path, name: str, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    write_atomically(directory / f"{name}.key", secret, mode=0o600)
    write_atomically(directory / f"{name}.pem", certificate.public_bytes(serialization.Encoding.PEM), mode=0o644)
