"""A DNS and a certificate authority of the tests' own, and a platform that asks them: Debian's pebble and its DNS."""

import contextlib
import subprocess
import time
from collections.abc import Iterator

import httpx
import pytest

from live import Platform, User, free_port

START_DEADLINE_S = 20.0


class FakeDns:
    """pebble-challtestsrv: a real DNS server that says what it is told to."""

    def __init__(self) -> None:
        self.port, self._management = free_port(), free_port()
        listen = ("-dns01", f"127.0.0.1:{self.port}", "-management", f"127.0.0.1:{self._management}")
        others = ("-http01", "", "-https01", "", "-tlsalpn01", "", "-doh", "")
        self._process = subprocess.Popen(
            ["pebble-challtestsrv", *listen, *others[:6], "-defaultIPv6", "", "-defaultIPv4", "127.0.0.1"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_for_answer(f"http://127.0.0.1:{self._management}/")

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def tell(self, verb: str, **about: object) -> None:
        answer = httpx.post(f"http://127.0.0.1:{self._management}/{verb}", json=about, trust_env=False)
        assert answer.status_code == 200, answer.text

    def set_cname(self, name: str, target: str) -> None:
        self.tell("set-cname", host=f"{name}.", target=f"{target}.")

    def set_txt(self, name: str, value: str) -> None:
        self.tell("set-txt", host=f"{name}.", value=value)

    def set_addresses(self, name: str, *addresses: str) -> None:
        self.tell("add-a", host=f"{name}.", addresses=list(addresses))

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(10)


def wait_for_answer(url: str) -> None:
    """Until something answers there, whatever it says."""
    give_up = time.monotonic() + START_DEADLINE_S
    while True:
        with contextlib.suppress(httpx.TransportError), httpx.Client(verify=False, trust_env=False) as client:
            client.get(url)
            return
        assert time.monotonic() < give_up, f"nothing answers at {url}"
        time.sleep(0.02)


@pytest.fixture(scope="session")
def fake_dns() -> Iterator[FakeDns]:
    dns = FakeDns()
    yield dns
    dns.close()


@pytest.fixture(scope="session")
def certified(no_leftovers: None, fake_dns: FakeDns) -> Iterator[Platform]:
    """A platform that asks `fake_dns`."""
    platform = Platform(settings=f'[domains]\nresolvers = ["{fake_dns.address}"]')
    try:
        platform.up()
        yield platform
    finally:
        platform.remove()


@pytest.fixture(scope="session")
def dora(certified: Platform) -> User:
    return certified.add_user_with_server("dora")


@pytest.fixture(scope="session")
def emil(certified: Platform) -> User:
    return certified.add_user_with_server("emil")
