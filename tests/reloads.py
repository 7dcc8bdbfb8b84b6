"""Reloads through the API, one after another."""

import asyncio
import random

import httpx

from live import Platform, User

PAUSE_LIMIT_S = 0.5


async def reload_again_and_again(platform: Platform, user: User, label: str, times: int, *, seed: int) -> list[int]:
    """The answers' codes. At most half a second lies between one reload and the next."""
    chance, codes = random.Random(seed), []
    headers = {"Authorization": f"Token {user.token}"}
    url = f"{platform.panel_url}api/v1/user/{user.name}/websites/{label}.{platform.domain}/reload/"
    async with httpx.AsyncClient(verify=platform.tls(), headers=headers, timeout=90, trust_env=False) as api:
        for _ in range(times):
            codes.append((await api.post(url)).status_code)
            await asyncio.sleep(chance.random() * PAUSE_LIMIT_S)
    return codes
