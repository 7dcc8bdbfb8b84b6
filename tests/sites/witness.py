"""A server for the fault schedules, standard library only: each answer and each log line says whose run it is.

Answers JSON {"word", "run", "id", "length"}: `word` is the argument it was started with, `id` the X-Id it was sent.
Before it answers it logs `<word> <run> <id>` on stdout. /slow?s=N answers after N seconds.
"""

import asyncio
import json
import os
import secrets
import signal
import sys
from urllib.parse import parse_qs, urlsplit

WORD = sys.argv[1]
RUN = secrets.token_hex(6)


async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while await answer(reader, writer):
            pass
    except (ConnectionError, asyncio.IncompleteReadError):
        pass
    finally:
        writer.close()


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    line = await reader.readline()
    if not line.strip():
        return False
    _, target, _ = line.decode().split()
    headers = {}
    while (header := await reader.readline()).strip():
        name, _, value = header.decode("latin-1").partition(":")
        headers[name.strip().lower()] = value.strip()
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    url = urlsplit(target)
    if url.path == "/slow":
        await asyncio.sleep(float(parse_qs(url.query)["s"][0]))
    request_id = headers.get("x-id", "-")
    os.write(1, f"{WORD} {RUN} {request_id}\n".encode())  # one write of one line: whole
    payload = json.dumps({"word": WORD, "run": RUN, "id": request_id, "length": len(body)}).encode()
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(payload))
    writer.write(payload)
    await writer.drain()
    return True


async def main() -> None:
    server = await asyncio.start_unix_server(handle, os.environ["DOMAIN_SOCKET"])
    ending = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ending.set)
    await ending.wait()
    server.close()  # what is being answered is cut off: the platform drains before it asks


asyncio.run(main())
