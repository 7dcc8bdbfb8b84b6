"""K2 to K5: what a website can do to its own logs, and to the logger. K4: tests/contract/test_logger.py too."""

import json
import signal
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from live import Platform, User, answering, send_signal
from sandboxed import bash, prepared
from servers import put
from waiting import until

DEADLINE_S = 20.0

# Everything that a file would allow whoever has it open for writing.
ATTACK = """
import fcntl, json, os, sys
def tried(deed, *arguments):
    try:
        deed(*arguments)
    except OSError as error:
        return type(error).__name__ if error.errno is None else os.strerror(error.errno)
    return "done"
print("an honest line", flush=True)
found = {
    "fallocate": tried(os.posix_fallocate, 1, 0, 64 << 20),
    "truncate": tried(os.ftruncate, 1, 0),
    "truncate by path": tried(os.truncate, "/proc/self/fd/1", 0),
    "seek": tried(os.lseek, 1, 0, os.SEEK_SET),
    "overwrite": tried(os.pwrite, 1, b"FORGED", 0),
}
json.dump(found, open("found.json", "w"))
"""


def log_of(platform: Platform, user: User, kind: str) -> Path:
    return platform.paths.site_logs / user.name / f"{user.name}.{platform.domain}.{kind}.log"


def test_k2_a_log_cannot_be_grown_cut_or_forged_by_its_descriptor(platform: Platform, alice: User) -> None:
    """The control has a file for its output: there all of it succeeds, because runc gives the file to the tenant."""
    put(platform, alice, "attack.py", ATTACK)
    platform.create(alice, "alice", "python3 attack.py; exec python3 answer.py")
    found = json.loads(platform.shell("alice", "cat found.json; rm found.json"))
    log = log_of(platform, alice, "server")
    until(lambda: "listening" in log.read_text())
    platform.delete(alice, "alice")
    assert {deed: what for deed, what in found.items() if what == "done"} == {}
    assert log.stat().st_size < 2_000
    assert log.read_text().count("an honest line\n") == 1

    file = platform.root / "as-a-file"
    result = platform.paths.homes / "alice/found.json"
    with prepared(platform, alice, ("/usr/bin/python3", "attack.py")) as (argv, _), file.open("w") as out:
        at = argv.index("run") + 1
        detached = [*argv[:at], "--detach", *argv[at:]]  # else runc puts a pipe between
        subprocess.run(detached, stdin=subprocess.DEVNULL, stdout=out, check=True)
        until(lambda: result.exists() and result.read_text().endswith("}"))
    assert set(json.loads(result.read_text()).values()) == {"done"}
    assert file.read_bytes().startswith(b"FORGED")
    result.unlink()
    file.unlink()


def test_k3_a_tenant_reads_its_logs_and_changes_nothing(platform: Platform, alice: User) -> None:
    """Twice: the mount is read-only, and the files are root's. The control is the first layer off."""
    platform.create(alice, "alice", f"echo a line that stays; exec {answering()}")
    log = log_of(platform, alice, "server")
    until(lambda: log.exists() and "a line that stays" in log.read_text())
    name = f"/var/log/{log.name}"
    attacks = f": > {name}; rm {name}; ln -s /etc/passwd /var/log/x; mkfifo /var/log/y; chmod 666 {name}"

    def writable(config: dict[str, Any]) -> None:
        (mount,) = [mount for mount in config["mounts"] if mount["destination"] == "/var/log"]
        mount["options"] = ["rw" if option == "rro" else option for option in mount["options"]]

    assert bash(platform, alice, attacks).count("Read-only file system") == 5
    refused = bash(platform, alice, attacks, change=writable)
    assert refused.count("Permission denied") + refused.count("Operation not permitted") == 5
    assert "a line that stays" in bash(platform, alice, f"cat {name}")
    platform.delete(alice, "alice")


WRITER = """
import asyncio, os, sys
async def handle(reader, writer):
    count = int((await reader.readline()).split()[1].strip(b"/") or b"0")
    for number in range(count):
        os.write(1, b"%07d" % number + b"." * 92 + b"\\n")
    writer.write(b"HTTP/1.1 200 OK\\r\\nConnection: close\\r\\nContent-Length: 2\\r\\n\\r\\nok")
    await writer.drain(); writer.close()
async def main():
    server = await asyncio.start_unix_server(handle, os.environ["DOMAIN_SOCKET"])
    await server.serve_forever()
asyncio.run(main())
"""


@pytest.fixture
def writer(platform: Platform, alice: User):
    """A website that writes as many lines of 100 bytes as its path says, before it answers."""
    put(platform, alice, "writer.py", WRITER)
    assert platform.create(alice, "alice", "python3 writer.py").status_code == 201
    yield
    platform.delete(alice, "alice")


@pytest.mark.usefixtures("writer")
def test_k5_a_stopped_logger_costs_no_line_and_holds_up_no_website_for_a_mebibyte(
    platform: Platform, alice: User
) -> None:
    """The control is the other side of the limit: more than the pipe holds waits until the logger is back."""
    logger = platform.part_pid("logger")
    log = log_of(platform, alice, "server")
    before = log.read_text().count("\n") if log.exists() else 0
    answers: list[httpx.Response] = []
    waiting = threading.Thread(target=lambda: answers.append(platform.get("alice", "/6000")))
    send_signal(logger, signal.SIGSTOP)
    try:
        began = time.monotonic()
        assert platform.get("alice", "/5000").text == "ok"  # half of what the pipe holds
        assert time.monotonic() - began < 5
        waiting.start()
        waiting.join(1.0)
        assert waiting.is_alive()
        assert platform.is_up(), "others go on"
    finally:
        send_signal(logger, signal.SIGCONT)
    waiting.join(DEADLINE_S)
    assert [answer.text for answer in answers] == ["ok"]
    until(lambda: log.read_text().count("\n") == before + 11_000)
    assert "dropped" not in log.read_text()


@pytest.mark.usefixtures("writer")
def test_k4_a_flood_costs_the_disk_what_it_may_and_the_log_says_how_much_is_missing(
    platform: Platform, alice: User, bob: User
) -> None:
    """Eight mebibytes at once, one a second in the long run. The control is the website beside it: it loses nothing."""
    put(platform, bob, "count.sh", "for n in $(seq 2000); do echo quiet $n; done; exec python3 answer.py\n")
    log, other = log_of(platform, alice, "server"), log_of(platform, bob, "server")
    began = time.monotonic()
    assert platform.get("alice", "/300000").text == "ok"  # 30 MB
    platform.create(bob, "bob", "bash count.sh")
    until(lambda: "lines dropped" in log.read_text()[-200:])
    took_s = time.monotonic() - began
    kept = sum(file.stat().st_size for file in log.parent.glob(f"{log.name}*") if not file.name.endswith(".gz"))
    assert kept < (8 + took_s + 2) * (1 << 20)
    until(lambda: other.read_text().count("quiet ") == 2_000)
    platform.delete(bob, "bob")
