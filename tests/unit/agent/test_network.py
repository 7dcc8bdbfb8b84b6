"""The rules for tenants' traffic, as text; nft itself is asked whether it takes them."""

import re
import subprocess
from pathlib import Path

from hostel.agent.installation import Installation
from hostel.agent.network import host_resolvers, render_rules
from hostel.wire.config import Config, NetworkConfig, SitesConfig

INSTALLATION = Installation(id="1a2b3c4d", uid_base=1_879_048_192, subnet="10.200.0.0/16")
CONFIG = Config(sites=SitesConfig(domain="hostel.localhost"), network=NetworkConfig(allow=("10.1.2.0/24",)))


def test_nft_accepts_the_rules() -> None:
    rules = render_rules(INSTALLATION, CONFIG, ["192.0.2.53"])
    subprocess.run(["nft", "--check", "-f", "-"], input=rules, text=True, check=True)


def test_what_the_operator_allows_comes_before_what_is_refused() -> None:
    rules = render_rules(INSTALLATION, CONFIG, [])
    assert rules.index("ip daddr 10.1.2.0/24 goto limited") < rules.index("169.254.0.0/16")


def test_a_resolver_on_loopback_is_no_resolver_for_sandboxes(tmp_path: Path) -> None:
    stub, upstream = tmp_path / "resolv.conf", tmp_path / "upstream"
    stub.write_text("nameserver 127.0.0.53\noptions edns0\n")
    assert host_resolvers((stub, upstream)) == []
    upstream.write_text("# by hand\nnameserver 2001:db8::53\nnameserver 192.0.2.53\n")
    assert host_resolvers((stub, upstream)) == ["192.0.2.53"]


def test_a_tenant_with_a_plan_of_its_own_goes_by_its_own_number() -> None:
    rules = render_rules(INSTALLATION, CONFIG, ["192.0.2.53"], {16: 512, 17: 40, 18: 1})
    subprocess.run(["nft", "--check", "-f", "-"], input=rules, text=True, check=True)
    assert "elements = { 10.200.0.17 : goto plan_40, 10.200.0.18 : goto plan_1 }" in rules
    assert "ct count over 40" in rules


def test_nothing_leaves_a_sandbox_unlimited() -> None:
    rules = render_rules(INSTALLATION, CONFIG, ["192.0.2.53"])
    chains = dict(re.findall(r"chain (\w+) \{\n(.*?)\n  \}", rules, re.DOTALL))
    for name in ("from_tenant", "input"):
        accepted = [line.strip() for line in chains[name].split("\n") if line.endswith(" accept")]
        assert [line for line in accepted if "policy" not in line] == ["ct state established,related accept"]
