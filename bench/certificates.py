"""What do 500 certificates cost, compared with one: TLS handshakes a second, nginx's processor time for each, memory?

Full handshakes (TLS 1.3, P-256, nothing resumed) with one edge that has one domain's certificate and one that has 500,
in turn, several rounds in one run, the names at random. The clients are Python's and take most of the machine: the
processor time that nginx's workers take for a handshake says more than how many there are in a second.
"""

import multiprocessing
import os
import random
import socket
import ssl
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmark import Amount, Benchmark
from machine import cpu_s, pss_bytes

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
sys.path.insert(0, str(Path(__file__).parents[1] / "tests/contract"))
from edge_fixtures import RunningEdge, make_certificate

AIM = 0.9  # of the handshakes with one certificate


@dataclass
class Measured:
    certificates: int
    a_second: list[float] = field(default_factory=list)
    cpu_ms: list[float] = field(default_factory=list)  # of nginx's workers, for each handshake
    memory_kib: int = 0  # proportional, of master and workers together, at the end
    start_s: float = 0.0

    def shown(self) -> dict[str, object]:
        return {
            "certificates": self.certificates,
            "handshakes_a_second": round(statistics.median(self.a_second), 1),
            "cpu_ms_each": round(statistics.median(self.cpu_ms), 4),
            "memory_kib": self.memory_kib,
            "start_s": round(self.start_s, 2),
            "rounds": [round(rate, 1) for rate in self.a_second],
        }


def names(count: int) -> list[str]:
    return [f"www{number}.example.org" for number in range(count)]


@contextmanager
def edge_with(count: int) -> Iterator[tuple[RunningEdge, float]]:
    edge = RunningEdge(settings={"connections_per_address = 1024": "connections_per_address = 0"})
    directory = edge.paths.certificates
    for name in names(count):
        make_certificate(directory, name, name)
        key = directory / f"{name}.key"
        with (directory / f"{name}.pem").open("ab") as bundle:  # as the agent keeps it: chain and key in one file
            bundle.write(key.read_bytes())
        key.unlink()
    began = time.monotonic()
    with edge:
        yield edge, time.monotonic() - began


def shake_hands(port: int, wanted: list[str], number: int, seed: int) -> None:
    """`number` full handshakes, each with a name by chance."""
    chosen = random.Random(seed)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    for _ in range(number):
        with socket.create_connection(("127.0.0.1", port)) as plain:
            context.wrap_socket(plain, server_hostname=chosen.choice(wanted)).close()


def memory_kib(edge: RunningEdge) -> int:
    assert edge.process is not None
    return pss_bytes(edge.process.pid, *edge.worker_pids()) // 1024


def measure(edge: RunningEdge, into: Measured, *, handshakes: int, clients: int) -> None:
    each = handshakes // clients
    work = [(edge.https_port, names(into.certificates), each, seed) for seed in range(clients)]
    workers = edge.worker_pids()
    before, began = cpu_s(*workers), time.monotonic()
    with multiprocessing.Pool(clients) as pool:
        pool.starmap(shake_hands, work)
    took_s = time.monotonic() - began
    into.a_second.append(each * clients / took_s)
    into.cpu_ms.append((cpu_s(*workers) - before) * 1000 / (each * clients))


def main() -> None:
    bench = Benchmark(
        __doc__,
        quick="a little of it",
        certificates=Amount(500),
        handshakes=Amount(4000, quick=400, help="in each round"),
        rounds=Amount(5, quick=1),
    )
    options = bench.options
    one, many = Measured(certificates=1), Measured(certificates=options.certificates)
    with edge_with(1) as (small, small_start_s), edge_with(options.certificates) as (large, large_start_s):
        one.start_s, many.start_s = small_start_s, large_start_s
        measure(large, many, handshakes=options.certificates * 4, clients=2)  # each worker parses each once
        many.a_second.clear()
        many.cpu_ms.clear()
        for _ in range(options.rounds):
            measure(small, one, handshakes=options.handshakes, clients=os.cpu_count() or 1)
            measure(large, many, handshakes=options.handshakes, clients=os.cpu_count() or 1)
        one.memory_kib, many.memory_kib = memory_kib(small), memory_kib(large)
    share = statistics.median(many.a_second) / statistics.median(one.a_second)
    result = {
        "one": one.shown(),
        "many": many.shown(),
        "share_of_one": round(share, 3),
        "aim": AIM,
        "cpu_share_of_one": round(statistics.median(many.cpu_ms) / statistics.median(one.cpu_ms), 3),
    }
    print(f"{share:.3f} of the handshakes with one certificate")
    if bench.is_quick:
        print(result)
    bench.keep("certificates", **result)


if __name__ == "__main__":
    main()
