"""Linux calls that Python 3.11 has no name for. Thin: one function a call, OSError with the path on failure."""

import ctypes
import os

_libc = ctypes.CDLL(None, use_errno=True)

CLONE_NEWNET = 0x40000000
MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_NOSYMFOLLOW = 2, 4, 8, 256  # linux/mount.h; nosymfollow since Linux 5.10
_MNT_DETACH = 2
_PR_SET_CHILD_SUBREAPER = 36


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), what)


def mount_tmpfs(target: str, *, flags: int, options: str) -> None:
    _check(_libc.mount(b"tmpfs", os.fsencode(target), b"tmpfs", ctypes.c_ulong(flags), options.encode()), target)


def unmount(target: str) -> None:
    """Detach `target` now; what is still open in it goes when it is closed."""
    _check(_libc.umount2(os.fsencode(target), _MNT_DETACH), target)


def become_subreaper() -> None:
    """Orphaned descendants become this process's children, so that it learns how they ended (prctl(2))."""
    _check(_libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), "PR_SET_CHILD_SUBREAPER")


def unshare_network() -> None:
    """Give the calling thread, and it alone, a new network namespace."""
    _check(_libc.unshare(CLONE_NEWNET), "CLONE_NEWNET")


def enter_network(descriptor: int) -> None:
    """Move the calling thread, and it alone, into the network namespace behind `descriptor`."""
    _check(_libc.setns(descriptor, CLONE_NEWNET), "setns")
