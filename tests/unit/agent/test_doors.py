"""What the agent lets through of a tenant's own process, which may answer what it likes."""

import httpx
import pytest

from hostel.agent.doors import JSON_BYTES, _checked
from hostel.wire.errors import FilesUnreachable

JSON, BYTES = "application/json", "application/octet-stream"


def answer(kind: str, length: str, *, status: int = 200) -> httpx.Response:
    return httpx.Response(
        status, headers={"Content-Type": kind, "Content-Length": length}, stream=httpx.ByteStream(b"")
    )


@pytest.mark.parametrize("kind", [f"{JSON}", f"{BYTES}"])
def test_json_is_bounded_and_a_file_is_not(kind: str) -> None:
    assert _checked(answer(kind, str(JSON_BYTES))).length == JSON_BYTES
    longer = answer(kind, str(JSON_BYTES + 1))
    if kind == BYTES:
        assert _checked(longer).length == JSON_BYTES + 1
    else:
        with pytest.raises(FilesUnreachable):
            _checked(longer)


@pytest.mark.parametrize(
    "odd",
    [
        answer("text/html", "3"),
        answer(JSON, "-1"),
        answer(JSON, "1e3"),
        answer(JSON, "9" * 16),
        answer(JSON, "2", status=302),
    ],
)
def test_what_no_door_answers_is_no_answer(odd: httpx.Response) -> None:
    with pytest.raises(FilesUnreachable):
        _checked(odd)
