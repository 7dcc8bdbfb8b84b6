"""How long does the panel take for a page that lists 1,000 websites? Over HTTPS, through the edge, as a browser asks.

What is measured is the whole time from request to last byte on a connection that is open already: the edge, the panel's
own work, its database and its one question to the agent. The websites are disabled: they cost the machine nothing, and
the panel and the agent as much as any others.
"""

import argparse
import contextlib
import re
import statistics
import sys
import time
from pathlib import Path

import httpx

from machine import describe, write_result

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from live import Platform, User

AIM_MS = 100.0


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--websites", type=int, default=1_000)
    arguments.add_argument("--rounds", type=int, default=60)
    asked = arguments.parse_args()
    machine = describe()
    platform = Platform(settings=f"[limits]\nuser_websites = {asked.websites}\n[panel]\nrequests_per_minute = 100000")
    try:
        platform.up()
        user = platform.add_user("bench")
        make_websites(platform, user, asked.websites)
        pages = measure_pages(platform, user, rounds=asked.rounds)
    finally:
        platform.remove()
    result: dict[str, object] = {"machine": machine, "websites": asked.websites, "aim_ms": AIM_MS, "pages": pages}
    print(f"written to {write_result('panel_pages', result)}")


def make_websites(platform: Platform, user: User, number: int) -> None:
    with platform.api(user) as api:
        for each in range(number):
            body = {
                "domain_name": f"w{each:04}-{user.name}.{platform.domain}",
                "enabled": False,
                "webapp": {"command": "/home/bench/.virtualenvs/venv/bin/uvicorn --uds $DOMAIN_SOCKET site:app"},
            }
            answer = api.post("websites/", json=body)
            assert answer.status_code == 201, answer.text


def measure_pages(platform: Platform, user: User, *, rounds: int) -> dict[str, object]:
    found: dict[str, object] = {}
    with contextlib.closing(logged_in(platform, user)) as browser:
        own = f"{platform.panel_url}user/{user.name}/"
        first = f"{own}websites/w0000-{user.name}.{platform.domain}/"
        paths = {"dashboard": own, "list of websites": f"{own}websites/", "one website": first}
        for name, url in {**paths, "account (for comparison)": f"{own}account/"}.items():
            took_ms = sorted(timed(browser, url) for _ in range(rounds))
            found[name] = {
                "median_ms": round(statistics.median(took_ms), 1),
                "p95_ms": round(took_ms[int(rounds * 0.95)], 1),
                "least_ms": round(took_ms[0], 1),
            }
            print(f"{name}: {found[name]}")
    return found


def timed(browser: httpx.Client, url: str) -> float:
    began = time.perf_counter()
    answer = browser.get(url)
    took_ms = (time.perf_counter() - began) * 1000
    assert answer.status_code == 200, answer
    return took_ms


def logged_in(platform: Platform, user: User) -> httpx.Client:
    browser = platform.visitor(headers={"Referer": platform.panel_url})
    page = browser.get(f"{platform.panel_url}login/")
    token = re.findall(r'name="csrfmiddlewaretoken" value="(\w+)"', page.text)[0]
    form = {"username": user.name, "password": user.password, "csrfmiddlewaretoken": token}
    assert browser.post(f"{platform.panel_url}login/", data=form).status_code == 302
    return browser


if __name__ == "__main__":
    main()
