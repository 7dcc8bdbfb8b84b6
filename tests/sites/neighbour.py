"""A hostile neighbour of the panel, standard library only: its pages set and clear cookies for the whole domain.

Paths: / → an empty page; /toss → cookies as the panel has them, for the domain; /clear → Clear-Site-Data;
/form?url=U → a page that sends a form to U at once.
"""

import asyncio
import os
import sys
from html import escape
from urllib.parse import parse_qs, urlsplit

DOMAIN = sys.argv[1]
TOSSED = [
    f"__Host-session=tossed; Domain={DOMAIN}; Path=/; Secure",
    "__Host-session=tossed; Path=/login/; Secure",
    f"__Host-csrf=tossed; Domain={DOMAIN}; Path=/; Secure",
    f"=__Host-session=tossed; Domain={DOMAIN}; Path=/; Secure",
    f"__host-session=tossed; Domain={DOMAIN}; Path=/; Secure",
    f"unprotected=tossed; Domain={DOMAIN}; Path=/; Secure",
]


def headers_for(path: str) -> list[str]:
    if path == "/toss":
        return [f"Set-Cookie: {cookie}" for cookie in TOSSED]
    if path == "/clear":
        return ['Clear-Site-Data: "cookies", "storage"']
    return []


def page_for(path: str, query: str) -> str:
    if path != "/form":
        return "<!doctype html><title>neighbour</title>"
    url = escape(parse_qs(query)["url"][0])
    form = f'<form method="post" action="{url}"><input name="a" value="b"></form>'
    return f"<!doctype html><title>neighbour</title>{form}<script>document.forms[0].submit()</script>"


async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    url = urlsplit(head.split(" ")[1])
    page = page_for(url.path, url.query).encode()
    lines = ["HTTP/1.1 200 OK", "Content-Type: text/html", f"Content-Length: {len(page)}", "Connection: close"]
    writer.write("\r\n".join([*lines, *headers_for(url.path), "", ""]).encode() + page)
    await writer.drain()
    writer.close()


async def main() -> None:
    server = await asyncio.start_unix_server(handle, os.environ["DOMAIN_SOCKET"], limit=1 << 20)
    await server.serve_forever()


asyncio.run(main())
