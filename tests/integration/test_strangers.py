"""Two users of one platform, and two platforms on one machine, do not meet."""

from collections.abc import Iterator

import pytest

from live import Platform, User, answering, running


@pytest.fixture(scope="module")
def other() -> Iterator[Platform]:
    """A second installation, beside the first, that knows the distribution's Python alone."""
    with running("[python]\ndirectories = []") as other:
        yield other


def test_same_names_on_two_installations_are_two_users(platform: Platform, other: Platform, alice: User) -> None:
    namesake = other.add_user_with_server("alice")
    assert platform.create(alice, "alice", answering("first")).status_code == 201
    assert other.create(namesake, "alice", answering("second")).status_code == 201
    assert platform.get("alice").json()["word"] == "first"
    assert other.get("alice").json()["word"] == "second"
    uids = {each.shell("alice", "id -u").strip() for each in (platform, other)}
    assert len(uids) == 2
    platform.shell("alice", "echo mine > secret")
    assert other.shell("alice", "ls").split() == ["README.txt", "answer.py"]
    other.shell("alice", "kill -9 -1; true", check=False)
    other.delete(namesake, "alice")
    assert platform.get("alice").json()["word"] == "first"
    platform.delete(alice, "alice")


PYTHONS = "for p in /usr/local/bin/python3.*; do rm -rf v; $p -m venv v && v/bin/pip --version && v/bin/python -V; done"


def test_each_python_makes_virtualenvs_that_work(platform: Platform, alice: User) -> None:
    every = platform.shell("alice", "ls -v /opt/python").split()
    names = [every[0], "3.11", every[-1]]  # 3.11 is the distribution's too: the two must not be mixed up
    shown = platform.shell("alice", PYTHONS.replace("3.*", f"3.{{{','.join(name[2:] for name in names)}}}"))
    assert [name for name in names if f"(python {name})" not in shown] == []
    assert [name for name in names if f"Python {name}." not in shown] == []


def test_the_distributions_python_is_enough(other: Platform) -> None:
    other.add_user("frank")
    (name,) = other.shell("frank", "ls /opt/python").split()
    assert f"(python {name})" in other.shell("frank", PYTHONS)
    shown = other.shell("frank", "source virtualenvwrapper.sh; mkvirtualenv v2 >/dev/null; python -V; which python")
    version, path = shown.split("\n")[:2]
    assert version.startswith(f"Python {name}.")
    assert path == "/home/frank/.virtualenvs/v2/bin/python"


def test_a_user_sees_no_other_home_process_or_log(platform: Platform, alice: User, bob: User) -> None:
    platform.create(alice, "alice", answering())
    shell = platform.shell
    assert shell("bob", "ls /home").split() == ["bob"]
    assert "answer.py" not in shell("bob", "cat /proc/[0-9]*/cmdline | tr '\\0' ' '")
    assert "alice" not in shell("bob", "ls -R /var/log /var/sockets /etc /run; cat /etc/passwd /proc/self/mountinfo")
    platform.delete(alice, "alice")


def test_a_user_is_nobody_special(platform: Platform, alice: User) -> None:
    status = platform.shell("alice", "cat /proc/self/status")
    assert "CapEff:\t0000000000000000" in status
    assert "NoNewPrivs:\t1" in status
    assert "Seccomp:\t2" in status
    assert platform.shell("alice", "unshare -Ur id; mount -t tmpfs x /tmp; true").strip() == ""


def test_the_machine_is_shown_as_the_reference_has_it(platform: Platform, alice: User) -> None:
    shell = platform.shell
    assert shell("alice", "id -un; pwd") == "alice\n/home/alice\n"
    assert shell("alice", "echo $PYTHONANYWHERE_SITE $PYTHONANYWHERE_DOMAIN $API_TOKEN $WORKON_HOME").split() == [
        f"www.{platform.domain}:{platform.https_port}",
        platform.domain,
        alice.token,
        "/home/alice/.virtualenvs",
    ]
    assert "git version" in shell("alice", "git --version")
    assert "(python 3." in shell("alice", "pip --version")


def test_a_site_has_the_token_only_if_it_asks(platform: Platform, alice: User) -> None:
    platform.create(alice, "alice", "env > env.txt; exec python3 answer.py")
    shown = platform.shell("alice", "cat env.txt")
    assert "API_TOKEN" not in shown
    assert f"DOMAIN_SOCKET=/var/sockets/alice.{platform.domain}/app.sock" in shown
    assert "FORWARDED_ALLOW_IPS=*" in shown
    platform.delete(alice, "alice")


CONNECT = "python3 -c 'import socket,sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 2)' {} {}"


def test_a_site_of_one_user_is_out_of_reach_of_another(platform: Platform, alice: User, bob: User) -> None:
    """Only through the edge, as every visitor."""
    serve = "exec 3>&1; python3 -m http.server 8000 >/dev/null 2>&1 & exec python3 answer.py"
    platform.create(alice, "alice", serve)
    address = platform.shell("alice", "hostname -I 2>/dev/null || ip -4 -o addr show eth0").split()
    own = next(word.split("/")[0] for word in address if word.startswith("10."))
    platform.shell("alice", CONNECT.format(own, 8000))  # positive control: it does listen
    tried = platform.hostel("shell", "bob", "--", "bash", "-c", CONNECT.format(own, 8000), check=False)
    assert tried.returncode != 0
    platform.delete(alice, "alice")


def test_d22_a_removed_user_leaves_nothing_running_and_the_home_in_backups(platform: Platform) -> None:
    user = platform.add_user_with_server("mallo")
    uid = platform.shell("mallo", "id -u").strip()
    platform.create(user, "mallo", answering())
    platform.hostel("user", "remove", "mallo", "--yes")
    assert platform.get("mallo").status_code == 404
    assert not (platform.paths.homes / "mallo").exists()
    (backup,) = platform.paths.backups.glob("mallo-*Z")
    assert (backup / "answer.py").exists()
    with platform.api(user) as api:
        assert api.get("websites/").status_code == 401
    platform.add_user("mallo")
    assert platform.shell("mallo", "id -u").strip() != uid
