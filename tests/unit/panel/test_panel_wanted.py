"""What the agent pulls: everything newer than the version it names, deletions among it."""

import io
from dataclasses import replace

import pytest
from django.core.management import call_command
from django.test import Client

from hostel.panel.accounts.models import User
from hostel.panel.wanted.models import advance, current_version
from hostel.panel.wanted.plan import announce_plan
from hostel.wire.codec import parse
from hostel.wire.website import MIB, Version, Wanted

SECRET = "agent-secret"


pytestmark = pytest.mark.usefixtures("agent_secret")


def ask(query="", *, authorization=f"Agent {SECRET}", **headers):
    """As the agent does: over the panel's own socket, without TLS and whatever the host."""
    return Client().get(f"/agent/wanted/{query}", headers={"authorization": authorization, "host": "panel", **headers})


def pull(version=None):
    response = ask(f"?epoch={version.epoch}&revision={version.revision}" if version else "")
    assert response.status_code == 200
    return parse(Wanted, response.json())


def names(tombstones):
    return [tombstone.name for tombstone in tombstones]


def test_the_first_pull_gets_everything(owner, other):
    owner.create()
    wanted = pull()
    assert {tenant.name for tenant in wanted.tenants} == {"xanthippe", "sokrates"}
    (website,) = wanted.websites
    assert (website.domain_name, website.tenant, website.command) == (
        owner.domain,
        "xanthippe",
        "serve $DOMAIN_SOCKET ",
    )
    assert website.version == wanted.version
    assert website.limits.memory_bytes == 512 * MIB
    assert wanted.tenants[0].limits.memory_bytes == 2048 * MIB
    assert (wanted.deleted_tenants, wanted.deleted_websites) == ((), ())


def test_a_later_pull_gets_what_is_newer(owner, other):
    before = pull().version
    nothing = pull(before)
    assert (nothing.version, nothing.tenants, nothing.websites) == (before, (), ())
    owner.create()
    created = pull(before)
    assert [website.domain_name for website in created.websites] == [owner.domain]
    assert created.tenants == ()
    assert created.version.revision == before.revision + 1
    owner.call("DELETE", owner.websites_url + owner.domain)
    deleted = pull(created.version)
    assert names(deleted.deleted_websites) == [owner.domain]
    assert deleted.websites == ()


def test_another_epoch_gets_everything_again(owner):
    owner.create()
    version = pull().version
    old = parse(Wanted, ask(f"?epoch={version.epoch - 1}&revision={version.revision + 99}").json())
    assert [website.domain_name for website in old.websites] == [owner.domain]


def newest(version):
    return f"?epoch={version.epoch}&revision={version.revision}&newest_epoch={version.epoch}&newest_revision="


def test_a_database_that_is_behind_the_agent_begins_a_new_epoch(owner, other):
    """It was restored from a copy: revisions would be handed out twice, and the agent takes the second for stale."""
    owner.create()
    before = pull().version
    same = parse(Wanted, ask(newest(before) + f"{before.revision}").json())
    assert (same.version, same.websites) == (before, ())
    restored = parse(Wanted, ask(newest(before) + f"{before.revision + 7}").json())
    assert restored.version == Version(epoch=before.epoch + 1, revision=before.revision)
    assert [website.version for website in restored.websites] == [restored.version]
    assert {tenant.version.epoch for tenant in restored.tenants} == {before.epoch + 1}
    assert current_version() == restored.version, "it is kept"
    again = parse(Wanted, ask(newest(restored.version) + f"{before.revision}").json())
    assert (again.version, again.websites) == (restored.version, ())


def test_a_deletion_of_before_a_restore_does_not_hit_what_was_made_since(owner):
    owner.create()
    owner.call("DELETE", owner.websites_url + owner.domain)
    before = pull().version
    made_since = Version(epoch=before.epoch, revision=before.revision + 1)
    wanted = parse(Wanted, ask(newest(before) + f"{made_since.revision}").json())
    assert wanted.version.epoch > before.epoch
    (tombstone,) = wanted.deleted_websites
    assert tombstone.version < made_since
    owner.create()
    owner.call("DELETE", owner.websites_url + owner.domain)
    (tombstone,) = pull(wanted.version).deleted_websites
    assert tombstone.version > made_since


def test_before_a_run_the_database_is_brought_up_to_date_and_compared(owner, agent, settings):
    announce_plan(settings.HOSTEL_CONFIG.limits)
    before = current_version()
    call_command("prepare", f"--newest={before.epoch}.{before.revision}", stdout=io.StringIO())
    assert current_version() == before
    call_command("prepare", f"--newest={before.epoch + 3}.1", stdout=io.StringIO())
    assert current_version() == Version(epoch=before.epoch + 4, revision=before.revision)


def test_changed_limits_in_the_configuration_reach_those_who_are_here_already(owner, other, settings):
    owner.create()
    call_command("prepare", "--newest=0.0", stdout=io.StringIO())
    before = pull().version
    call_command("prepare", "--newest=0.0", stdout=io.StringIO())
    assert pull(before).tenants == (), "nothing has changed"
    limits = replace(settings.HOSTEL_CONFIG.limits, user_memory_mb=300, site_pids=99)
    settings.HOSTEL_CONFIG = replace(settings.HOSTEL_CONFIG, limits=limits)
    call_command("prepare", "--newest=0.0", stdout=io.StringIO())
    wanted = pull(before)
    assert {tenant.limits.memory_bytes for tenant in wanted.tenants} == {300 * MIB}
    assert len(wanted.tenants) == 2
    (website,) = wanted.websites
    assert (website.limits.memory_bytes, website.limits.pids) == (300 * MIB, 99), "never more than its user may have"


def test_limits_of_one_user_are_another_version_of_the_user_and_the_websites(owner, other):
    owner.create()
    other.create()
    before = pull().version
    owner.user.change_limits({"user_cpu": 3.5, "site_memory_mb": 1024, "key_of_another_version": 7})
    wanted = pull(before)
    assert [(tenant.name, tenant.limits.cpu) for tenant in wanted.tenants] == [("xanthippe", 3.5)]
    assert [website.limits.memory_bytes for website in wanted.websites] == [1024 * MIB]
    owner.user.change_limits({"user_cpu": None})
    assert pull(wanted.version).tenants[0].limits.cpu == 2.0
    assert owner.user.own_limits["site_memory_mb"] == 1024


def test_a_domain_used_anew_shows_its_deletion_and_its_new_life(owner):
    owner.create(command="one")
    before = pull().version
    owner.call("DELETE", owner.websites_url + owner.domain)
    owner.create(command="two")
    wanted = pull(before)
    assert names(wanted.deleted_websites) == [owner.domain]
    assert [website.command for website in wanted.websites] == ["two"]
    assert wanted.deleted_websites[0].version < wanted.websites[0].version


def test_a_removed_user_leaves_tombstones_for_account_and_websites(owner, other):
    owner.create()
    before = pull().version
    User.objects.named("xanthippe").remove()
    wanted = pull(before)
    assert names(wanted.deleted_websites) == [owner.domain]
    assert names(wanted.deleted_tenants) == ["xanthippe"]
    User.objects.add("xanthippe", password="another person")
    again = pull(before)
    assert [tenant.name for tenant in again.tenants] == ["xanthippe"]
    assert again.deleted_tenants[0].version < again.tenants[0].version


def test_a_pull_never_holds_a_token_and_forgets_one_that_is_gone(owner, agent_away):
    assert pull().tenants[0].api_token is None
    owner.log_in().post("/user/xanthippe/account/api_token/new_token/", secure=True)
    assert pull().tenants[0].api_token == "", "the agent holds a token that is no longer valid"
    owner.user.drop_token()
    assert pull().tenants[0].api_token == ""


@pytest.mark.parametrize("authorization", ["", "Agent", "Agent ", "Agent wrong", f"Token {SECRET}", SECRET, "Agent é"])
def test_without_the_secret_there_is_no_such_page(owner, authorization):
    assert ask(authorization=authorization).status_code == 404


def test_without_a_secret_file_nothing_opens(owner, agent_secret):
    agent_secret.write_text("")
    assert ask(authorization="Agent ").status_code == 404
    agent_secret.unlink()
    assert ask(authorization="Agent ").status_code == 404


def test_a_users_token_does_not_open_it(owner):
    assert ask(authorization=f"Token {owner.token}").status_code == 404


def test_nonsense_is_refused(owner):
    response = ask("?epoch=x&revision=1")
    assert (response.status_code, response.json()["code"]) == (400, "malformed_message")


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
def test_a_version_is_only_counted_within_its_change():
    with pytest.raises(RuntimeError, match="transaction"):
        advance()
