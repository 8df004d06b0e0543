"""Memory is taken and written to, so that it is really used. The last of the host's memory is left alone."""

from __future__ import annotations

import mmap
import signal
from dataclasses import dataclass
from pathlib import Path

from blackstart_agent.worker.children import Children

CHUNK_BYTES = 16 << 20


@dataclass(frozen=True, slots=True)
class Memory:
    """`wanted` bytes, as long as `floor` bytes stay available on the host."""

    wanted: int
    floor: int

    def begin(self, children: Children) -> None:
        children.start(self._hold)

    def status(self, children: Children) -> dict[str, int]:
        return {"running": children.running(), "bytes": children.rss_bytes()}

    def _hold(self) -> None:
        held: list[mmap.mmap] = []
        left = self.wanted
        while (size := chunk(left, available(), self.floor)) > 0:
            held.append(mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | mmap.MAP_POPULATE))
            left -= size
        while held:
            signal.pause()


def chunk(left: int, available_bytes: int, floor: int) -> int:
    """How much to take next: at most 16 MiB at a time, and nothing of the floor."""
    return max(0, min(left, CHUNK_BYTES, available_bytes - floor))


def available() -> int:
    """MemAvailable of the host, in bytes."""
    for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return 0
