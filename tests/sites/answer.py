"""A small real server for tests, standard library only: answers JSON about itself, on $DOMAIN_SOCKET.

Paths: / → {"run", "pid", "word"}; /headers → what it was sent; /slow?s=N → after N seconds; /echo → the body back.
With the argument --x-id every answer is the X-Id header and the length of the body.
"""

import asyncio
import json
import os
import secrets
import signal
import sys
from urllib.parse import parse_qs, urlsplit

WORD = sys.argv[1] if len(sys.argv) > 1 else "hello"
RUN = secrets.token_hex(4)


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
    if url.path == "/echo":
        payload = body
    elif url.path == "/headers":
        payload = json.dumps(headers).encode()
    elif "--x-id" in sys.argv:
        payload = f"{headers.get('x-id')} {len(body)}".encode()
    else:
        payload = json.dumps({"run": RUN, "pid": os.getpid(), "word": WORD}).encode()
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(payload))
    writer.write(payload)
    await writer.drain()
    return True


async def main() -> None:
    server = await asyncio.start_unix_server(handle, os.environ["DOMAIN_SOCKET"])
    ending = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ending.set)
    print("listening", flush=True)
    await ending.wait()
    server.close()  # what is being answered is cut off: the platform drains before it asks


asyncio.run(main())
