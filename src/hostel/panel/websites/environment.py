"""Environment variables as text: what a `.env` file says. Pure."""

from io import StringIO

from dotenv.parser import Binding, parse_stream

from hostel.wire.environment import InvalidVariable, check_name, check_value
from hostel.wire.errors import Refusal

_FILE_BYTES = 128 << 10


class UnreadableFile(Refusal):
    """That is no `.env` file."""

    code = "invalid"


def read_file(content: str) -> dict[str, str]:
    """All or nothing: a line that cannot be read names itself. `$NAME` stays as it is.

    Raises UnreadableFile or InvalidVariable.
    """
    if len(content) > _FILE_BYTES:
        raise UnreadableFile(f"Give at most {_FILE_BYTES >> 10} KiB.")
    # A comment or an empty line has no key.
    return dict(_read(each) for each in parse_stream(StringIO(content)) if each.error or each.key is not None)


def _read(binding: Binding) -> tuple[str, str]:
    line = f"Line {binding.original.line}"
    if binding.error or binding.key is None:
        raise UnreadableFile(f"{line} cannot be read: expected NAME=value.")
    if binding.value is None:
        raise UnreadableFile(f"{line}: {binding.key} has no value.")
    try:
        return check_name(binding.key), check_value(binding.value)
    except InvalidVariable as error:
        raise InvalidVariable(f"{line}: {error}") from error
