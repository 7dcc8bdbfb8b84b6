"""Two applications, ASGI and WSGI, that answer `<X-Id> <body length>` and keep a record of every request they get."""

import os
import sys

RECORD = os.path.expanduser("~/record.txt")
_record = os.open(RECORD, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)


def note(request_id: str) -> None:
    os.write(_record, request_id.encode() + b"\n")  # one write of one line: whole, also with several processes


async def asgi(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    if scope["type"] != "http":
        return
    length, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        length += len(message.get("body", b""))
        more = message.get("more_body", False)
    request_id = dict(scope["headers"]).get(b"x-id", b"").decode()
    note(request_id)
    body = f"{request_id} {length}".encode()
    headers = [(b"content-type", b"text/plain"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def wsgi(environ, start_response):
    length = len(environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0)))
    request_id = environ.get("HTTP_X_ID", "")
    note(request_id)
    body = f"{request_id} {length}".encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]


print("imported", file=sys.stderr, flush=True)
