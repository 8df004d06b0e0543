"""A file system's room is taken by files without a name: they are gone with who has them open."""

from __future__ import annotations

import errno
import mmap
import os
import resource
import signal
import struct
import time

from blackstart_agent.worker.children import Children

CHUNK_BYTES = 64 << 20
LEAST_BYTES = 4096
SPARE_FILES = 64
AGAIN_S = 0.05
_COUNTS = struct.Struct("qq")  # files taken, and whether there are no more
_FULL = (errno.ENOSPC, errno.EDQUOT)


class Fill:
    """`wanted` bytes below `path`, as long as `floor` bytes stay free. OSError: it cannot be made there."""

    def __init__(self, path: str, wanted: int, floor: int, volume: str) -> None:
        self._file = _unnamed(path)
        self._path, self._wanted, self._floor = path, wanted, floor

    def begin(self, children: Children) -> None:
        children.start(self._take)

    def status(self, children: Children) -> dict[str, int]:
        taken, left = os.fstat(self._file).st_blocks * 512, self._left()
        return {"running": children.running(), "bytes": taken, "full": int(left < LEAST_BYTES)}

    def _take(self) -> None:
        """All of it; what others have of it now is taken when they let it go."""
        taken = 0
        while (taken := self._more(taken)) < self._wanted:
            time.sleep(AGAIN_S)
        while True:
            signal.pause()

    def _more(self, taken: int) -> int:
        """As much as there is, in steps that a revert need not wait for, and small ones at the end."""
        step = CHUNK_BYTES
        while (size := min(step, self._wanted - taken, self._left())) > 0 and step >= LEAST_BYTES:
            try:
                os.posix_fallocate(self._file, taken, size)
            except OSError as error:
                if error.errno not in _FULL:
                    raise
                step //= 2
                continue
            taken += size
        return taken

    def _left(self) -> int:
        found = os.statvfs(self._path)
        return found.f_bavail * found.f_frsize - self._floor


class Inodes:
    """`wanted` files below `path`. OSError: it cannot be made there."""

    def __init__(self, path: str, wanted: int, volume: str) -> None:
        os.close(_unnamed(path))
        self._path, self._wanted = path, wanted
        self._files = mmap.mmap(-1, _COUNTS.size)  # shared with the child that has them

    def begin(self, children: Children) -> None:
        children.start(self._take)

    def status(self, children: Children) -> dict[str, int]:
        files, full = _COUNTS.unpack_from(self._files)
        return {"running": children.running(), "files": files, "full": full}

    def _take(self) -> None:
        most = self._wanted + SPARE_FILES
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
        for number in range(self._wanted):
            while not self._took():  # others have the rest; what they let go is taken
                _COUNTS.pack_into(self._files, 0, number, 1)
                time.sleep(AGAIN_S)
            _COUNTS.pack_into(self._files, 0, number + 1, 0)
        while True:
            signal.pause()

    def _took(self) -> bool:
        try:
            _unnamed(self._path)
        except OSError as error:
            if error.errno not in _FULL:
                raise
            return False
        return True


def _unnamed(path: str) -> int:
    return os.open(path, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
