"""hostel.toml: what is written on first start can be read, and what cannot be used is named."""

from pathlib import Path

import pytest

from hostel.wire.config import Config, LimitsConfig, SitesConfig, read_config, render_config
from hostel.wire.errors import ConfigError
from hostel.wire.website import MIB, Limits


def write(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "hostel.toml"
    file.write_text(text)
    return file


def test_the_first_file_holds_the_defaults(tmp_path: Path) -> None:
    environment = {"PIP_INDEX_URL": 'https://index.example/a"b\\c'}
    text = render_config(domain="example.org", http_port=80, https_port=443, environment=environment)
    read = read_config(write(tmp_path, text))
    assert read.sandbox.environment == environment
    assert (read.sites, read.limits, read.network) == (
        SitesConfig(domain="example.org"),
        Config(sites=SitesConfig(domain="x.y")).limits,
        Config(sites=SitesConfig(domain="x.y")).network,
    )


def test_every_key_is_in_the_first_file(tmp_path: Path) -> None:
    import dataclasses

    text = render_config(domain="example.org", http_port=80, https_port=443, environment={})
    config = read_config(write(tmp_path, text))
    for section in dataclasses.fields(config):
        assert f"[{section.name}" in text
        for key in dataclasses.fields(getattr(config, section.name)):
            assert f"\n{key.name} = " in text or key.name == "environment"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "sites: missing"),
        ("[sites]\ndomain = 3", "sites.domain: expected str"),
        ('[sites]\ndomain = "Example.org"', "expected lower case"),
        ('[sites]\ndomain = "nodots"', "separated by dots"),
        ('[sites]\ndomain = "a.b"\n[listen]\nhttp_port = 0', "listen.http_port: expected 1 to 65535"),
        ('[sites]\ndomain = "a.b"\n[listen]\nhttp_port = 443', "listen.https_port: expected another port"),
        ('[sites]\ndomain = "a.b"\n[listen]\naddresses = ["x"]', "'x' does not appear to be"),
        ('[sites]\ndomain = "a.b"\n[network]\npool = "10.0.0.0/24"', "network.pool: expected a network of /16"),
        ('[sites]\ndomain = "a.b"\n[limits]\nsite_cpu = 0.0', "limits.site_cpu: expected more than 0"),
        (
            '[sites]\ndomain = "a.b"\n[limits]\nsite_sleep = "deeply"',
            "site_sleep: expected one of off, hibernate, stop",
        ),
        ('[sites]\ndomain = "a.b"\n[limits]\nsite_sleep_after_s = 0', "site_sleep_after_s: expected more than 0"),
        ('[sites]\ndomain = "a.b"\n[limits]\nsite_sleep_after_s = 0.5', "limits.site_sleep_after_s: expected int"),
        ('[sites]\ndomain = "a.b"\n[limits]\nsite_sleep_after_s = 86401', "site_sleep_after_s: expected 1 to 86400"),
        ('[sites]\ndomain = "a.b"\n[domains]\nresolvers = ["x:1"]', "'x' does not appear to be"),
        (
            '[sites]\ndomain = "a.b"\n[domains]\nresolvers = ["192.0.2.1:0"]',
            "expected an address, or an address and a port",
        ),
        ('[sites]\ndomain = "a.b"\n[domains]\nheld_days = -1.0', "domains.held_days: expected 0 to 3650"),
        ('[sites]\ndomain = "a.b"\n[certificates]\nsites = "x"', "expected one of own, acme, files"),
        ('[sites]\ndomain = "a.b"\n[certificates]\nsites = "acme"', "needs acme_directory, and dns_server or dns_hook"),
        ('[sites]\ndomain = "a.b"\n[certificates]\nsites = "files"', "needs sites_chain_file and sites_key_file"),
        ('[sites]\ndomain = "a.b"\n[certificates]\nacme_directory = "x"', "expected the URL of an ACME directory"),
        ('[sites]\ndomain = "a.b"\n[certificates]\ndns_wait_s = 601.0', "dns_wait_s: expected 0 to 600"),
        ('[sites]\ndomain = "a.b"\ntypo = 1', "unknown key 'typo'"),
        ("[sites", "hostel.toml"),
    ],
)
def test_what_cannot_be_used_is_named(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        read_config(write(tmp_path, text))


def test_a_website_may_never_have_more_than_its_user() -> None:
    plan = LimitsConfig().overridden({"user_memory_mb": 100, "user_pids": 7, "user_cpu": 0.25, "of_another_version": 1})
    assert plan.site() == Limits(memory_bytes=100 * MIB, pids=7, cpu=0.25)
    assert LimitsConfig().site() == Limits()


def test_a_missing_file_says_where_it_comes_from(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="`hostel up` writes it"):
        read_config(tmp_path / "none.toml")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('trusted_proxies = ["everybody"]', "expected addresses or networks"),
        ('trusted_proxies = ["10.0.0.1/8"]', "host bits"),
        ('trusted_proxies = ["0.0.0.0/0"]', "not everybody"),
        ("proxy_http_port = 8081", "expected the addresses"),
        ("proxy_https_port = 70000", "expected 1 to 65535"),
        ('proxy_http_port = 8443\ntrusted_proxies = ["10.0.0.1"]', "differ"),
    ],
)
def test_proxies_that_cannot_be_trusted_are_named(tmp_path, line, words):
    file = tmp_path / "hostel.toml"
    file.write_text(f'[sites]\ndomain = "h.test"\n[listen]\nhttp_port = 8080\nhttps_port = 8443\n{line}\n')
    with pytest.raises(ConfigError, match=words):
        read_config(file)
