"""The host's clocks."""

from __future__ import annotations

import os
import time
from pathlib import Path

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_NANOSECONDS_PER_S = 1_000_000_000


class LinuxClock:
    def __init__(self) -> None:
        self._boot_id = _BOOT_ID.read_text(encoding="ascii").strip()

    def monotonic_ns(self) -> int:
        return time.monotonic_ns()

    def wall_ns(self) -> int:
        return time.time_ns()

    def boot_id(self) -> str:
        return self._boot_id

    def boot_ticks(self) -> int:
        return time.clock_gettime_ns(time.CLOCK_BOOTTIME) * _TICKS_PER_S // _NANOSECONDS_PER_S
