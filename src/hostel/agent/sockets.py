"""Where websites listen: one small tmpfs a tenant, one empty directory a run, and the test that a server accepts.

The file system is mounted nosymfollow: a tenant who puts a symlink where the socket was gets an error, not another
tenant's socket. Small, so that filling it hurts nobody else.
"""

import asyncio
import contextlib
import errno
import os
import shutil
import socket
import stat
from enum import StrEnum
from pathlib import Path

from hostel.agent import kernel
from hostel.agent.acceptance import was_accepted

SOCKET_NAME = "app.sock"
_KNOCK_PAUSES_S = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.2, 0.2, 0.2)
NGINX_MAY_CONNECT = 0o666  # only nginx and the tenant can enter the directory
_ST_NOSYMFOLLOW = 0x2000  # linux/statfs.h
_TMPFS = "size=256k,nr_inodes=256,mode=0711"


class Found(StrEnum):
    """What lies at the place where a website should listen."""

    NOTHING = "nothing"
    REFUSES = "refuses"  # a stream socket that does not accept (yet)
    ACCEPTS = "accepts"
    UNUSABLE = "unusable"  # something else: a file, a FIFO, a datagram socket, a symlink, another user's socket


def ensure_tenant_directory(directory: Path) -> None:
    """Mount the tenant's socket file system at `directory`. Idempotent. A kernel before 5.10 ignores nosymfollow."""
    directory.mkdir(mode=0o711, parents=True, exist_ok=True)
    if not os.path.ismount(directory):
        flags = kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC | kernel.MS_NOSYMFOLLOW
        kernel.mount_tmpfs(str(directory), flags=flags, options=_TMPFS)


def remove_tenant_directory(directory: Path) -> None:
    """Unmount and remove. Idempotent."""
    while os.path.ismount(directory):
        kernel.unmount(str(directory))
    with contextlib.suppress(FileNotFoundError):
        directory.rmdir()


def is_nosymfollow(directory: Path) -> bool:
    """Whether the file system mounted at `directory` follows no symlinks."""
    return bool(os.statvfs(directory).f_flag & _ST_NOSYMFOLLOW)


def make_run_directory(directory: Path, *, uid: int, edge_gid: int) -> None:
    """An empty directory that only the tenant and nginx can enter."""
    directory.mkdir(mode=0o700)
    os.chown(directory, uid, edge_gid)
    directory.chmod(0o710)


async def probe(directory: Path, *, uid: int) -> Found:
    """Look whether a server accepts in `directory`. On ACCEPTS nginx may connect too, whatever mode the server set.

    Accepting means that the server took the connection from its queue, not merely that it listens. The connection is
    closed at once, nothing sent.
    """
    try:
        descriptor = os.open(directory / SOCKET_NAME, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return Found.NOTHING
    except OSError:
        return Found.UNUSABLE
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISSOCK(status.st_mode) or status.st_uid != uid:
            return Found.UNUSABLE
        found = await _knock(f"/proc/self/fd/{descriptor}")
        if found is Found.ACCEPTS:
            os.chmod(f"/proc/self/fd/{descriptor}", NGINX_MAY_CONNECT)
        return found
    finally:
        os.close(descriptor)


async def _knock(path: str) -> Found:
    client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    client.setblocking(False)
    try:
        client.connect(path)  # a unix socket connects or fails at once; a full queue is EAGAIN
        for pause_s in _KNOCK_PAUSES_S:
            if was_accepted(client):
                return Found.ACCEPTS
            await asyncio.sleep(pause_s)
    except OSError as error:
        return Found.UNUSABLE if error.errno == errno.EPROTOTYPE else Found.REFUSES
    finally:
        client.close()
    return Found.REFUSES


def run_directories(directory: Path) -> list[str]:
    """Names of the runs' directories on a tenant's socket file system; [] when there is none."""
    try:
        return [entry.name for entry in os.scandir(directory) if entry.is_dir(follow_symlinks=False)]
    except FileNotFoundError:
        return []


def remove_run_directory(directory: Path) -> None:
    """Remove a run's directory and whatever the tenant left in it. Idempotent.

    rmtree works by descriptors and follows no symlink (shutil, "symlink attack resistant" on Linux).
    """
    shutil.rmtree(directory, ignore_errors=True)
