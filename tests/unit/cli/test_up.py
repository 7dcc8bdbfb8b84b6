"""`hostel up` before it becomes the supervisor: configuration, prerequisites, and what each refusal says."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from hostel.cli import prerequisites
from hostel.cli.errors import CommandFailed
from hostel.cli.ports import Holder, find_holders, is_own_nginx
from hostel.cli.prerequisites import Part, Status
from hostel.cli.runc_advisories import open_advisories, parse_release
from hostel.cli.up import ConfigDiffers, Wishes, ensure_config, parse_environment
from hostel.wire.errors import ConfigError
from hostel.wire.paths import Paths

from .conftest import Run

NOTHING = Wishes(None, None, None, {})


# -- configuration


def test_the_first_start_writes_what_was_asked_for(paths: Paths) -> None:
    wishes = Wishes("Example.ORG", 8080, 8443, {"PIP_INDEX_URL": 'https://x/"quoted"'})
    config = ensure_config(paths.config_file, wishes)
    assert config.sites.domain == "example.org"
    assert (config.listen.http_port, config.listen.https_port) == (8080, 8443)
    assert config.sandbox.environment == {"PIP_INDEX_URL": 'https://x/"quoted"'}
    assert "# Websites appear at" in paths.config_file.read_text()


def test_without_flags_the_defaults_are_written_and_any_file_is_accepted(paths: Paths) -> None:
    config = ensure_config(paths.config_file, NOTHING)
    assert (config.sites.domain, config.listen.http_port, config.listen.https_port) == ("hostel.localhost", 80, 443)
    paths.config_file.write_text('[sites]\ndomain = "else.org"\n')
    assert ensure_config(paths.config_file, NOTHING).sites.domain == "else.org"
    assert paths.config_file.read_text() == '[sites]\ndomain = "else.org"\n'


@pytest.mark.parametrize(
    ("wishes", "message"),
    [
        (Wishes("b.org", None, None, {}), "says sites.domain = hostel.localhost, the command line says b.org"),
        (Wishes(None, 81, None, {}), "says listen.http_port = 80, the command line says 81"),
        (Wishes(None, None, 8443, {}), "says listen.https_port = 443, the command line says 8443"),
        (Wishes(None, None, None, {"A": "b"}), "says sandbox.environment.A = nothing, the command line says b"),
    ],
)
def test_a_flag_that_differs_from_the_file_names_file_key_and_both_values(
    paths: Paths, wishes: Wishes, message: str
) -> None:
    ensure_config(paths.config_file, NOTHING)
    with pytest.raises(ConfigDiffers) as raised:
        ensure_config(paths.config_file, wishes)
    assert str(raised.value) == f"{paths.config_file} {message}"
    assert str(paths.config_file) in raised.value.hint


def test_a_first_configuration_that_cannot_be_leaves_no_file(paths: Paths) -> None:
    with pytest.raises(ConfigError, match=r"listen\.https_port"):
        ensure_config(paths.config_file, Wishes(None, 8080, 8080, {}))
    assert not paths.config_file.exists()


@pytest.mark.parametrize("pair", ["A", "=b", "A-B=c", "A=b\nc"])
def test_a_variable_must_be_key_and_value(pair: str) -> None:
    with pytest.raises(CommandFailed, match="KEY=VALUE"):
        parse_environment([pair])


def test_a_variables_value_may_hold_equal_signs_and_be_empty() -> None:
    assert parse_environment(["A=b=c", "D="]) == {"A": "b=c", "D": ""}


# -- refusals, as the operator sees them


def test_a_root_too_long_for_sockets_is_refused_before_anything_is_written(hostel: Run, root: Path) -> None:
    deep = root / ("x" * 60)
    result = hostel("up", "--root", str(deep))
    assert result.returncode == 1
    assert b"is too long: unix sockets below it would need" in result.stderr
    assert b"hint: choose a --root of at most 64 bytes" in result.stderr
    assert not deep.exists()


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def test_a_taken_port_is_refused_with_the_name_of_its_holder(hostel: Run, taken_port: int) -> None:
    result = hostel("up", "--http-port", str(taken_port), "--https-port", "1")
    assert result.returncode == 1
    text = result.stderr.decode()
    assert f"error: HTTP port: {taken_port} is taken by {Path('/proc/self/comm').read_text().strip()}" in text
    assert f"(pid {os.getpid()})" in text
    assert "hint: stop it, or choose another port: --http-port or " in text


def test_a_root_that_nginx_cannot_enter_is_refused(paths: Paths) -> None:
    paths.root.chmod(0o700)
    check = prerequisites.check_root_is_reachable(Paths(paths.root / "inside"))
    assert check.status is Status.FAILS
    assert f"may not enter {paths.root} (mode 700)" in check.message
    paths.root.chmod(0o755)
    assert prerequisites.check_root_is_reachable(paths).status is Status.OK


# -- prerequisites


def test_missing_parts_are_named_with_their_packages_together() -> None:
    parts = [Part("one", "package-one", ("no-such-program",)), Part("two", "package-two", ("/no/such/*.so",))]
    parts.append(Part("three", "package-three", ("sh",)))
    checks = prerequisites.check_parts(parts)
    assert [check.status for check in checks] == [Status.FAILS, Status.FAILS, Status.OK]
    assert checks[0].hint.endswith("apt-get install --no-install-recommends package-one package-two")
    assert "make install" in checks[0].hint


def test_the_kernel_must_know_nosymfollow() -> None:
    assert prerequisites.check_kernel("5.9.16-generic").status is Status.FAILS
    for release in ("5.10.0-28-amd64", "6.1.0", "10.0"):
        assert prerequisites.check_kernel(release).status is Status.OK


def test_d23_a_kernel_that_waits_for_a_reboot_is_a_warning(tmp_path: Path) -> None:
    flag = tmp_path / "reboot-required"
    for release in ("6.1.0-9-amd64", "6.1.0-28-amd64", "6.1.0-30-cloud-amd64x"):
        (tmp_path / f"vmlinuz-{release}").touch()
    old = prerequisites.check_kernel_is_newest("6.1.0-9-amd64", tmp_path, flag)
    assert (old.status, old.message) == (Status.WARNING, "6.1.0-28-amd64 is installed, 6.1.0-9-amd64 runs")
    assert prerequisites.check_kernel_is_newest("6.1.0-28-amd64", tmp_path, flag).status is Status.OK
    flag.touch()
    due = prerequisites.check_kernel_is_newest("6.1.0-28-amd64", tmp_path, flag)
    assert due.status is Status.WARNING
    assert "a reboot is due" in due.message


def test_d9_a_program_that_gets_core_dumps_is_a_warning() -> None:
    assert prerequisites.check_core_pattern("core.%p").status is Status.OK
    piped = prerequisites.check_core_pattern("|/usr/lib/systemd/systemd-coredump %P %u")
    assert piped.status is Status.WARNING
    assert "goes to /usr/lib/systemd/systemd-coredump, whatever" in piped.message


def test_control_groups_of_both_versions_are_read(tmp_path: Path) -> None:
    version_1 = "30 20 0:26 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n31 20 0:27 / /x rw - cgroup2 c rw\n"
    assert prerequisites.read_cgroups(version_1) == (1, {"rw", "memory"})
    (tmp_path / "cgroup.controllers").write_text("cpu memory pids\n")
    assert prerequisites.read_cgroups(f"31 20 0:27 / {tmp_path} rw - cgroup2 none rw\n") == (
        2,
        {"cpu", "memory", "pids"},
    )


def test_holders_of_a_port_are_found_without_another_program(taken_port: int, paths: Paths) -> None:
    holders = find_holders(taken_port)
    assert [holder.pid for holder in holders] == [os.getpid()]
    assert not is_own_nginx(holders[0], paths)


def test_only_an_nginx_with_files_below_the_root_is_this_installations_own(paths: Paths) -> None:
    paths.log.mkdir(parents=True)
    with (paths.log / "edge.log").open("w"):
        assert is_own_nginx(Holder(os.getpid(), "nginx"), paths)
        assert not is_own_nginx(Holder(os.getpid(), "apache2"), paths)
    assert not is_own_nginx(Holder(os.getpid(), "nginx"), paths)


def test_interpreters_are_those_that_sandboxes_will_have(tmp_path: Path) -> None:
    for name in ("3.9/bin/python3.9", "3.14/bin/python3.14", "3.14/bin/python3.14-config"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert {"3.9", "3.14"} <= set(prerequisites.find_interpreters([f"{tmp_path}/*"]))


# -- runc


DEBIAN_12 = "runc version 1.1.5+ds1\ncommit: 1.1.5+ds1-1+deb12u1\nspec: 1.0.2-dev\n"
OF_2025 = ["CVE-2025-31133", "CVE-2025-52565", "CVE-2025-52881"]


def test_d19_debian_12s_runc_lacks_the_fixes_since_its_changelog_ends() -> None:
    release = parse_release(DEBIAN_12)
    assert release == (1, 1, 5)
    found = open_advisories(release, "  * CVE-2024-21626: several container breakouts\n")
    assert found == ["CVE-2024-45310", *OF_2025, "CVE-2026-41579"]


@pytest.mark.parametrize(
    ("release", "expected"),
    [
        ((1, 2, 7), [*OF_2025, "CVE-2026-41579"]),
        ((1, 2, 8), ["CVE-2026-41579"]),
        ((1, 3, 3), ["CVE-2026-41579"]),
        ((1, 3, 6), []),
        ((1, 4, 0), ["CVE-2026-41579"]),
        ((1, 4, 3), []),
        ((1, 5, 0), []),
        ((2, 0, 0), []),
    ],
)
def test_d19_fixes_are_known_by_branch(release: tuple[int, int, int], expected: list[str]) -> None:
    assert open_advisories(release, "") == expected
