"""Opening consoles, typing into them by a call, ending them: noted in the audit trail, then asked of the agent."""

from django.db import transaction

from hostel.panel import agent
from hostel.panel.accounts.models import User
from hostel.panel.audit.models import Deed, record
from hostel.wire.console import ConsoleReport, ConsoleRequest, ConsoleUnreachable, describe

_SUBJECT_LENGTH = 200


def open_console(owner: User, wanted: ConsoleRequest) -> ConsoleReport:
    """Raises ConsoleRefused, TooManyConsoles, or that the agent does not answer."""
    _note(owner, Deed.CONSOLE_CREATE, describe(wanted.executable)[:_SUBJECT_LENGTH])
    return agent.open_console(owner.username, wanted)


def give_input(owner: User, number: int, text: str) -> None:
    """Raises UnknownConsole, and ConsoleUnreachable where its command does not read."""
    _note(owner, Deed.CONSOLE_INPUT, str(number))
    data = text.encode(errors="replace")
    taken = agent.give_console_input(owner.username, number, data)
    if taken < len(data):
        raise ConsoleUnreachable(f"The console's command does not read: {taken} of {len(data)} bytes were taken.")


def end_console(owner: User, number: int) -> None:
    """Raises UnknownConsole."""
    _note(owner, Deed.CONSOLE_DELETE, str(number))
    agent.end_console(owner.username, number)


def _note(owner: User, deed: Deed, subject: str) -> None:
    """Before it is tried: no transaction spans a database and a sandbox."""
    with transaction.atomic():
        record(owner, deed, subject)
