"""`hostel website list` and `show`, `hostel ca`, `hostel doctor`: data on stdout, words on stderr."""

import json

from hostel.wire.config import render_config
from hostel.wire.paths import Paths

from .conftest import REPORT, AgentStandIn, Run


def write_config(paths: Paths, *, domain: str = "hostel.localhost", http_port: int = 80) -> None:
    paths.config_file.parent.mkdir(parents=True, exist_ok=True)
    paths.config_file.write_text(render_config(domain=domain, http_port=http_port, https_port=8443, environment={}))


def test_the_list_shows_state_and_last_change(hostel: Run, agent: AgentStandIn) -> None:
    lines = hostel("website", "list", "--user", "alice").stdout.decode().splitlines()
    assert lines[0].split() == ["domain", "user", "state", "since", "last", "change"]
    assert "Alice.hostel.localhost" in lines[1]
    assert "2030-01-02 03:04:05 UTC  failed (exited), revision 7" in lines[1]
    assert agent.calls == [("GET", "/websites", {"tenant": "alice"})]


def test_json_is_the_report_itself(hostel: Run, agent: AgentStandIn) -> None:
    assert json.loads(hostel("website", "list", "--json").stdout) == [REPORT]
    assert json.loads(hostel("website", "show", "ALICE.hostel.localhost.", "--json").stdout) == REPORT


def test_show_gives_the_reason_and_no_control_characters(hostel: Run, agent: AgentStandIn) -> None:
    text = hostel("website", "show", "alice.hostel.localhost").stdout.decode()
    assert "exited: The command ended with exit code 3." in text
    assert r"no \x1b[31mmodule" in text
    assert "\x1b" not in text


def test_an_unknown_website_is_an_error_with_a_hint(hostel: Run, agent: AgentStandIn) -> None:
    result = hostel("website", "show", "bob.hostel.localhost")
    assert result.returncode == 1
    assert result.stdout == b""
    assert result.stderr.startswith(b"error: No such website.\nhint: ")


def test_ca_prints_nothing_but_the_path_on_stdout(hostel: Run, paths: Paths) -> None:
    assert b"does not exist yet" in hostel("ca").stderr
    write_config(paths)
    paths.certificates.mkdir(parents=True)
    file = paths.certificates / "ca.pem"
    file.touch()
    result = hostel("ca")
    assert result.stdout.decode() == f"{file}\n"
    for word in ("update-ca-certificates", "Firefox", "Chromium", "REQUESTS_CA_BUNDLE", "curl --cacert"):
        assert word in result.stderr.decode()
    assert "https://www.hostel.localhost:8443/" in result.stderr.decode()


def test_doctor_adds_what_the_agent_found_and_fails_with_it(hostel: Run, agent: AgentStandIn) -> None:
    result = hostel("doctor", "--json")
    checks = {check["name"]: check for check in json.loads(result.stdout)}
    assert result.returncode == 1
    assert checks["mounts"] == {"name": "mounts", "status": "fails", "message": "m", "hint": "h"}
    assert checks["platform"]["message"] == "runs, installation 0a1b2c3d"


def test_doctor_works_without_the_platform_and_names_a_bad_configuration(hostel: Run, paths: Paths) -> None:
    write_config(paths, http_port=8443)
    result = hostel("doctor", "--json")
    checks = {check["name"]: check for check in json.loads(result.stdout)}
    assert result.returncode == 1
    assert checks["configuration"]["status"] == "fails"
    assert "listen.https_port" in checks["configuration"]["message"]
    assert checks["platform"]["status"] == "warning"
    assert "hostel up" in checks["platform"]["hint"]


def test_every_failing_line_of_doctor_has_a_next_step(hostel: Run) -> None:
    checks = json.loads(hostel("doctor", "--json").stdout)
    assert {"nginx", "runc", "nft", "control groups", "IPv4 forwarding", "resolvers", "Python", "disk"} <= {
        check["name"] for check in checks
    }
    assert all(check["hint"] for check in checks if check["status"] != "ok")
