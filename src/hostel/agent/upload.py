"""Whether a certificate that a user sends can be served: read, judged, and written anew."""

import itertools
from collections.abc import Sequence
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from hostel.wire.certificate import (
    CertificateExpired,
    CertificateUnreadable,
    ChainBroken,
    KeyMismatch,
    NameMismatch,
)

CHAIN_MOST = 10
TEXT_MOST = 64 << 10
_CURVES = (ec.SECP256R1, ec.SECP384R1, ec.SECP521R1)
_RSA_LEAST, _RSA_MOST = 2048, 4096  # above it one visitor's handshake costs the edge tens of milliseconds


def check_certificate(domain: str, *, chain: str, private_key: str, now: datetime) -> bytes:
    """Chain and key, in this order, as PEM. Raises CertificateRefused, in words for the user."""
    certificates = _read_chain(chain)
    _check_chain(certificates)
    key = _read_key(private_key)
    if key.public_key() != certificates[0].public_key():
        raise KeyMismatch("The private key does not belong to the first certificate.")
    _check_names(certificates[0], domain)
    _check_times(certificates, now)
    return bundle(certificates, key)


def bundle(certificates: Sequence[x509.Certificate], key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> bytes:
    pem = serialization.Encoding.PEM
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return b"".join(certificate.public_bytes(pem) for certificate in certificates) + secret


def split_bundle(bundle: bytes) -> tuple[bytes, bytes]:
    """Chain and key."""
    chain, begin, key = bundle.partition(b"-----BEGIN PRIVATE KEY-----")
    return chain, begin + key


def dns_names(certificate: x509.Certificate) -> tuple[str, ...]:
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except (x509.ExtensionNotFound, ValueError):
        return ()
    return tuple(extension.value.get_values_for_type(x509.DNSName))


def covers(certificate: x509.Certificate, domain: str) -> bool:
    """As browsers have it: the name, or a wildcard in the place of its first label."""
    accepted = {domain, f"*.{domain.partition('.')[2]}"}
    return any(name.lower() in accepted for name in dns_names(certificate))


def _read_chain(text: str) -> list[x509.Certificate]:
    if len(text) > TEXT_MOST:
        raise CertificateUnreadable(f"Give at most {TEXT_MOST >> 10} KiB of certificates.")
    try:
        certificates = x509.load_pem_x509_certificates(text.encode())
        for certificate in certificates:
            _ = certificate.extensions, certificate.public_key(), certificate.subject, certificate.issuer
    except (ValueError, UnsupportedAlgorithm) as error:
        raise CertificateUnreadable(
            "The certificate cannot be read. Give it in PEM form (-----BEGIN CERTIFICATE-----), followed by those that "
            "it was issued by."
        ) from error
    if len(certificates) > CHAIN_MOST:
        raise ChainBroken(f"Give at most {CHAIN_MOST} certificates: the website's, and those that it was issued by.")
    return certificates


def _read_key(text: str) -> ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey:
    if len(text) > TEXT_MOST:
        raise CertificateUnreadable(f"Give at most {TEXT_MOST >> 10} KiB of private key.")
    try:
        key = serialization.load_pem_private_key(text.encode(), password=None)
    except TypeError as error:
        raise CertificateUnreadable("The private key is encrypted; give it without a pass phrase.") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise CertificateUnreadable(
            "The private key cannot be read. Give it in PEM form (-----BEGIN PRIVATE KEY-----)."
        ) from error
    is_rsa = isinstance(key, rsa.RSAPrivateKey) and _RSA_LEAST <= key.key_size <= _RSA_MOST
    is_ec = isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, _CURVES)
    if not isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) or not (is_rsa or is_ec):
        raise KeyMismatch(
            f"Give a key that browsers take: RSA of {_RSA_LEAST} to {_RSA_MOST} bits, or P-256, P-384 or P-521."
        )
    return key


def _check_chain(certificates: Sequence[x509.Certificate]) -> None:
    for number, (certificate, issuer) in enumerate(itertools.pairwise(certificates), 1):
        try:
            certificate.verify_directly_issued_by(issuer)
        except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm) as error:
            raise ChainBroken(
                f"Certificate {number} was not issued by certificate {number + 1}. Give the website's first, then each "
                "that the one before was issued by."
            ) from error


def _check_names(certificate: x509.Certificate, domain: str) -> None:
    if not covers(certificate, domain):
        named = ", ".join(dns_names(certificate)[:10]) or "no domain at all"
        raise NameMismatch(f"The certificate is for {named}, not for {domain}.")
    try:
        usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return
    if ExtendedKeyUsageOID.SERVER_AUTH not in usage:
        raise NameMismatch("The certificate is not for servers: its extended key usage lacks serverAuth.")


def _check_times(certificates: Sequence[x509.Certificate], now: datetime) -> None:
    for number, certificate in enumerate(certificates, 1):
        if now > certificate.not_valid_after_utc:
            raise CertificateExpired(f"Certificate {number} expired on {certificate.not_valid_after_utc:%Y-%m-%d}.")
        if now < certificate.not_valid_before_utc:
            begin = certificate.not_valid_before_utc
            raise CertificateExpired(f"Certificate {number} is valid only from {begin:%Y-%m-%d} on.")
