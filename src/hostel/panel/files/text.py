"""Files as a text field of a page can hold them. Pure.

Browsers send every line break of a text field as CR LF, so which one the file has must be remembered.
"""

import hashlib
from dataclasses import dataclass

EDIT_BYTES = 400 << 10  # the largest file that is edited; with CR LF and the form it stays below the panel's 1 MiB


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    text: str  # its lines end in LF
    newline: str  # "lf" or "crlf": what they end in when it is saved
    is_mixed: bool  # the file has several kinds, and will have one when it has been saved
    digest: str  # of the file, SHA-256


def read_text(data: bytes) -> Text | None:
    """None where it is no text that would come back unharmed."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return None
    if "\0" in text:
        return None
    crlf = text.count("\r\n")
    is_mixed = text.count("\r") != crlf or crlf not in (0, text.count("\n"))
    return Text(
        text=text.replace("\r\n", "\n").replace("\r", "\n"),
        newline="crlf" if crlf and not is_mixed else "lf",
        is_mixed=is_mixed,
        digest=digest_of(data),
    )


def write_text(sent: str, *, newline: str) -> bytes:
    """What a text field sent, as a file. What is no text at all (half a character) becomes a question mark."""
    text = sent.replace("\r\n", "\n").replace("\r", "\n")
    return (text.replace("\n", "\r\n") if newline == "crlf" else text).encode(errors="replace")


def digest_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
