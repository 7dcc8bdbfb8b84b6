"""What a benchmark writes beside its figures: the machine, and where the result goes."""

import json
import os
import platform
import subprocess
import time
from pathlib import Path

RESULTS = Path(__file__).with_name("results")


def describe() -> dict[str, object]:
    """Enough to compare results honestly: processor, memory, kernel, versions, load before the run."""
    cpu = next((line.split(":")[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")), "?")
    memory_kb = next(int(line.split()[1]) for line in _lines("/proc/meminfo") if line.startswith("MemTotal"))
    return {
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "cpu": cpu,
        "cores": os.cpu_count(),
        "memory_gib": round(memory_kb / (1 << 20)),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "nginx": _version("nginx", "-v"),
        "runc": _version("runc", "--version"),
        "load_before": os.getloadavg()[0],
    }


def write_result(name: str, result: dict[str, object]) -> Path:
    file = RESULTS / f"{name}.json"
    file.write_text(json.dumps(result, indent=2) + "\n")
    return file


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines()


def _version(*argv: str) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    return (done.stdout + done.stderr).strip().splitlines()[0]
