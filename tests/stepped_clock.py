"""A wall clock that can be stepped for chosen processes, and for no others: a library that is loaded before libc's.

The monotonic clock stays as it is. A time namespace would not do: it moves the monotonic clock and not this one.
"""

import os
import shutil
import struct
import subprocess
from pathlib import Path

import pytest

SOURCE = """
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static volatile long *offset_s;

__attribute__((constructor)) static void start(void) {
    const char *path = getenv("STEPPED_CLOCK");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0) return;
    void *map = mmap(0, sizeof(long), PROT_READ, MAP_SHARED, file, 0);
    close(file);
    if (map != MAP_FAILED) offset_s = map;
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    int result = syscall(SYS_clock_gettime, clock, now);
    if (!result && offset_s && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) now->tv_sec += *offset_s;
    return result;
}

int gettimeofday(struct timeval *now, void *zone) {
    struct timespec exact;
    clock_gettime(CLOCK_REALTIME, &exact);
    now->tv_sec = exact.tv_sec;
    now->tv_usec = exact.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *place) {
    struct timespec exact;
    clock_gettime(CLOCK_REALTIME, &exact);
    if (place) *place = exact.tv_sec;
    return exact.tv_sec;
}
"""


class SteppedClock:
    """Built in `directory`, which processes of other users must be able to enter."""

    def __init__(self, directory: Path) -> None:
        compiler = shutil.which("gcc")
        if compiler is None:
            pytest.fail("gcc is missing; install it: apt-get install --yes gcc libc6-dev", pytrace=False)
        self._offset = directory / "offset"
        self._offset.write_bytes(struct.pack("l", 0))
        library, source = directory / "clock.so", directory / "clock.c"
        source.write_text(SOURCE)
        subprocess.run([compiler, "-shared", "-fPIC", "-O2", "-o", str(library), str(source)], check=True)
        self.environment = {"LD_PRELOAD": str(library), "STEPPED_CLOCK": str(self._offset)}

    def step(self, seconds: int) -> None:
        """From now on the clock is so far from the machine's."""
        descriptor = os.open(self._offset, os.O_WRONLY)  # the same file: it is mapped
        try:
            os.pwrite(descriptor, struct.pack("l", seconds), 0)
        finally:
            os.close(descriptor)
