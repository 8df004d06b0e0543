"""Processes write to a file system and read from it, past its cache, as fast as it lets them."""

from __future__ import annotations

import errno
import mmap
import os
import struct

from blackstart_agent.worker.children import Children

CHUNK_BYTES = 1 << 20
_COUNT = struct.Struct("q")
_FULL = (errno.ENOSPC, errno.EDQUOT)


class Io:
    """`workers` processes with a file of `size` bytes each below `path`, while `floor` bytes stay free."""

    def __init__(self, path: str, workers: int, size: int, floor: int) -> None:
        self._path, self._size, self._floor = path, size, floor
        self._files = [os.open(path, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600) for _ in range(workers)]
        self._written = mmap.mmap(-1, _COUNT.size * workers)  # by each, shared with all

    def begin(self, children: Children) -> None:
        for number in range(len(self._files)):
            children.start(lambda mine=number: self._churn(mine))  # type: ignore[misc]

    def status(self, children: Children) -> dict[str, int]:
        written = (_COUNT.unpack_from(self._written, _COUNT.size * n)[0] for n in range(len(self._files)))
        return {"running": children.running(), "bytes": sum(written)}

    def _churn(self, number: int) -> None:
        file, data, written = self._files[number], os.urandom(CHUNK_BYTES), 0
        while True:
            for at in range(0, self._size, CHUNK_BYTES):
                written += self._write(file, data, at)
                _COUNT.pack_into(self._written, _COUNT.size * number, written)
            os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
            for at in range(0, self._size, CHUNK_BYTES):
                os.pread(file, CHUNK_BYTES, at)

    def _write(self, file: int, data: bytes, at: int) -> int:
        """Nothing, when there is no room but the floor: another may have taken it meanwhile."""
        found = os.statvfs(self._path)
        if os.fstat(file).st_size <= at and found.f_bavail * found.f_frsize - CHUNK_BYTES < self._floor:
            return 0
        try:
            count = os.pwrite(file, data[: self._size - at], at)
            os.fdatasync(file)
        except OSError as error:
            if error.errno not in _FULL:
                raise
            return 0
        return count
