"""Environment variables reach the command with the next run, and nothing else."""

from live import Platform, User

PRINTING = """
import asyncio, json, os
from uuid import uuid4
ID = uuid4().hex
async def answer(reader, writer):
    await reader.readuntil(b"\\r\\n\\r\\n")
    shown = {name: os.environ.get(name) for name in ("GREETING", "KEY", "HOME", "PATH")}
    body = json.dumps(shown).encode()
    writer.write(b"HTTP/1.1 200 OK\\r\\nConnection: close\\r\\nContent-Length: %d\\r\\n\\r\\n%s" % (len(body), body))
    await writer.drain()
    writer.close()
async def main():
    async with await asyncio.start_unix_server(answer, os.environ["DOMAIN_SOCKET"]) as server:
        await server.serve_forever()
asyncio.run(main())
"""


def test_a_reload_gives_the_command_its_new_environment(platform: Platform, alice: User) -> None:
    platform.hostel("shell", "alice", "--", "bash", "-c", "cat > printing.py", stdin=PRINTING)
    label = "env-alice"
    assert platform.create(alice, label, "exec python3 printing.py").json()["webapp"]["state"] == "running"
    path = f"websites/{label}.{platform.domain}/"
    try:
        with platform.api(alice) as api:
            value = 'it\'s $HOME; `id` "x"\nsecond line'
            assert api.post(f"{path}environment/", json={"name": "GREETING", "value": value}).status_code == 201
            secret = {"name": "KEY", "value": "only-for-the-site", "is_secret": True}
            assert api.post(f"{path}environment/", json=secret).status_code == 201
            before = platform.get(label).json()
            assert before["GREETING"] is None  # what serves goes on as it was
            assert api.post(f"{path}reload/").status_code == 200
            after = platform.get(label).json()
            assert (after["GREETING"], after["KEY"]) == (value, "only-for-the-site")
            assert (after["HOME"], after["PATH"]) == (before["HOME"], before["PATH"])
            assert api.delete(f"{path}environment/KEY/").status_code == 204
            assert api.patch(path, json={"webapp": {"command": "exec python3 printing.py # again"}}).status_code == 200
            assert platform.get(label).json()["KEY"] is None
        logs = [file for file in platform.paths.log.rglob("*") if file.is_file()]
        assert all(b"only-for-the-site" not in file.read_bytes() for file in logs)
    finally:
        platform.delete(alice, label)
