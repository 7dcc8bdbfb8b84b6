"""Reloads under load: nothing is lost, nothing is done twice."""

import asyncio
import random
from collections import Counter

import httpx
import pytest

from live import SITES, Platform, User
from load import Account, Load, under

SERVERS = {
    "uvicorn": ("uvicorn[standard]", "venv/bin/uvicorn --uds $DOMAIN_SOCKET --no-access-log recording:asgi"),
    "gunicorn": (
        "gunicorn uvicorn uvicorn-worker",
        "venv/bin/gunicorn --bind unix:$DOMAIN_SOCKET -k uvicorn_worker.UvicornWorker recording:asgi",
    ),
}
RELOADS = 20


@pytest.fixture(scope="module")
def dora(platform: Platform) -> User:
    user = platform.add_user("dora")
    packages = " ".join(f"'{word}'" for package, _ in SERVERS.values() for word in package.split())
    platform.shell("dora", f"python3 -m venv venv && venv/bin/pip install --quiet {packages}")
    script = (SITES / "recording.py").read_text()
    platform.hostel("shell", "dora", "--", "bash", "-c", "cat > recording.py", stdin=script)
    return user


def recorded(platform: Platform, user: User) -> Counter[str]:
    return Counter(platform.shell(user.name, "cat record.txt").split())


async def reload_again_and_again(platform: Platform, user: User, times: int, seed: int) -> list[int]:
    """The answers' codes. At most half a second lies between one reload and the next."""
    chance, codes = random.Random(seed), []
    headers = {"Authorization": f"Token {user.token}"}
    url = f"{platform.panel_url}api/v1/user/{user.name}/websites/{user.name}.{platform.domain}/reload/"
    async with httpx.AsyncClient(verify=platform.tls(), headers=headers, timeout=90, trust_env=False) as api:
        for _ in range(times):
            codes.append((await api.post(url)).status_code)
            await asyncio.sleep(chance.random() / 2)
    return codes


@pytest.mark.parametrize("server", SERVERS)
def test_no_request_is_lost_or_doubled_through_reloads(platform: Platform, dora: User, server: str) -> None:
    created = platform.create(dora, "dora", SERVERS[server][1])
    assert created.json()["webapp"]["state"] == "running", created.text
    platform.shell("dora", ": > record.txt")

    async def schedule() -> Account:
        async with under(Load(host=f"dora.{platform.domain}", port=platform.http_port, seed=1)) as account:
            codes = await reload_again_and_again(platform, dora, RELOADS, seed=1)
            assert codes == [200] * RELOADS
        return account

    account = asyncio.run(schedule())
    platform.delete(dora, "dora")
    print(f"{server}: {account.total} requests through {RELOADS} reloads, {len(account.failed)} failed")
    assert account.failed == []
    assert account.total > 2_000
    assert recorded(platform, dora) == account.answered
