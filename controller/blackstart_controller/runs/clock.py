"""The controller's own time: monotonic for everything that is measured, wall time only for display."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol


class Clock(Protocol):
    @property
    def boot_id(self) -> str: ...

    def monotonic_ns(self) -> int: ...

    def wall(self) -> datetime: ...


@dataclass(frozen=True, slots=True)
class SystemClock:
    """CLOCK_MONOTONIC of this machine's present boot."""

    boot_id: str

    @classmethod
    def of_this_boot(cls) -> SystemClock:
        return cls(Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip())

    def monotonic_ns(self) -> int:
        return time.monotonic_ns()

    def wall(self) -> datetime:
        return datetime.now(UTC)


def iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def iso_at(clock: Clock, at_ns: int) -> str:
    """The wall time of a moment on the controller's monotonic clock, for display."""
    return iso(clock.wall() - timedelta(microseconds=(clock.monotonic_ns() - at_ns) / 1000))
