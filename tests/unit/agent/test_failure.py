"""Reasons and sentences for how a run ended."""

import pytest

from hostel.agent.failure import describe_exit, describe_silence
from hostel.agent.listeners import find_listeners, parse_endpoint
from hostel.agent.sandbox import Exit
from hostel.agent.sockets import Found
from hostel.wire.errors import Reason
from hostel.wire.website import Limits, Listens, Version, WebsiteSpec


@pytest.mark.parametrize(
    ("ended", "reason", "words"),
    [
        (Exit(code=0), Reason.EXITED, "exit code 0"),
        (Exit(code=3), Reason.EXITED, "exit code 3"),
        (Exit(code=127), Reason.COMMAND_NOT_FOUND, "not found"),
        (Exit(code=126), Reason.COMMAND_NOT_EXECUTABLE, "cannot be executed"),
        (Exit(signal=9), Reason.SIGNALLED, "SIGKILL"),
        (Exit(signal=9, is_out_of_memory=True), Reason.OUT_OF_MEMORY, "512 MiB"),
        (
            Exit(code=1, is_out_of_processes=True),
            Reason.TOO_MANY_PROCESSES,
            "a website may have 256 (limit `site_pids`)",
        ),
        (Exit(), Reason.UNKNOWN_EXIT, "not known"),
    ],
)
def test_an_end_has_a_reason_and_a_sentence(ended: Exit, reason: Reason, words: str) -> None:
    failure = describe_exit(ended, Limits(), ["last line"])
    assert failure.reason is reason
    assert words in failure.detail
    assert failure.stderr == ("last line",)


@pytest.mark.parametrize(
    ("found", "listeners", "reason"),
    [
        (Found.NOTHING, ["127.0.0.1:8000"], Reason.LISTENED_ELSEWHERE),
        (Found.NOTHING, [], Reason.NEVER_LISTENED),
        (Found.REFUSES, ["127.0.0.1:8000"], Reason.NEVER_LISTENED),
        (Found.UNUSABLE, [], Reason.SOCKET_UNUSABLE),
    ],
)
@pytest.mark.parametrize("listens_on", Listens)
def test_silence_has_a_reason(found: Found, listeners: list[str], reason: Reason, listens_on: Listens) -> None:
    if found is Found.UNUSABLE and listens_on is Listens.PORT:
        return  # nothing but a server can be at a port
    spec = WebsiteSpec(
        domain_name="a.example.com",
        tenant="a",
        version=Version(epoch=1, revision=1),
        enabled=True,
        command="x",
        listens_on=listens_on,
    )
    failure = describe_silence(found, listeners, spec)
    assert failure.reason is reason
    assert ("$PORT" in failure.detail) is (listens_on is Listens.PORT)


@pytest.mark.parametrize(
    ("text", "endpoint"),
    [
        ("0100007F:1F40", "127.0.0.1:8000"),
        ("00000000:0050", "0.0.0.0:80"),
        ("00000000000000000000000001000000:1F40", "[::1]:8000"),
    ],
)
def test_the_kernels_notation_is_read(text: str, endpoint: str) -> None:
    assert parse_endpoint(text) == endpoint


def test_listeners_of_this_process_are_found() -> None:
    import os
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server:
        assert f"127.0.0.1:{server.getsockname()[1]}" in find_listeners([os.getpid()])
