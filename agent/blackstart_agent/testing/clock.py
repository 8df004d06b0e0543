"""A clock that only a test moves."""

from __future__ import annotations

from dataclasses import dataclass

NANOSECONDS_PER_MS = 1_000_000
_NANOSECONDS_PER_TICK = 10_000_000


@dataclass
class FakeClock:
    """A clock that stands still until `advance`. It starts one second after boot."""

    now_ns: int = 1_000_000_000
    boot: str = "boot-1"
    wall_at_boot_ns: int = 1_700_000_000_000_000_000

    def advance(self, *, ms: float) -> None:
        self.now_ns += round(ms * NANOSECONDS_PER_MS)

    def monotonic_ns(self) -> int:
        return self.now_ns

    def wall_ns(self) -> int:
        return self.wall_at_boot_ns + self.now_ns

    def boot_id(self) -> str:
        return self.boot

    def boot_ticks(self) -> int:
        return self.now_ns // _NANOSECONDS_PER_TICK
