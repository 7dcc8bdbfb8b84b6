"""The installation's own authority."""

import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509

from hostel.agent.certificates import ensure_certificates
from hostel.wire.config import Config, PanelConfig, SitesConfig

CONFIG = Config(sites=SitesConfig(domain="hostel.localhost"))
NOW = datetime(2026, 11, 1, tzinfo=UTC)


def make(directory: Path, config: Config = CONFIG, *, days: int = 0) -> bool:
    return ensure_certificates(directory, config, installation="1a2b3c4d", now=NOW + timedelta(days=days))


def load(file: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(file.read_bytes())


def test_openssl_accepts_the_chain_for_each_name_and_no_other(tmp_path: Path) -> None:
    make(tmp_path)
    for name, is_good in (("www.hostel.localhost", True), ("hostel.localhost", True), ("www.example.org", False)):
        checked = subprocess.run(
            [
                *("openssl", "verify", "-attime", str(int(NOW.timestamp())), "-verify_hostname", name),
                *("-CAfile", str(tmp_path / "ca.pem"), str(tmp_path / "sites.pem")),
            ],
            capture_output=True,
            check=False,
        )
        assert (checked.returncode == 0) is is_good, checked.stderr


def test_the_authority_may_name_nothing_but_the_sites_domain(tmp_path: Path) -> None:
    make(tmp_path)
    constraints = load(tmp_path / "ca.pem").extensions.get_extension_for_class(x509.NameConstraints)
    assert constraints.critical
    permitted = [name.value for name in constraints.value.permitted_subtrees or []]
    assert permitted == ["hostel.localhost", "www.hostel.localhost"]


def test_keys_are_for_root_alone(tmp_path: Path) -> None:
    make(tmp_path)
    assert {file.name: oct(file.stat().st_mode & 0o777) for file in tmp_path.glob("*.key")} == {
        "ca.key": "0o600",
        "sites.key": "0o600",
    }


def test_a_leaf_lives_90_days_and_is_renewed_at_two_thirds(tmp_path: Path) -> None:
    assert make(tmp_path) is True
    before, authority = load(tmp_path / "sites.pem"), (tmp_path / "ca.pem").read_bytes()
    assert before.not_valid_after_utc == NOW + timedelta(days=90)
    assert make(tmp_path, days=59) is False
    assert make(tmp_path, days=61) is True
    assert load(tmp_path / "sites.pem").serial_number != before.serial_number
    assert (tmp_path / "ca.pem").read_bytes() == authority


def test_a_panel_elsewhere_is_named_too(tmp_path: Path) -> None:
    config = Config(sites=SitesConfig(domain="hostel.localhost"), panel=PanelConfig(host="panel.example.org"))
    make(tmp_path, config)
    san = load(tmp_path / "sites.pem").extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert "panel.example.org" in san.get_values_for_type(x509.DNSName)


def test_another_sites_domain_gets_another_authority(tmp_path: Path) -> None:
    make(tmp_path)
    assert make(tmp_path, Config(sites=SitesConfig(domain="example.org"))) is True
    san = load(tmp_path / "sites.pem").extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert san.get_values_for_type(x509.DNSName) == ["example.org", "*.example.org"]


def test_a_torn_pair_is_made_anew(tmp_path: Path) -> None:
    make(tmp_path)
    (tmp_path / "sites.key").write_bytes((tmp_path / "ca.key").read_bytes())
    assert make(tmp_path) is True
