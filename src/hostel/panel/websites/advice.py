"""What each reason and each of the edge's codes means, and what the website's owner can do. The one table of them.

`agent/failure.py` says what happened in one case, with its numbers; this says how it is mended in all of them.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from hostel.wire.errors import (
    AccountSuspended,
    AgentUnreachable,
    EdgeUnreachable,
    Reason,
    StillEnding,
    StorageFull,
)


@dataclass(frozen=True, slots=True)
class Advice:
    """Words in backticks are code."""

    means: str
    todo: str


REASONS: Mapping[str, Advice] = {
    Reason.EXITED: Advice(
        "The command ended by itself; the detail has its exit code.",
        "The last lines that it wrote say why: most often a missing module or a mistake in the code. Mend it, reload.",
    ),
    Reason.SIGNALLED: Advice(
        "The command was ended by a signal, which the detail names.",
        "`SIGSEGV` and `SIGABRT` come from a library that crashed: install it anew in the virtualenv. Any other signal "
        "was sent by one of your own processes.",
    ),
    Reason.OUT_OF_MEMORY: Advice(
        "The command needed more memory than it may have.",
        "Start fewer workers, load less at once, or ask the operator for a higher limit `site_memory_mb`.",
    ),
    Reason.TOO_MANY_PROCESSES: Advice(
        "The command ended after it was refused another process or thread.",
        "Start fewer workers and threads, close consoles that you do not need, or ask the operator for a higher limit "
        "`site_pids`.",
    ),
    Reason.COMMAND_NOT_FOUND: Advice(
        "The command's program was not found.",
        "Write the program with its whole path, as `/home/you/.virtualenvs/venv/bin/uvicorn`, and install it there if "
        "it is missing.",
    ),
    Reason.COMMAND_NOT_EXECUTABLE: Advice(
        "The command's program cannot be executed.",
        "Make the file executable with `chmod +x`, or put the program that runs it first, as `python3 app.py`. A "
        "directory cannot be a command.",
    ),
    Reason.NEVER_LISTENED: Advice(
        "Nothing accepted at `$DOMAIN_SOCKET` before the deadline.",
        "Let the server listen there: `--uds $DOMAIN_SOCKET` of uvicorn, `--bind unix:$DOMAIN_SOCKET` of gunicorn and "
        "hypercorn. If it only starts slowly, give it a longer `start_deadline_s`.",
    ),
    Reason.LISTENED_ELSEWHERE: Advice(
        "The command listens, but not at `$DOMAIN_SOCKET`; the detail says where.",
        "Replace host and port in the command by the socket: `--uds $DOMAIN_SOCKET` of uvicorn, `--bind "
        "unix:$DOMAIN_SOCKET` of gunicorn and hypercorn. A server that can only listen on a port gets `listens_on: "
        "port` and the option `--port $PORT`.",
    ),
    Reason.SOCKET_UNUSABLE: Advice(
        "What lies at `$DOMAIN_SOCKET` is no stream socket of yours.",
        "Let the server itself make the socket there: no file, no link, no datagram socket.",
    ),
    Reason.UNKNOWN_EXIT: Advice(
        "The command ended while the platform itself was being restarted.",
        "Nothing, if it runs again. If not, the last lines in the error log say why.",
    ),
    Reason.GATE_CLOSED: Advice(
        "A protection that all users rely on is not in force, so nothing is started.",
        "Nothing: it starts by itself when the operator has mended what `hostel doctor` names.",
    ),
    Reason.NO_SWAP: Advice(
        "The website shall hibernate, but the machine has no swap, or none left.",
        "Nothing: it stays awake. The operator sees with `hostel doctor` what to do. `sleep: stop` needs no swap.",
    ),
    Reason.CANNOT_FREEZE: Advice(
        "The website shall hibernate, but the kernel could not freeze it.",
        "Nothing: it stays awake, and is tried again. `sleep: stop` does not need it.",
    ),
    Reason.SANDBOX_FAILED: Advice(
        "The platform could not build the sandbox.",
        "Tell the operator: this is a fault of the platform, and its log has it.",
    ),
    AgentUnreachable.code: Advice(
        "The platform cannot carry out changes at the moment.",
        "Nothing: the change is kept, and done when the platform's agent is back. Websites go on meanwhile.",
    ),
    EdgeUnreachable.code: Advice(
        "The web server did not take the change.",
        "Nothing: the change is kept and tried again.",
    ),
    StillEnding.code: Advice(
        "The website that had this domain before is still ending.",
        "Wait a moment; it goes on by itself.",
    ),
    StorageFull.code: Advice(
        "The disk of the platform is full.",
        "Tell the operator; the change is kept and done when there is room.",
    ),
    AccountSuspended.code: Advice(
        "The operator has suspended the account.",
        "Ask the operator. Your files are all there.",
    ),
}

# What the edge answers instead of a website, where its owner can do something about it (docs/reference/errors.md).
MET: Mapping[str, Advice] = {
    "website_failed": Advice(
        "The website's command had failed, and was not tried again at that moment.",
        "What it failed of stands below. Mend it, then reload the website.",
    ),
    "website_refused": Advice(
        "Nothing listened at the website's socket, and nothing came to listen while the visitor waited.",
        "Look into the error log: does the command still serve, or has it closed its socket?",
    ),
    "bad_answer": Advice(
        "The website took the request and closed the connection without a proper answer.",
        "The error log of that second says what happened: mostly a worker that was killed or crashed.",
    ),
    "backlog_full": Advice(
        "The website listens, but took no new connection: it was busy with something else.",
        "Look for code that blocks: `time.sleep`, a slow query or a request to another server within an `async def`.",
    ),
    "not_ready": Advice(
        "The website was starting and did not get ready while the visitor waited.",
        "Let it start faster, or more rarely: import less at the start, and do slow work after it listens.",
    ),
    "too_many_held": Advice(
        "The website was starting, and as many visitors as may be waited for it already.",
        "Let it start faster, or ask the operator for a higher limit `site_held`.",
    ),
    "too_many_requests": Advice(
        "The website had more unanswered requests than it may have.",
        "Answer faster, or ask the operator for a higher limit `site_requests`. The access log says who asks for what.",
    ),
    "too_many_websockets": Advice(
        "The website had as many WebSockets and event streams as it may have.",
        "Close those that are idle, or ask the operator for a higher limit `site_websockets`.",
    ),
    "too_many_files": Advice(
        "As many of the website's files were being sent as may be at once.",
        "Make large files smaller, or ask the operator for a higher limit `site_websockets`, which counts here too.",
    ),
    "too_many_uploads": Advice(
        "More was being uploaded at once than there is room for.",
        "Nothing, if it happens rarely: the visitor may try again.",
    ),
    "too_many_connections": Advice(
        "One visitor's address had more requests under way than any may have.",
        "Nothing, unless your own program sends them. Where many visitors share one address, the operator can raise "
        "`connections_per_address`.",
    ),
    "too_many_guesses": Advice(
        "More wrong passwords were tried than are checked.",
        "Nothing: who knows the password may try again in a minute.",
    ),
    "file_forbidden": Advice(
        "A static mapping leads to a file that the web server may not read.",
        "The error log has the file, and the `chmod` that lets visitors read it.",
    ),
    "body_too_large": Advice(
        "The visitor sent more than the website takes.",
        "Raise `max_body_mb` of the website (at most 100), or let visitors send less at once.",
    ),
    "website_disabled": Advice(
        "You have switched the website off.",
        "Enable it, and it is back at once.",
    ),
    "account_suspended": REASONS[AccountSuspended.code],
    "no_answer": Advice(
        "The website took the request and sent nothing for longer than its `read_timeout_s`.",
        "Answer faster, do long work in the background, or raise `read_timeout_s` of the website.",
    ),
}


def find_advice(reason: str | None) -> Advice | None:
    return REASONS.get(reason or "")
