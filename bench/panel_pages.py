"""How long does the panel take for a page that lists 1,000 websites? Over HTTPS, through the edge, as a browser asks.

What is measured is the whole time from request to last byte on a connection that is open already: the edge, the panel's
own work, its database and its one question to the agent. The websites are disabled: they cost the machine nothing, and
the panel and the agent as much as any others.
"""

import statistics
import sys
import time
from pathlib import Path

import httpx

from benchmark import Amount, Benchmark

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from console_tabs import logged_in
from live import Platform, User, running

AIM_MS = 100.0


def main() -> None:
    bench = Benchmark(__doc__, websites=Amount(1_000), rounds=Amount(60))
    asked = bench.options
    with running(f"[limits]\nuser_websites = {asked.websites}\n[panel]\nrequests_per_minute = 100000") as platform:
        user = platform.add_user("bench")
        make_websites(platform, user, asked.websites)
        pages = measure_pages(platform, user, rounds=asked.rounds)
    bench.keep("panel_pages", websites=asked.websites, aim_ms=AIM_MS, pages=pages)


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
    with logged_in(platform, user) as browser:
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


if __name__ == "__main__":
    main()
