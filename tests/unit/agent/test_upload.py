"""What a user may send as a certificate: each reason to refuse, and that it is said in words that help."""

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from hostel.agent.upload import check_certificate
from hostel.wire.certificate import (
    CertificateExpired,
    CertificateRefused,
    CertificateUnreadable,
    ChainBroken,
    KeyMismatch,
    NameMismatch,
)

NOW = datetime(2026, 11, 1, tzinfo=UTC)
DOMAIN = "www.example.org"
PEM = serialization.Encoding.PEM


class Made:
    """A certificate for `names`, signed by `issuer` or by itself."""

    def __init__(self, *names, issuer=None, key=None, begin=-1, end=30, usage=ExtendedKeyUsageOID.SERVER_AUTH):
        self.key = key or ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0] if names else "authority")])
        signer = issuer or self
        algorithm = None if isinstance(signer.key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
        builder = (
            x509.CertificateBuilder()
            .subject_name(self.name)
            .issuer_name(signer.name)
            .public_key(self.key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(NOW + timedelta(days=begin))
            .not_valid_after(NOW + timedelta(days=end))
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        )
        if names:
            alternatives = x509.SubjectAlternativeName([x509.DNSName(name) for name in names])
            builder = builder.add_extension(alternatives, critical=False)
        self.certificate = builder.sign(signer.key, algorithm)
        self.pem = self.certificate.public_bytes(PEM).decode()

    def secret(self, password=None):
        kind = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
        return self.key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, kind).decode()


ROOT = Made()
MIDDLE = Made(issuer=ROOT)
LEAF = Made(DOMAIN, issuer=MIDDLE)


def check(chain, key):
    return check_certificate(DOMAIN, chain=chain, private_key=key, now=NOW)


@pytest.mark.parametrize(
    "names", [(DOMAIN,), ("*.example.org",), ("example.net", DOMAIN.upper()), (DOMAIN, "neighbour.hostel.localhost")]
)
def test_a_good_one_is_taken_and_written_anew(names):
    leaf = Made(*names, issuer=MIDDLE)
    taken = check(f"junk\n{leaf.pem}\nmore junk\n{MIDDLE.pem}{ROOT.pem}", "junk\n" + leaf.secret()).decode()
    assert taken == leaf.pem + MIDDLE.pem + ROOT.pem + leaf.secret()


@pytest.mark.parametrize("key", [rsa.generate_private_key(65537, 2048), ec.generate_private_key(ec.SECP384R1())])
def test_the_kinds_of_keys_that_browsers_take(key):
    leaf = Made(DOMAIN, key=key)
    assert check(leaf.pem, leaf.secret())


OTHER = Made(DOMAIN, issuer=MIDDLE)
SMALL = Made(DOMAIN, key=rsa.generate_private_key(65537, 1024))
ODD = Made(DOMAIN, key=ed25519.Ed25519PrivateKey.generate())
WRONG_NAME = Made("example.org", "*.www.example.org", "*.org", issuer=MIDDLE)
NAMELESS = Made(issuer=MIDDLE)
FOR_CLIENTS = Made(DOMAIN, usage=ExtendedKeyUsageOID.CLIENT_AUTH)
PAST = Made(DOMAIN, begin=-9, end=-1)
FUTURE = Made(DOMAIN, begin=1, end=9)
OLD_MIDDLE = Made(issuer=ROOT, begin=-9, end=-1)
UNDER_OLD = Made(DOMAIN, issuer=OLD_MIDDLE)


@pytest.mark.parametrize(
    ("chain", "key", "refusal", "words"),
    [
        ("", LEAF.secret(), CertificateUnreadable, "PEM form"),
        ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----", LEAF.secret(), CertificateUnreadable, "PEM"),
        (LEAF.secret(), LEAF.secret(), CertificateUnreadable, "PEM form"),
        (LEAF.pem + "x" * 70_000, LEAF.secret(), CertificateUnreadable, "at most 64 KiB"),
        (LEAF.pem, "", CertificateUnreadable, "private key cannot be read"),
        (LEAF.pem, LEAF.pem, CertificateUnreadable, "private key cannot be read"),
        (LEAF.pem, LEAF.secret(b"pass phrase"), CertificateUnreadable, "encrypted"),
        (MIDDLE.pem + LEAF.pem, MIDDLE.secret(), ChainBroken, "Certificate 1 was not issued by certificate 2"),
        (LEAF.pem + ROOT.pem, LEAF.secret(), ChainBroken, "Certificate 1 was not issued by certificate 2"),
        (LEAF.pem * 11, LEAF.secret(), ChainBroken, "at most 10"),
        (LEAF.pem, OTHER.secret(), KeyMismatch, "does not belong"),
        (SMALL.pem, SMALL.secret(), KeyMismatch, "RSA of 2048 to 4096"),
        (ODD.pem, ODD.secret(), KeyMismatch, "P-256"),
        (WRONG_NAME.pem, WRONG_NAME.secret(), NameMismatch, "is for example.org, .*, not for www.example.org"),
        (NAMELESS.pem, NAMELESS.secret(), NameMismatch, "no domain at all"),
        (FOR_CLIENTS.pem, FOR_CLIENTS.secret(), NameMismatch, "serverAuth"),
        (PAST.pem, PAST.secret(), CertificateExpired, "expired on 2026-10-31"),
        (FUTURE.pem, FUTURE.secret(), CertificateExpired, "valid only from 2026-11-02"),
        (UNDER_OLD.pem + OLD_MIDDLE.pem, UNDER_OLD.secret(), CertificateExpired, "Certificate 2 expired"),
    ],
)
def test_what_cannot_be_served_is_refused_with_the_reason(chain, key, refusal, words):
    with pytest.raises(CertificateRefused, match=words) as refused:
        check(chain, key)
    assert type(refused.value) is refusal
