"""How long a deploy takes: from the API call that creates a website to its first answer with 200, beside the same
uvicorn started by hand and asked until it answers. In turn, and compared by their medians.
"""

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx
from rich.console import Console
from rich.table import Table

from benchmark import Amount, Benchmark
from rivals import APPLICATIONS, PACKAGES
from throughput import hostel_venv

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from live import Platform, User, running

AIM = 1.2
ASK_EVERY_S = 0.005
DEADLINE_S = 60.0


def until_answered(client: httpx.Client, url: str) -> None:
    give_up = time.monotonic() + DEADLINE_S
    while time.monotonic() < give_up:
        try:
            if client.get(url).status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(ASK_EVERY_S)
    raise SystemExit(f"{url} does not answer")


def by_hand(folder: Path, application: str) -> float:
    socket = folder / "app.sock"
    socket.unlink(missing_ok=True)
    with httpx.Client(transport=httpx.HTTPTransport(uds=str(socket))) as client:
        began = time.perf_counter()
        argv = [folder / "venv/bin/uvicorn", "--app-dir", folder, "--no-access-log", "--uds", socket, application]
        process = subprocess.Popen(argv, stderr=subprocess.DEVNULL)
        try:
            until_answered(client, "http://by-hand/")
            return time.perf_counter() - began
        finally:
            process.terminate()
            process.wait()


def through_hostel(platform: Platform, user: User, number: int, application: str) -> float:
    """Each time a website of a new name, as a first deploy is; then it is deleted."""
    label = f"deploy{number}-bench"
    wanted = platform.wanted(label, f"venv/bin/uvicorn --uds $DOMAIN_SOCKET --no-access-log {application}")
    with platform.visitor() as client, platform.api(user) as api:  # to make one takes 20 ms
        began = time.perf_counter()
        created = api.post("websites/", json=wanted)
        if created.status_code != 201 or created.json()["webapp"]["state"] != "running":
            raise SystemExit(created.text)
        until_answered(client, platform.url(label))
        took_s = time.perf_counter() - began
    platform.delete(user, label)
    return took_s


def main() -> None:
    bench = Benchmark(__doc__, quick="twice", times=Amount(15, quick=2))
    times = bench.options.times
    took: dict[str, dict[str, list[float]]] = {name: {"by hand": [], "Hostel": []} for name in APPLICATIONS}
    with running() as platform, tempfile.TemporaryDirectory(prefix="bench-deploy-") as name:
        folder = Path(name)
        user = hostel_venv(platform)
        subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
        subprocess.run([folder / "venv/bin/pip", "install", "--quiet", *PACKAGES], check=True)
        for file, text, _ in APPLICATIONS.values():
            (folder / file).write_text(text)
        for number in range(times + 1):
            for kind, (_, _, application) in APPLICATIONS.items():
                took[kind]["by hand"].append(by_hand(folder, application))
                took[kind]["Hostel"].append(through_hostel(platform, user, number, application))
    medians = {
        kind: {way: round(statistics.median(each[1:]), 3) for way, each in ways.items()} for kind, ways in took.items()
    }
    ratios = {kind: round(each["Hostel"] / each["by hand"], 2) for kind, each in medians.items()}
    table = Table("", "uvicorn by hand", "Hostel", "of by hand", "aim")
    for kind, each in medians.items():
        table.add_row(kind, f"{each['by hand']:.3f} s", f"{each['Hostel']:.3f} s", f"{ratios[kind]:.2f}", f"{AIM:.2f}")
    Console().print(table)
    bench.keep("deploy", times=times, medians_s=medians, ratios=ratios, aim=AIM)


if __name__ == "__main__":
    main()
