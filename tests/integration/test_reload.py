"""Reloads under load: nothing is lost, nothing is done twice. `bench/soak.py` does so with more servers, for longer."""

import asyncio
from collections import Counter

import pytest

from live import Platform, User
from load import Account, Load, under
from reloads import reload_again_and_again
from servers import SERVERS, install

RELOADS = 20


@pytest.fixture(scope="module")
def dora(platform: Platform) -> User:
    user = platform.add_user("dora")
    install(platform, user)
    return user


def recorded(platform: Platform, user: User) -> Counter[str]:
    return Counter(platform.shell(user.name, "cat record.txt").split())


@pytest.mark.parametrize("server", ["uvicorn", "gunicorn"])
def test_no_request_is_lost_or_doubled_through_reloads(platform: Platform, dora: User, server: str) -> None:
    created = platform.create(dora, "dora", SERVERS[server].command)
    assert created.json()["webapp"]["state"] == "running", created.text
    platform.shell("dora", ": > record.txt")

    async def schedule() -> Account:
        async with under(Load(host=f"dora.{platform.domain}", port=platform.http_port, seed=1)) as account:
            codes = await reload_again_and_again(platform, dora, "dora", RELOADS, seed=1)
            assert codes == [200] * RELOADS
        return account

    account = asyncio.run(schedule())
    platform.delete(dora, "dora")
    print(f"{server}: {account.total} requests through {RELOADS} reloads, {len(account.failed)} failed")
    assert account.failed == []
    assert account.total > 2_000
    assert recorded(platform, dora) == account.answered
