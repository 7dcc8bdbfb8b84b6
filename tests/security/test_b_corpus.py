"""B8 and B9: odd requests, and what the edge makes of each, compared with what was stored.

A difference is no failure of itself: it says that nginx, or its configuration, treats such a request differently now.
Look at it, and if it is as it should be write the new results: HOSTEL_GOLDEN=write pytest -k corpus tests/security
"""

import contextlib
import json
import os
import re
import socket
import tomllib
from pathlib import Path
from typing import Any

import pytest
from edge_fixtures import DOMAIN, Request, RunningEdge, Upstream, answer, replying

from http2_frames import exchange

CORPUS = Path(__file__).with_name("corpus")
HOST = f"odd.{DOMAIN}"
SILENCE_S = 0.3  # nothing more comes: the edge waits for more of the request
IS_WRITING = os.environ.get("HOSTEL_GOLDEN") == "write"


@pytest.fixture(scope="module")
def website(edge: RunningEdge) -> Upstream:
    upstream = edge.upstream("run-odd", replying(answer("seen")))
    edge.running(HOST, upstream)
    return upstream


def cases(name: str) -> list[dict[str, Any]]:
    found = tomllib.loads((CORPUS / f"{name}.toml").read_text())["case"]
    assert len({case["name"] for case in found}) == len(found)
    return list(found)


def compare(name: str, results: dict[str, Any]) -> None:
    golden = CORPUS / f"{name}.golden.json"
    if IS_WRITING:
        golden.write_text(
            "{\n" + ",\n".join(f"{json.dumps(name)}: {json.dumps(results[name])}" for name in results) + "\n}\n"
        )
    stored = json.loads(golden.read_text())
    assert results == stored


USUAL = (f"Host: {HOST}", "X-Forwarded-For: 127.0.0.1", "X-Real-IP: 127.0.0.1", f"X-Forwarded-Host: {HOST}")


def describe(edge: RunningEdge, request: Request) -> dict[str, Any]:
    """What a website saw, without what differs from run to run."""
    ports = re.compile(f":({edge.http_port}|{edge.https_port})$")
    lines = [ports.sub("", line) for line in request.lines]
    headers = [line for line in lines if line not in USUAL]
    missing = [line for line in USUAL if line not in lines]
    seen: dict[str, Any] = {"line": request.line, "headers": headers, "body": request.body.decode("latin-1")}
    return seen | ({"missing": missing} if missing else {})


# -- HTTP/1


def converse(connection: socket.socket, data: bytes) -> tuple[bytes, str]:
    """All that is answered, and how it ends: `open` says that the edge waited for more."""
    received, end = b"", "closed"
    connection.settimeout(SILENCE_S)
    with contextlib.suppress(OSError):
        connection.sendall(data)
    try:
        while part := connection.recv(65536):
            received += part
    except TimeoutError:
        end = "open"
    except ConnectionResetError:
        pass
    return received, end


def play(edge: RunningEdge, website: Upstream, text: str) -> dict[str, Any]:
    website.requests.clear()
    probe = f"GET /probe HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n"
    data = text.replace("{host}", HOST).replace("{HOST}", HOST.upper()).encode("latin-1")
    with edge.connect() as connection:
        received, end = converse(connection, data + probe.encode())
    statuses = [int(status) for status in re.findall(rb"HTTP/1\.[01] (\d{3}) ", received)]
    codes = [code.decode() for code in re.findall(rb"Hostel-Error-Code: (\w+)", received)]
    seen = [describe(edge, request) for request in website.requests]
    is_probed = bool(seen) and seen[-1]["line"] == "GET /probe HTTP/1.1"
    return {
        "statuses": statuses,
        "codes": codes,
        "seen": seen[:-1] if is_probed else seen,
        "afterwards": "the probe is answered" if is_probed else end,
    }


def test_b8_odd_requests_meet_what_is_stored(edge: RunningEdge, website: Upstream) -> None:
    results = {case["name"]: play(edge, website, case["send"]) for case in cases("http1")}
    assert len(results) >= 60
    compare("http1", results)


def test_b8_no_odd_request_smuggles_another(edge: RunningEdge, website: Upstream) -> None:
    """Whatever is stored: a website sees no more requests than were answered, each with a length, none forged."""
    for name, result in json.loads((CORPUS / "http1.golden.json").read_text()).items():
        finals = [status for status in result["statuses"] if status >= 200]
        assert len(result["seen"]) <= len(finals), name
        for seen in result["seen"]:
            assert "smuggled" not in seen["line"], name
            assert "missing" not in seen, name
            names = {line.partition(":")[0].lower() for line in seen["headers"]}
            assert not {"transfer-encoding", "te", "connection", "upgrade", "proxy", "forwarded"} & names, name
            assert bool(seen["body"]) <= ("content-length" in names), name
            assert "6.6.6.6" not in str(seen["headers"]), name


def test_b8_control_a_change_of_the_edge_shows(edge: RunningEdge, website: Upstream) -> None:
    stored = json.loads((CORPUS / "http1.golden.json").read_text())
    edge.running(HOST, website, max_requests=0)
    try:
        name = "plain get"
        (case,) = [case for case in cases("http1") if case["name"] == name]
        assert play(edge, website, case["send"]) != stored[name]
    finally:
        edge.running(HOST, website)


# -- HTTP/2


def test_b9_odd_requests_over_http_2_meet_what_is_stored(edge: RunningEdge, website: Upstream) -> None:
    results: dict[str, Any] = {}
    for case in cases("http2"):
        website.requests.clear()
        headers = [(name, value.replace("{host}", HOST)) for name, value in case["headers"]]
        with edge.connect(tls=HOST, alpn="h2") as connection:
            outcome = exchange(connection, headers, case.get("body", "").encode("latin-1"))
        results[case["name"]] = {"outcome": outcome, "seen": [describe(edge, each) for each in website.requests]}
    compare("http2", results)
