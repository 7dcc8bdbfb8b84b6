"""Runs inside a sandbox as the tenant, with the sandbox's own python3: does to files what the files API asks for.

Started as `python3 -I door.py SOCKET HOME`. Speaks HTTP on the unix socket; ends by itself when nobody has asked for
IDLE_S. All that it can reach is the tenant's own, so nothing here keeps the tenant from anything: what is refused is
refused because it would surprise. Whoever asks must not believe the answers: the tenant may have changed this process.
Standard library only: no part of Hostel is visible here.

GET files?path=      a file's bytes, or a directory as {name: "file" | "directory" | "symlink" | "other"}
PUT files?path=      the body becomes the file, whole or not at all; missing directories are made: 201 new, 200 replaced
DELETE files?path=   a file, or a directory with all that is in it: 204
GET tree?path=       a directory and what is below it, at most TREE_MOST paths
GET log?path=        {"lines", "position"}: the last `lines=` of a log; or those that came `after=` a position, which
                     survives one rotation; none where none come within `wait_s=`
"""

import contextlib
import errno
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

    def do_DELETE(self) -> None:
        self._answer({"/files": self._delete})

    def _answer(self, deeds: "dict[str, object]") -> None:
        self.server.used()  # type: ignore[attr-defined]
        self.close_connection = True
        address = urllib.parse.urlsplit(self.path)
        try:
            self.query = {
                name: values[0]
                for name, values in urllib.parse.parse_qs(address.query, errors="surrogateescape").items()
            }
            path = self.query["path"]
            deeds[address.path](self._inside(path))  # type: ignore[operator]
        except Refused as refused:
            self._send_json(refused.status, {"code": refused.code, "message": refused.message})
        except OSError as error:
            self._send_json(*_describe(error, path))
        except (KeyError, ValueError) as error:
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
            self._send_json(200, _list(path))
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

    def _put(self, path: str) -> None:
        if not _is_below(path, self.home) or path == self.home:
            raise Refused(403, "file_forbidden", f"You may write below {self.home} only")
        path = os.path.realpath(path)  # a link is written through, as an editor does
        if os.path.isdir(path):
            raise Refused(400, "is_a_directory", f"{path} is a directory")
        os.makedirs(os.path.dirname(path), exist_ok=True)
        mode = stat.S_IMODE(os.stat(path).st_mode) if os.path.exists(path) else None
        new = os.path.join(os.path.dirname(path), f".hostel-{secrets.token_hex(8)}")
        try:
            with open(new, "xb") as file:
                self._receive(file)
                if mode is not None:
                    os.fchmod(file.fileno(), mode)
            os.replace(new, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(new)
            raise
        self._send_json(200 if mode is not None else 201, {})

    def _receive(self, file: "object") -> None:
        left = int(self.headers["Content-Length"])
        while left:
            piece = self.rfile.read(min(_PIECE, left))
            if not piece:
                raise ConnectionAbortedError(errno.ECONNABORTED, "the body ended early")
            file.write(piece)  # type: ignore[attr-defined]
            left -= len(piece)

    def _delete(self, path: str) -> None:
        if path == self.home or not _is_below(path, self.home):
            raise Refused(403, "file_forbidden", "You do not have permission to delete this")
        if os.path.isdir(path) and not os.path.islink(path):
            _remove_tree(path)
        else:
            os.unlink(path)
        self._begin(204, None, 0)

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

    def __init__(self, path: str) -> None:
        self.last_used = time.monotonic()
        super().__init__(path, Handler)

    def used(self) -> None:
        self.last_used = time.monotonic()

    def handle_error(self, *_: object) -> None:
        """A connection that was cut."""


def _tail(path: str, lines: int) -> "dict[str, object]":
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


def main() -> None:
    os.umask(0o022)
    Handler.home = sys.argv[2]
    server = Server(sys.argv[1])
    threading.Thread(target=server.serve_forever, daemon=True).start()
    while (idle_s := time.monotonic() - server.last_used) < IDLE_S:
        time.sleep(IDLE_S - idle_s + 0.1)


if __name__ == "__main__":
    main()
