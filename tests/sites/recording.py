"""Two applications, ASGI and WSGI, that answer `<X-Id> <body length>` and keep a record of every request they get.

`record.txt` in the home has a line for each request, `life.txt` one for each process that begins to serve and one for
each (of ASGI) that ends in good order. With APPETITE_MB in the environment a process begins by taking that much memory.
"""

import os
import secrets
import sys


def _open(name: str) -> int:
    return os.open(os.path.expanduser(f"~/{name}"), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)


def note(record: int, line: str) -> None:
    os.write(record, line.encode() + b"\n")  # one write of one line: whole, also with several processes


_record, _life, _process = _open("record.txt"), _open("life.txt"), secrets.token_hex(4)
_ballast = b"x" * (int(os.environ.get("APPETITE_MB", "0")) << 20)
note(_life, f"begin {_process}")


async def asgi(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            if message["type"] == "lifespan.shutdown":
                note(_life, f"end {_process}")
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
    note(_record, request_id)
    body = f"{request_id} {length}".encode()
    headers = [(b"content-type", b"text/plain"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def wsgi(environ, start_response):
    length = len(environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0)))
    request_id = environ.get("HTTP_X_ID", "")
    note(_record, request_id)
    body = f"{request_id} {length}".encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]


print("imported", file=sys.stderr, flush=True)
