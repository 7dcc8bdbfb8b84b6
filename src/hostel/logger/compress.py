"""The child process that compresses one rotated copy: `python -m hostel.logger.compress TARGET <COPY`.

Writes TARGET and nothing else; exit status 1 means that the copy was still being written to.
"""

import gzip
import os
import shutil
import sys


def compress(source: int, target: str) -> bool:
    """Write what `source` holds, compressed and with its times, to the new file `target`. False if it grew meanwhile.

    Closes `source`.
    """
    sink = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    with os.fdopen(source, "rb") as plain, os.fdopen(sink, "wb") as raw:
        before = os.fstat(source)
        with gzip.GzipFile(filename="", mode="wb", fileobj=raw, compresslevel=6, mtime=before.st_mtime) as packed:
            shutil.copyfileobj(plain, packed, 256 * 1024)
        raw.flush()
        os.utime(sink, ns=(before.st_atime_ns, before.st_mtime_ns))
        os.fsync(sink)  # the plain copy is removed next; a power cut must not leave neither
        return os.fstat(source).st_size == before.st_size


if __name__ == "__main__":
    os.nice(19)
    sys.exit(0 if compress(0, sys.argv[1]) else 1)
