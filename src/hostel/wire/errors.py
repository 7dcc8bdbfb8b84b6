"""Errors that cross a process boundary: a stable code, a sentence, and whether trying again can help.

The class docstring is the default message. A refusal is the caller's or the tenant's to mend and is logged
without a traceback; a fault is the platform's.
"""

from collections.abc import Sequence
from enum import StrEnum


class HostelError(Exception):
    """Something went wrong."""

    code = "error"
    status = 500  # of an HTTP answer that carries this error
    is_retryable = False

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or (type(self).__doc__ or "").strip().splitlines()[0])


class Refusal(HostelError):
    """The request cannot be carried out as it stands."""

    code = "refused"
    status = 400


class MalformedMessage(Refusal):
    """The message is not of the form this version of Hostel reads."""

    code = "malformed_message"


class UnknownTenant(Refusal):
    """No such user on this machine."""

    code = "unknown_tenant"
    status = 404


class UnknownWebsite(Refusal):
    """No such website on this machine."""

    code = "unknown_website"
    status = 404


class UnknownErrorId(Refusal):
    """Nothing is known of an error with that id."""

    code = "unknown_error_id"
    status = 404


class DomainTaken(Refusal):
    """That domain belongs to another user or to the platform."""

    code = "domain_taken"
    status = 409


class DomainUnproven(Refusal):
    """No DNS record shows that this domain is yours."""

    code = "domain_unproven"
    status = 409


class DomainInUse(Refusal):
    """Other domains of the website redirect to this one; change or delete them first."""

    code = "domain_in_use"
    status = 409


class WebsiteDisabled(Refusal):
    """The website is disabled; enable it first."""

    code = "website_disabled"
    status = 409


class NoSuchFile(Refusal):
    """No such file or directory."""

    code = "no_such_file"
    status = 404


class FileForbidden(Refusal):
    """You do not have permission for that file or directory."""

    code = "file_forbidden"
    status = 403


class FileRefused(Refusal):
    """That cannot be done with this file."""

    code = "file_refused"


class NotAFile(FileRefused):
    """That is neither a file nor a directory."""

    code = "not_a_file"


class IsADirectory(FileRefused):
    """That is a directory."""

    code = "is_a_directory"


class NotADirectory(FileRefused):
    """That is not a directory."""

    code = "not_a_directory"


class FileExists(FileRefused):
    """Something of that name exists already."""

    code = "file_exists"
    status = 409


class FileChanged(FileRefused):
    """The file was changed meanwhile; nothing was written."""

    code = "file_changed"
    status = 409


class FilesUnreachable(HostelError):
    """Your files cannot be reached at the moment; try again."""

    code = "files_unreachable"
    status = 503
    is_retryable = True


class StaleSpec(Refusal):
    """That was deleted after this message was sent; it is not made again."""

    code = "stale_spec"
    status = 409


class LimitReached(Refusal):
    """A limit of the user's plan is reached; the operator can raise it with `hostel user limits`."""

    code = "limit"
    status = 403


class AccountSuspended(Refusal):
    """This account is suspended by the operator; `hostel user resume` ends that."""

    code = "account_suspended"
    status = 403


class TooManyWebsites(LimitReached):
    """The user has as many websites as the plan allows."""

    code = "limit_websites"


class TooManyDomains(LimitReached):
    """The website has as many domains as it may have."""

    code = "limit_domains"


class TooManyConsoles(LimitReached):
    """The user has as many consoles open as the plan allows."""

    code = "limit_consoles"
    status = 429  # as the compared API has it


class DiskLimitReached(LimitReached):
    """The user's home holds more than the plan allows."""

    code = "limit_disk"


class ConfigError(Refusal):
    """The configuration file holds a value that cannot be used."""

    code = "bad_configuration"


class BadLimit(Refusal):
    """There is no such limit, or it cannot have that value."""

    code = "bad_limit"


class AgentUnreachable(HostelError):
    """The agent does not answer; what was asked for is kept and will be carried out when it is back."""

    code = "agent_unreachable"
    status = 503
    is_retryable = True


class StillEnding(HostelError):
    """The website that had this domain is still ending; try again in a moment."""

    code = "still_ending"
    status = 503
    is_retryable = True


class StorageFull(HostelError):
    """The disk is full: nothing was changed."""

    code = "storage_full"
    status = 507
    is_retryable = True


class DnsUnreachable(HostelError):
    """The DNS does not answer; try again in a moment."""

    code = "dns_unreachable"
    status = 503
    is_retryable = True


class GateClosed(HostelError):
    """A protection that all users rely on is not in force, so nothing is started for them."""

    code = "gate_closed"
    status = 503
    is_retryable = True

    @classmethod
    def of(cls, gates: Sequence[str]) -> "GateClosed":
        return cls(
            f"The platform starts nothing for users now: a protection that they rely on ({', '.join(gates)}) is not in "
            "force. It tries again by itself. Its operator sees with `hostel doctor` what to do."
        )


class EdgeUnreachable(HostelError):
    """The edge did not acknowledge; nothing was changed for visitors."""

    code = "edge_unreachable"
    status = 503
    is_retryable = True


class Reason(StrEnum):
    """Why a run ended or never became ready. Part of the API: values are added, never changed."""

    EXITED = "exited"  # the command ended by itself; the detail gives the exit code
    SIGNALLED = "signalled"  # ended by a signal; the detail names it
    OUT_OF_MEMORY = "out_of_memory"  # the kernel killed it at its memory limit
    TOO_MANY_PROCESSES = "too_many_processes"  # it ended after the kernel refused it another process or thread
    COMMAND_NOT_FOUND = "command_not_found"  # bash said 127
    COMMAND_NOT_EXECUTABLE = "command_not_executable"  # bash said 126
    NEVER_LISTENED = "never_listened"  # nothing accepted at $DOMAIN_SOCKET before the deadline
    LISTENED_ELSEWHERE = "listened_elsewhere"  # it listens, but not at $DOMAIN_SOCKET; the detail says where
    SOCKET_UNUSABLE = "socket_unusable"  # what lies at $DOMAIN_SOCKET is no stream socket of the tenant's
    UNKNOWN_EXIT = "unknown_exit"  # ended while no agent of the platform was its parent
    GATE_CLOSED = "gate_closed"  # a protection is not in force: nothing is started until the operator has mended it
    NO_SWAP = "no_swap"  # it shall hibernate, and the machine has no swap, or none left
    CANNOT_FREEZE = "cannot_freeze"  # it shall hibernate, and the kernel cannot do that, or not with its processes
    SANDBOX_FAILED = "sandbox_failed"  # the platform could not build the sandbox: the operator's to mend


def error_from_answer(code: str, message: str) -> HostelError:
    """The error that another process reported, as the class that has its code here (HostelError where none has)."""
    pending: list[type[HostelError]] = [HostelError]
    while pending:
        kind = pending.pop()
        if kind.code == code:
            return kind(message)
        pending.extend(kind.__subclasses__())
    return HostelError(message)
