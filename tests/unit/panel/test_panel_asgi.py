"""The ASGI application around Django: static files and bounded bodies, over HTTP as the edge speaks it."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest

HOST = "www.hostel.localhost:8443"


def call(method: str, path: str, **extra):
    from hostel.panel.asgi import application

    async def send():
        async with httpx.AsyncClient(transport=httpx.ASGITransport(application), base_url=f"https://{HOST}") as client:
            return await client.request(method, path, **extra)

    return asyncio.run(send())


@pytest.mark.parametrize(
    ("path", "content_type"),
    [
        ("/static/panel/panel.css", "text/css"),
        ("/static/panel/icon.svg", "image/svg+xml"),
        ("/static/panel/docs.js", "text/javascript"),
        ("/static/drf_spectacular_sidecar/swagger-ui-dist/swagger-ui-bundle.js", "text/javascript"),
        ("/static/drf_spectacular_sidecar/swagger-ui-dist/swagger-ui.css", "text/css"),
    ],
)
def test_static_files_come_from_here(path, content_type):
    response = call("GET", path)
    assert response.status_code == 200
    assert response.headers["Content-Type"].startswith(content_type)
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert "max-age=3600" in response.headers["Cache-Control"]


def test_other_paths_are_djangos():
    page = call("GET", "/nonsense")
    assert (page.status_code, "There is no such page" in page.text) == (404, True)
    assert page.headers["Content-Length"] == str(len(page.content))
    assert call("GET", "/static/panel/../../settings.py").status_code == 404
    assert call("GET", "/static/%2e%2e/settings.py").status_code == 404


def test_scripts_are_sent_compressed_and_pages_are_not_wherever_they_stand():
    assert call("GET", "/static/panel/panel.css").headers["Content-Encoding"] == "gzip"
    for path in ("/static/none", "/static//panel/panel.css", "/static/panel/../none"):
        page = call("GET", path)
        assert (page.status_code, len(page.content) > 500, "Content-Encoding" in page.headers) == (404, True, False)


@pytest.mark.parametrize(("method", "path"), [("POST", "/api/v1/user/xanthippe/websites/"), ("GET", "/static/none")])
def test_a_body_over_the_limit_is_refused_in_words(method, path):
    response = call(method, path, content=b"x" * ((1 << 20) + 1))
    assert (response.status_code, response.json()["code"]) == (413, "body_too_large")


def test_a_body_without_a_length_is_cut_off_at_the_limit():
    taken = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal taken
        for _ in range(1000):
            taken += 1
            yield b"x" * (1 << 16)

    with pytest.raises(AssertionError):  # the transport's: the application ends without an answer
        call("POST", "/login/", content=endless())
    assert taken < 30
