"""Turns how a run ended, or where it listens, into the API's typed reason and a sentence for its owner. Pure."""

import signal
from collections.abc import Sequence

from hostel.agent.sandbox import Exit
from hostel.agent.sockets import Found
from hostel.wire.errors import Reason
from hostel.wire.website import MIB, Failure, Limits, Listens, WebsiteSpec

_BASH_NOT_EXECUTABLE, _BASH_NOT_FOUND = 126, 127  # bash(1), "EXIT STATUS"


def describe_exit(ended: Exit, limits: Limits, stderr: Sequence[str] = ()) -> Failure:
    """Why PID 1 of a run ended."""
    reason, detail = _reason(ended, limits)
    return Failure(reason=reason, detail=detail, stderr=tuple(stderr))


def _reason(ended: Exit, limits: Limits) -> tuple[Reason, str]:
    if ended.is_out_of_memory:
        limit = limits.memory_bytes // MIB
        return Reason.OUT_OF_MEMORY, f"The command needed more than its {limit} MiB of memory and was ended."
    if ended.is_out_of_processes:
        return Reason.TOO_MANY_PROCESSES, (
            f"The command was refused another process or thread, and ended: a website may have {limits.pids} (limit "
            "`site_pids`), and its user a number for all websites and consoles together (limit `pids`)."
        )
    if ended.code == _BASH_NOT_FOUND:
        return Reason.COMMAND_NOT_FOUND, "The command was not found: check the path of the program and its virtualenv."
    if ended.code == _BASH_NOT_EXECUTABLE:
        return Reason.COMMAND_NOT_EXECUTABLE, "The command cannot be executed: check the file's mode and first line."
    if ended.code is not None:
        return Reason.EXITED, f"The command ended by itself with exit code {ended.code}."
    if ended.signal is not None:
        return Reason.SIGNALLED, f"The command was ended by signal {_signal_name(ended.signal)}."
    return Reason.UNKNOWN_EXIT, "The command ended while the platform was restarting, so its exit code is not known."


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)


def describe_silence(found: Found, listeners: Sequence[str], spec: WebsiteSpec, stderr: Sequence[str] = ()) -> Failure:
    """Why a run that lives was given up: it listens elsewhere, nowhere, or on something that is no socket."""
    deadline_s = spec.start_deadline_s
    silence = _silence if spec.listens_on is Listens.SOCKET else _silence_at_port
    reason, detail = silence(found, listeners, deadline_s)
    return Failure(reason=reason, detail=detail, stderr=tuple(stderr))


def _silence(found: Found, listeners: Sequence[str], deadline_s: float) -> tuple[Reason, str]:
    if listeners and found is not Found.REFUSES:
        where = ", ".join(listeners[:3])
        return Reason.LISTENED_ELSEWHERE, (
            f"The command listens on {where}, not on a stream socket at $DOMAIN_SOCKET: "
            "give its server the option --uds $DOMAIN_SOCKET or the like."
        )
    if found is Found.UNUSABLE:
        return Reason.SOCKET_UNUSABLE, (
            "What lies at $DOMAIN_SOCKET is no stream socket of yours: let the server bind a unix stream socket there."
        )
    if found is Found.REFUSES:
        return Reason.NEVER_LISTENED, (
            f"The command made a socket at $DOMAIN_SOCKET but accepted nothing within {deadline_s:g} seconds."
        )
    return Reason.NEVER_LISTENED, f"The command did not listen on $DOMAIN_SOCKET within {deadline_s:g} seconds."


def _silence_at_port(found: Found, listeners: Sequence[str], deadline_s: float) -> tuple[Reason, str]:
    if listeners and found is not Found.REFUSES:
        where = ", ".join(listeners[:3])
        return Reason.LISTENED_ELSEWHERE, (
            f"The command listens on {where}, not on 127.0.0.1 at the port $PORT: give its server the option "
            "--port $PORT or the like."
        )
    if found is Found.REFUSES:
        return (
            Reason.NEVER_LISTENED,
            f"The command listens at $PORT but accepted nothing within {deadline_s:g} seconds.",
        )
    return Reason.NEVER_LISTENED, f"The command did not listen at $PORT within {deadline_s:g} seconds."
