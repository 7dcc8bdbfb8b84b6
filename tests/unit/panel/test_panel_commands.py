"""Root's commands, and the settings they run under."""

import io
import json
import os
import re
import subprocess
import sys

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.core.management.base import SystemCheckError
from django.db import OperationalError, connection

from hostel.panel.accounts.models import ApiToken, User
from hostel.panel.wanted.models import Tombstone
from hostel.panel.websites.models import Website

PASSWORD = "correct horse battery"


def run(*argv, stdin="", monkeypatch=None):
    out, err = io.StringIO(), io.StringIO()
    if monkeypatch:
        monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
    call_command(*argv, stdout=out, stderr=err)
    return out.getvalue(), err.getvalue()


def test_a_user_is_added_with_a_password_made_up_and_shown_once(db, agent):
    out, err = run("user", "add", "xanthippe")
    assert re.fullmatch(r"Added user xanthippe\.\nPassword, shown only now: (\w{5}-){3}\w{5}\n", out)
    assert err == ""
    user = User.objects.named("xanthippe")
    assert user.check_password(out.split()[-1])
    assert agent.tenants["xanthippe"].version.revision == user.revision


def test_a_user_is_added_with_a_password_from_stdin(db, agent, monkeypatch):
    out, err = run("user", "add", "xanthippe", "--password-stdin", stdin="secret\n", monkeypatch=monkeypatch)
    assert out == "Added user xanthippe.\n"
    assert "a weak password" in err
    assert User.objects.named("xanthippe").check_password("secret")


def test_a_password_is_set(owner, monkeypatch):
    out, err = run("user", "password", "xanthippe", "--password-stdin", stdin="a new long one", monkeypatch=monkeypatch)
    assert (out, err) == ("Set the password of xanthippe; all browsers were logged out.\n", "")
    owner.user.refresh_from_db()
    assert owner.user.check_password("a new long one")


def test_users_are_listed_as_a_table_and_as_json(owner, other):
    owner.create()
    ApiToken.objects.filter(user=other.user).delete()
    table, _ = run("user", "list")
    assert [line.split()[:3] for line in table.splitlines()] == [
        ["NAME", "WEBSITES", "TOKEN"],
        ["sokrates", "0", "no"],
        ["xanthippe", "1", "yes"],
    ]
    rows = json.loads(run("user", "list", "--json")[0])
    assert [(row["name"], row["websites"], row["has_token"], row["disk_mb"]) for row in rows] == [
        ("sokrates", 0, False, 300),
        ("xanthippe", 1, True, 300),
    ]


def test_without_the_agent_users_are_listed_without_what_it_knows(owner, agent_away):
    out, err = run("user", "list")
    assert "?/5120 MiB" in out
    assert "The agent does not answer" in err


def test_limits_are_shown_and_changed_for_one_user(owner, other, agent):
    owner.create()
    out, _ = run("user", "limits", "xanthippe")
    assert ["memory_mb", "2048"] in [line.split() for line in out.splitlines()]
    out, err = run("user", "limits", "xanthippe", "memory_mb=4096", "websites=50", "site_cpu=0.5")
    lines = [line.split() for line in out.splitlines()]
    assert ["memory_mb", "4096", "instead", "of", "2048"] in lines
    assert err == ""
    told = agent.tenants["xanthippe"]
    assert told.limits.memory_bytes == 4096 << 20
    assert agent.websites[owner.domain].limits.cpu == 0.5
    rows = json.loads(run("user", "limits", "xanthippe", "memory_mb=default", "--json")[0])
    by_name = {row["limit"]: (row["value"], row["default"], row["is_own"]) for row in rows}
    assert (by_name["memory_mb"], by_name["websites"]) == ((2048, 2048, False), (50, 20, True))
    assert agent.tenants["xanthippe"].version > told.version
    assert "instead" not in run("user", "limits", "sokrates")[0]


def test_without_the_agent_limits_hold_later(owner, agent_away):
    _, err = run("user", "limits", "xanthippe", "pids=9")
    assert "The limits will hold when the agent has seen this." in err
    owner.user.refresh_from_db()
    assert owner.user.plan.user_pids == 9


def test_a_suspended_user_is_refused_everywhere_until_resumed(owner, other, agent):
    browser = owner.log_in()
    out, err = run("user", "suspend", "xanthippe", "--reason", "unpaid")
    assert (out.split(":")[0], err) == ("Suspended xanthippe", "")
    assert agent.tenants["xanthippe"].suspended
    refused = owner.call("GET", owner.websites_url)
    assert (refused.status_code, refused.headers["Hostel-Error-Code"]) == (401, "account_suspended")
    assert refused.json()["detail"].startswith("This account is suspended")
    assert browser.get("/user/xanthippe/", secure=True).status_code == 302, "sessions have ended"
    for password, words in ((PASSWORD, "This account is suspended"), ("wrong", "do not match")):
        tried = browser.post("/login/", {"username": "xanthippe", "password": password}, secure=True)
        assert words in tried.content.decode()
    (row,) = [row for row in json.loads(run("user", "list", "--json")[0]) if row["name"] == "xanthippe"]
    assert row["suspended_reason"] == "unpaid"
    assert "unpaid" not in refused.content.decode() + tried.content.decode()
    assert other.call("GET", other.websites_url).status_code == 200
    suspended = agent.tenants["xanthippe"]
    assert run("user", "suspend", "xanthippe")[1] == "xanthippe was suspended already.\n"
    assert agent.tenants["xanthippe"] == suspended
    run("user", "resume", "xanthippe")
    assert (agent.tenants["xanthippe"].suspended, agent.tenants["xanthippe"].version > suspended.version) == (
        False,
        True,
    )
    assert owner.call("GET", owner.websites_url).status_code == 200
    assert run("user", "resume", "xanthippe")[1] == "xanthippe was not suspended.\n"


def test_a_removed_user_takes_websites_and_token_along_and_frees_the_names(owner, other, agent):
    owner.create()
    other.create()
    out, _ = run("user", "remove", "xanthippe")
    assert out == "Removed user xanthippe with 1 website.\n"
    assert [tombstone.name for tombstone in agent.deleted] == [owner.domain, "xanthippe"]
    assert set(agent.websites) == {other.domain}
    assert Tombstone.objects.count() == 2
    assert owner.call("GET", owner.websites_url).status_code == 401
    run("user", "add", "xanthippe")
    assert Website.objects.filter(owner__username="xanthippe").count() == 0
    assert agent.tenants["xanthippe"].version > agent.deleted[-1].version


def test_without_the_agent_users_are_kept_for_later_and_that_is_said(owner, agent_away):
    _, err = run("user", "add", "sokrates")
    assert "The agent does not answer" in err
    _, err = run("user", "remove", "xanthippe")
    assert "What still runs will be stopped" in err
    assert not User.objects.filter(username="xanthippe").exists()


def test_a_token_is_printed_alone_and_works_in_place_of_the_old_one(owner, agent):
    out, err = run("token", "create", "xanthippe")
    assert re.fullmatch(r"[0-9a-f]{40}\n", out)
    assert err == ""
    assert agent.tenants["xanthippe"].api_token == out.strip()
    assert owner.call("GET", owner.websites_url).status_code == 401
    owner.token = out.strip()
    assert owner.call("GET", owner.websites_url).status_code == 200


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (("user", "add", "xanthippe"), "There is a user 'xanthippe' already."),
        (("user", "add", "Sokrates"), "lower-case letters and digits only"),
        (("user", "add", "www"), "reserved"),
        (("user", "add", "x" * 31), "at most 30 characters"),
        (("user", "remove", "nobody"), "There is no user 'nobody'."),
        (("user", "password", "nobody"), "There is no user 'nobody'."),
        (("token", "create", "nobody"), "There is no user 'nobody'."),
        (("user", "limits", "nobody"), "There is no user 'nobody'."),
        (("user", "limits", "xanthippe", "memory=1"), "memory: there is no such limit; there are site_memory_mb, "),
        (("user", "limits", "xanthippe", "memory_mb"), "memory_mb: expected a whole number above 0, or the word"),
        (("user", "limits", "xanthippe", "memory_mb=1.5"), "memory_mb: expected a whole number above 0"),
        (("user", "limits", "xanthippe", "cpu=nan"), "cpu: expected a number above 0"),
        (("user", "limits", "xanthippe", "pids=-1"), "pids: expected a whole number above 0"),
        (("user", "limits", "xanthippe", "site_sleep=deeply"), "site_sleep: expected one of off, hibernate, stop"),
        (("user", "limits", "xanthippe", "site_sleep_after_s=0"), "site_sleep_after_s: expected 1 to 86400"),
        (("user", "limits", "xanthippe", "site_sleep_after_s=-5"), "site_sleep_after_s: expected 1 to 86400"),
        (
            ("user", "limits", "xanthippe", "site_sleep_after_s=86401"),
            "site_sleep_after_s: expected 1 to 86400 seconds",
        ),
        (("user", "limits", "xanthippe", "site_sleep_after_s=soon"), "site_sleep_after_s: expected 1 to 86400"),
        (("user", "add", "platon", "--password-stdin"), "The password on stdin is empty."),
    ],
)
def test_what_cannot_be_done_is_said_in_a_sentence(owner, argv, words, monkeypatch):
    with pytest.raises(CommandError, match=re.escape(words)):
        run(*argv, monkeypatch=monkeypatch)
    assert User.objects.count() == 1


def test_the_panels_own_name_is_no_users(db, settings):
    settings.HOSTEL_CONFIG = _with_host("eu.hostel.localhost")
    with pytest.raises(CommandError, match="the panel's own"):
        run("user", "add", "eu")


def test_trouble_with_the_database_is_a_sentence(db, monkeypatch):
    def fail(name):
        raise OperationalError("database or disk is full")

    monkeypatch.setattr(User.objects, "named", fail)
    with pytest.raises(CommandError, match="The disk is full"):
        run("token", "create", "xanthippe")


def as_process(*argv, root):
    environment = {**os.environ, "HOSTEL_ROOT": str(root)}
    command = [sys.executable, "-m", "hostel.panel", *argv]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30, check=False)


def test_as_a_process_it_migrates_and_ends_with_1_and_one_line_on_trouble(tmp_path):
    config_file = tmp_path / "etc/hostel/hostel.toml"
    absent = as_process("user", "list", root=tmp_path)
    assert absent.returncode == 1
    assert absent.stderr.splitlines()[0] == f"{config_file} does not exist."
    config_file.parent.mkdir(parents=True)
    config_file.write_text('[sites]\ndomain = "Hostel.localhost"\n')
    bad = as_process("user", "list", root=tmp_path)
    assert bad.returncode == 1
    assert bad.stderr == f"{config_file}: sites.domain: expected lower case without a trailing dot\n"
    config_file.write_text(settings.HOSTEL_PATHS.config_file.read_text())
    migrated = as_process("migrate", root=tmp_path)
    assert migrated.returncode == 0, migrated.stderr
    added = as_process("user", "add", "xanthippe", root=tmp_path)
    assert (added.returncode, added.stderr.splitlines()) == (
        0,
        [
            "The agent does not answer; what was asked for is kept and will be carried out when it is back.",
            "The user's home will be there when the agent has seen this.",
        ],
    ), "no line of a log"
    key = tmp_path / "var/lib/hostel/panel/secret_key"
    assert key.stat().st_mode & 0o777 == 0o600
    token = as_process("token", "create", "xanthippe", root=tmp_path)
    assert re.fullmatch("[0-9a-f]{40}\n", token.stdout)
    assert token.stderr.startswith("The agent did not answer: "), "no line of a log here either"
    unknown = as_process("token", "create", "nobody", root=tmp_path)
    assert (unknown.returncode, unknown.stdout, unknown.stderr) == (1, "", "error: There is no user 'nobody'.\n")


def test_i6_the_database_is_in_wal_mode_and_syncs_fully(db):
    with connection.cursor() as cursor:
        assert cursor.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert cursor.execute("PRAGMA synchronous").fetchone() == (2,)
        assert cursor.execute("PRAGMA busy_timeout").fetchone() == (5_000,)


def test_models_and_migrations_agree(db):
    call_command("makemigrations", "--check", "--dry-run", stdout=io.StringIO())


def test_djangos_deployment_checks_are_clean(agent_secret):
    call_command("check", "--deploy", "--fail-level", "INFO", stdout=io.StringIO(), stderr=io.StringIO())


def test_the_description_of_the_api_is_valid_without_warnings():
    call_command("spectacular", "--validate", "--fail-on-warn", stdout=io.StringIO())


def test_checks_name_the_key_and_the_way_out(settings, limit):
    limit(requests_per_minute=0)
    with pytest.raises(SystemCheckError, match=r"hostel\.E002.*panel\.requests_per_minute is 0"):
        call_command("check")
    limit(requests_per_minute=1, host="eu.hostel.localhost")
    with pytest.raises(SystemCheckError, match=r"hostel\.W002"):
        call_command("check", "--fail-level", "WARNING")


def _with_host(host):
    from dataclasses import replace

    return replace(settings.HOSTEL_CONFIG, panel=replace(settings.HOSTEL_CONFIG.panel, host=host))
