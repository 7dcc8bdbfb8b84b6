"""Paths that users name in their homes, as text: what lies there may change at any moment. Pure."""

PATH_BYTES_LIMIT = 1024


def find_fault(path: str, *, username: str) -> str | None:
    """Why `path` names nothing in that user's home, in a sentence; None where it does."""
    home = f"/home/{username}"
    if path != home and not path.startswith(f"{home}/"):
        return f"A path lies in your home: {home}/site, for example."
    return find_fault_in_text(path, what="A path", limit=PATH_BYTES_LIMIT)


def find_fault_in_text(path: str, *, what: str, limit: int) -> str | None:
    if any(ord(character) < 32 or ord(character) == 127 for character in path):
        return f"{what} holds no control characters."
    try:
        size = len(path.encode())
    except UnicodeEncodeError:
        return f"{what} is text that UTF-8 can spell."
    if size > limit:
        return f"{what} has at most {limit:,} bytes."
    parts = path.removeprefix("/").removesuffix("/").split("/")
    if parts != [""] and {"", ".", ".."} & set(parts):
        return f"{what} holds no empty parts and none that are . or .. alone."
    return None
