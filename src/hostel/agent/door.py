"""Runs inside a sandbox as the tenant, with the sandbox's own python3: does to files what the files API asks for.

Started as `python3 -I door.py SOCKET HOME`. Speaks HTTP on the unix socket; ends by itself when nobody has asked for
IDLE_S. All that it can reach is the tenant's own, so nothing here keeps the tenant from anything: what is refused is
refused because it would surprise. Whoever asks must not believe the answers: the tenant may have changed this process.
Standard library only: no part of Hostel is visible here.

Paths come percent-encoded once more, so that names that are not UTF-8 pass through what is between.

GET files?path=      a file's bytes, or a directory as {name: "file" | "directory" | "symlink" | "other"}
                     with `details=1` a directory as {"entries": [{"name", "kind", "size", "modified", "target",
                     "leads_to"}], "seen", "has_more"}, at most DETAILS_MOST, of those whose name has `contains=`
PUT files?path=      the body becomes the file, whole or not at all; missing directories are made: 201 new, 200 not;
                     409 where what is there is not what is expected: `expect=` "absent", or the SHA-256 of a file
DELETE files?path=   a file, or a directory with all that is in it: 204
POST directory?path= a new directory: 201, or 409 where something has that name
POST move?path=&to=  another name or place: 200, or 409 where something is there
GET tree?path=       a directory and what is below it, at most TREE_MOST paths
GET log?path=        {"lines", "position", "copies"}: the last `lines=` of a log, with the names of its older copies; or
                     {"lines", "position"}: those that came `after=` a position, which survives one rotation; none where
                     none come within `wait_s=`
"""

import contextlib
import errno
import hashlib
import http.server
import json
import os
import secrets
import shutil
import socketserver
import stat
import subprocess
import sys
import threading
import time
import urllib.parse

IDLE_S = 60.0
TREE_MOST = 1_000
LIST_MOST = 20_000
DETAILS_MOST = 1_000
SEEN_MOST = 200_000  # entries of a directory that are looked through for them
COPIES_MOST = 50
LINES_MOST = 5_000
LOG_BYTES = 1 << 20
WAIT_MOST_S = 20.0
_START = "0:0"
_LOOK_S = 0.2
_PIECE = 1 << 18


class Refused(Exception):
    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 60.0
    home = "/"

    def do_GET(self) -> None:
        self._answer({"/files": self._get, "/tree": self._tree, "/log": self._log})

    def do_PUT(self) -> None:
        self._answer({"/files": self._put})

    def do_POST(self) -> None:
        self._answer({"/directory": self._make_directory, "/move": self._move})

    def do_DELETE(self) -> None:
        self._answer({"/files": self._delete})

    def _answer(self, deeds: "dict[str, object]") -> None:
        self.server.used()  # type: ignore[attr-defined]
        self.close_connection = True
        self.left = int(self.headers.get("Content-Length", 0))  # of the body
        address = urllib.parse.urlsplit(self.path)
        try:
            self.query = {
                name: values[0]
                for name, values in urllib.parse.parse_qs(address.query, errors="surrogateescape").items()
            }
            path = _decode(self.query["path"])
            deeds[address.path](self._inside(path))  # type: ignore[operator]
        except Refused as refused:
            self._drain()
            self._send_json(refused.status, {"code": refused.code, "message": refused.message})
        except OSError as error:
            self._drain()
            self._send_json(*_describe(error, path))
        except (KeyError, ValueError) as error:
            self._drain()
            self._send_json(400, {"code": "file_refused", "message": f"not understood: {error}"})
        finally:
            self.server.used()  # type: ignore[attr-defined]

    def _inside(self, path: str) -> str:
        """Other directories are not the tenant's, or are another sandbox's own (/tmp)."""
        normal = os.path.normpath("/" + path.lstrip("/"))
        if "\0" in normal or not any(_is_below(normal, top) for top in (self.home, "/var/log")):
            raise Refused(404, "no_such_file", f"No such file or directory: {path}")
        return normal

    # -- deeds

    def _get(self, path: str) -> None:
        if os.path.isdir(path):
            with_details = "details" in self.query
            self._send_json(200, _details(path, self.query.get("contains", "")) if with_details else _list(path))
            return
        # O_NONBLOCK: a FIFO must not hold this thread until somebody writes to it.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode):
                raise Refused(400, "not_a_file", f"{path} is neither a file nor a directory")
            self._begin(200, "application/octet-stream", found.st_size)
            left = found.st_size
            while left and (piece := file.read(min(_PIECE, left))):
                self.wfile.write(piece)
                left -= len(piece)

    def _writable(self, path: str) -> str:
        if not _is_below(path, self.home) or path == self.home:
            raise Refused(403, "file_forbidden", f"You may write below {self.home} only")
        return path

    def _put(self, path: str) -> None:
        path = os.path.realpath(self._writable(path))  # a link is written through, as an editor does
        if os.path.isdir(path):
            raise Refused(400, "is_a_directory", f"{path} is a directory")
        _expect(path, self.query.get("expect", ""))
        os.makedirs(os.path.dirname(path), exist_ok=True)
        mode = stat.S_IMODE(os.stat(path).st_mode) if os.path.exists(path) else None
        new = os.path.join(os.path.dirname(path), f".hostel-{secrets.token_hex(8)}")
        try:
            with open(new, "xb") as file:
                self._receive(file)
                if mode is not None:
                    os.fchmod(file.fileno(), mode)
            _expect(path, self.query.get("expect", ""))  # the body may have taken minutes
            os.replace(new, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(new)
            raise
        self._send_json(200 if mode is not None else 201, {})

    def _receive(self, file: "object") -> None:
        while piece := self.rfile.read(min(_PIECE, self.left)):
            self.left -= len(piece)
            file.write(piece)  # type: ignore[attr-defined]
        if self.left:
            raise ConnectionAbortedError(errno.ECONNABORTED, "the body ended early")

    def _drain(self) -> None:
        """A refusal that comes while the body is still being sent would be lost with the connection."""
        with contextlib.suppress(OSError):
            while piece := self.rfile.read(min(_PIECE, self.left)):
                self.left -= len(piece)

    def _delete(self, path: str) -> None:
        if path == self.home or not _is_below(path, self.home):
            raise Refused(403, "file_forbidden", "You do not have permission to delete this")
        if os.path.isdir(path) and not os.path.islink(path):
            _remove_tree(path)
        else:
            os.unlink(path)
        self._begin(204, None, 0)

    def _make_directory(self, path: str) -> None:
        if os.path.lexists(self._writable(path)):
            raise Refused(409, "file_exists", f"{path} exists already")
        os.makedirs(path)
        self._send_json(201, {})

    def _move(self, path: str) -> None:
        target = self._writable(self._inside(_decode(self.query["to"])))
        if not os.path.lexists(self._writable(path)):
            raise Refused(404, "no_such_file", f"No such file or directory: {path}")
        if _is_below(target, path):
            raise Refused(400, "file_refused", f"{path} cannot be moved into itself")
        if os.path.lexists(target):
            raise Refused(409, "file_exists", f"{target} exists already")
        os.rename(path, target)
        self._send_json(200, {})

    def _tree(self, path: str) -> None:
        if not os.path.exists(path):
            raise Refused(400, "not_a_directory", f"{path} does not exist")
        if not os.path.isdir(path):
            raise Refused(400, "not_a_directory", f"{path} is not a directory")
        self._send_json(200, _walk(path))

    def _log(self, path: str) -> None:
        if "after" not in self.query:
            self._send_json(200, _tail(path, min(int(self.query.get("lines", 100)), LINES_MOST)))
            return
        end = time.monotonic() + min(float(self.query.get("wait_s", 0)), WAIT_MOST_S)
        while not (found := _read_on(path, self.query["after"]))["lines"] and time.monotonic() < end:
            time.sleep(_LOOK_S)
        self._send_json(200, found)

    # -- answers

    def _send_json(self, status: int, value: object) -> None:
        body = json.dumps(value).encode()
        self._begin(status, "application/json", len(body))
        self.wfile.write(body)

    def _begin(self, status: int, kind: "str | None", length: int) -> None:
        self.send_response(status)
        if kind is not None:
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(length))
        self.send_header("Connection", "close")
        self.end_headers()

    def address_string(self) -> str:
        return "agent"

    def log_message(self, *_: object) -> None:
        """Nobody reads it."""


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, path: str, handler: "type[Handler]") -> None:
        self.last_used = time.monotonic()
        super().__init__(path, handler)

    def used(self) -> None:
        self.last_used = time.monotonic()

    def handle_error(self, *_: object) -> None:
        """A connection that was cut."""


def _decode(text: str) -> str:
    return urllib.parse.unquote(text, errors="surrogateescape")


def _expect(path: str, wanted: str) -> None:
    """Raises Refused where there is another file than whoever writes has seen, or any where they have seen none."""
    if wanted == "absent" and os.path.lexists(path):
        raise Refused(409, "file_exists", f"{path} exists already")
    if wanted in ("", "absent"):
        return
    digest = hashlib.sha256()
    with contextlib.suppress(FileNotFoundError), open(path, "rb") as file:
        while piece := file.read(_PIECE):
            digest.update(piece)
    if digest.hexdigest() != wanted:
        raise Refused(409, "file_changed", f"{path} was changed meanwhile")


def _tail(path: str, lines: int) -> "dict[str, object]":
    found = _end_of(path, lines)
    name = f"{os.path.basename(path)}."
    with contextlib.suppress(OSError):
        copies = (other for other in os.listdir(os.path.dirname(path)) if other.startswith(name))
        found["copies"] = sorted(copies)[:COPIES_MOST]
    return found


def _end_of(path: str, lines: int) -> "dict[str, object]":
    if not os.path.exists(path):
        return {"lines": [], "position": _START}
    with open(path, "rb") as file:
        found = os.fstat(file.fileno())
        begin = max(0, found.st_size - LOG_BYTES)
        file.seek(begin)
        whole = _whole_lines(file.read(LOG_BYTES))
        texts = whole.decode("utf-8", "replace").splitlines()[1 if begin else 0 :]
        return {"lines": texts[-lines:] if lines > 0 else [], "position": f"{found.st_ino}:{begin + len(whole)}"}


def _read_on(path: str, position: str) -> "dict[str, object]":
    """First what is left of the file that the position is in, by then perhaps rotated; then its successor."""
    inode, _, offset = position.partition(":")
    if not (inode.isdecimal() and offset.isdecimal()):
        raise Refused(400, "file_refused", "after: expected a position that an earlier answer gave")
    for name in (f"{path}.1", path):
        with contextlib.suppress(FileNotFoundError), open(name, "rb") as file:
            found = os.fstat(file.fileno())
            is_same = found.st_ino == int(inode)
            if is_same:
                file.seek(int(offset))
            elif name != path:
                continue
            whole = _whole_lines(file.read(LOG_BYTES))
            if whole or name == path:
                at = (int(offset) if is_same else 0) + len(whole)
                lines = whole.decode("utf-8", "replace").splitlines()
                return {"lines": lines, "position": f"{found.st_ino}:{at}"}
    return {"lines": [], "position": position}


def _whole_lines(data: bytes) -> bytes:
    """A line that is still being written is for the next time; one that never ends is taken as it is."""
    whole = data[: data.rfind(b"\n") + 1]
    return whole or (data if len(data) == LOG_BYTES else b"")


def _remove_tree(path: str) -> None:
    try:
        shutil.rmtree(path)
    except RecursionError:  # a thousand directories deep
        subprocess.run(["/bin/rm", "-rf", "--", path], check=False)


def _is_below(path: str, top: str) -> bool:
    return path == top or path.startswith(f"{top}/")


def _list(path: str) -> "dict[str, str]":
    found = {}
    with os.scandir(path) as entries:
        for entry in entries:
            found[entry.name] = _kind(entry)
            if len(found) == LIST_MOST:
                break
    return dict(sorted(found.items()))


def _details(path: str, contains: str) -> "dict[str, object]":
    """Directories first, each kind by name; of very large directories not the first by name but what comes first."""
    found, seen, has_more = [], 0, False
    with os.scandir(path) as entries:
        for entry in entries:
            if seen == SEEN_MOST:
                has_more = True
                break
            seen += 1
            if contains.casefold() in entry.name.casefold():
                found.append((not _leads_to_directory(entry), entry.name.casefold(), entry.name))
    found.sort()
    shown = [_describe_entry(path, name) for *_, name in found[:DETAILS_MOST]]
    return {"entries": shown, "seen": seen, "has_more": has_more or len(found) > DETAILS_MOST}


def _leads_to_directory(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _describe_entry(directory: str, name: str) -> "dict[str, object]":
    path = f"{directory}/{name}"
    described: dict[str, object] = {"name": name, "kind": "other", "size": 0, "modified": 0}
    with contextlib.suppress(OSError):  # gone meanwhile
        status = os.lstat(path)
        described |= {"kind": _kind_of(status), "size": status.st_size, "modified": int(status.st_mtime)}
        if stat.S_ISLNK(status.st_mode):
            described["target"] = os.readlink(path)
            described["leads_to"] = _kind_of(os.stat(path))
    return described


def _kind_of(status: os.stat_result) -> str:
    kinds = {stat.S_IFREG: "file", stat.S_IFDIR: "directory", stat.S_IFLNK: "symlink"}
    return kinds.get(stat.S_IFMT(status.st_mode), "other")


def _kind(entry: "os.DirEntry[str]") -> str:
    if entry.is_symlink():
        return "symlink"
    if entry.is_dir(follow_symlinks=False):
        return "directory"
    return "file" if entry.is_file(follow_symlinks=False) else "other"


def _walk(top: str) -> "list[str]":
    """Level by level, so that a limit takes what is deepest; no dot files, no links."""
    found: list[str] = []
    level = [top]
    while level:
        below: list[str] = []
        for directory in level:
            with contextlib.suppress(OSError), os.scandir(directory) as entries:
                for entry in entries:
                    if entry.name.startswith(".") or entry.is_symlink():
                        continue
                    is_directory = entry.is_dir(follow_symlinks=False)
                    found.append(entry.path + "/" * is_directory)
                    if len(found) == TREE_MOST:
                        return sorted(found)
                    if is_directory:
                        below.append(entry.path)
        level = below
    return sorted(found)


def _describe(error: OSError, path: str) -> "tuple[int, dict[str, str]]":
    if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.EEXIST, errno.ENAMETOOLONG, errno.ELOOP):
        return 404, {"code": "no_such_file", "message": f"No such file or directory: {path}"}
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return 403, {"code": "file_forbidden", "message": f"You do not have permission for {path}"}
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return 507, {"code": "storage_full", "message": "The disk is full: the file was not written."}
    return 400, {"code": "file_refused", "message": f"{path}: {os.strerror(error.errno or 0)}"}


def serve(server: Server) -> None:
    """Until nobody has asked for IDLE_S."""
    threading.Thread(target=server.serve_forever, daemon=True).start()
    while (idle_s := time.monotonic() - server.last_used) < IDLE_S:
        time.sleep(IDLE_S - idle_s + 0.1)


def main() -> None:
    os.umask(0o022)
    Handler.home = sys.argv[2]
    serve(Server(sys.argv[1], Handler))


if __name__ == "__main__":
    main()
