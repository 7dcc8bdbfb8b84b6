"""An ASGI site of streams, for uvicorn: WebSockets, event streams and slow answers.

A WebSocket takes the first subprotocol it is offered and sends every message back, but "about" gives JSON
{"run", "headers", "path", "subprotocols"} and "close <code> <reason>" closes. /upgrades lists when each was accepted.
/events?n=N&pause=S is an event stream of N events, S seconds apart, each carrying the time; without n it never ends.
/parts?n=N&pause=S is the same as plain text. /slow?s=S answers after S seconds. All else gives {"run"}.
With STUBBORN in the environment the process ignores TERM.
"""

import asyncio
import json
import os
import secrets
import signal
import time
from itertools import count
from urllib.parse import parse_qs

RUN = secrets.token_hex(4)
upgrades = []


async def app(scope, receive, send):
    await {"lifespan": live, "websocket": talk, "http": answer}[scope["type"]](scope, receive, send)


async def live(scope, receive, send):
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup" and "STUBBORN" in os.environ:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        await send({"type": message["type"] + ".complete"})
        if message["type"] == "lifespan.shutdown":
            return


async def talk(scope, receive, send):
    await receive()
    upgrades.append(time.time())
    await send({"type": "websocket.accept", "subprotocol": next(iter(scope["subprotocols"]), None)})
    while (message := await receive())["type"] == "websocket.receive":
        text = message.get("text") or ""
        if text == "about":
            headers = {name.decode(): value.decode() for name, value in scope["headers"]}
            about = {"run": RUN, "headers": headers, "path": scope["path"], "subprotocols": scope["subprotocols"]}
            await send({"type": "websocket.send", "text": json.dumps(about)})
        elif text.startswith("close "):
            _, code, reason = text.split(" ", 2)
            await send({"type": "websocket.close", "code": int(code), "reason": reason})
            return
        else:
            await send({**message, "type": "websocket.send"})


async def answer(scope, receive, send):
    query = {name: float(values[0]) for name, values in parse_qs(scope["query_string"].decode()).items()}
    if scope["path"] in ("/events", "/parts"):
        await stream(scope["path"] == "/events", query, send)
        return
    if scope["path"] == "/slow":
        await asyncio.sleep(query["s"])
    body = json.dumps(upgrades if scope["path"] == "/upgrades" else {"run": RUN}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def stream(are_events, query, send):
    content_type, form = (b"text/event-stream", "data: {}\n\n") if are_events else (b"text/plain", "{}\n")
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", content_type)]})
    for number in range(int(query["n"])) if "n" in query else count():
        part = form.format(f"{number} {time.time()}").encode()
        await send({"type": "http.response.body", "body": part, "more_body": True})
        await asyncio.sleep(query["pause"])
    await send({"type": "http.response.body", "body": b""})
