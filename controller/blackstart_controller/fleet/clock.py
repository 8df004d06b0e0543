"""Offsets between the controller's and the hosts' monotonic clocks, as NTP estimates them. Pure.

All times are nanoseconds of CLOCK_MONOTONIC. An exchange: the controller sends at `t0`, the host reads
at `t1` and answers at `t2` (its clock), the controller reads at `t3`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from blackstart_controller.runs.ports import ClockEstimate

BURST = 8
DRIFT_PPM = 50  # two ordinary crystals apart; typical is 20


@dataclass(frozen=True, slots=True)
class Exchange:
    t0: int
    t1: int
    t2: int
    t3: int

    @property
    def round_trip_ns(self) -> int:
        """Time on the way there and back, the host's own delay taken out."""
        return (self.t3 - self.t0) - (self.t2 - self.t1)

    @property
    def offset_ns(self) -> int:
        """controller time - host time, right to ± half the round trip however unequal the two ways are."""
        return ((self.t0 - self.t1) + (self.t3 - self.t2)) // 2


def estimate(host: str, boot_id: str, burst: Iterable[Exchange]) -> ClockEstimate | None:
    """What the fastest exchange of a burst says; None when there is no possible one."""
    possible = [exchange for exchange in burst if exchange.round_trip_ns >= 0 and exchange.t2 >= exchange.t1]
    if not possible:
        return None
    best = min(possible, key=lambda exchange: exchange.round_trip_ns)
    return ClockEstimate(
        host=host,
        boot_id=boot_id,
        offset_ns=best.offset_ns,
        error_ns=best.round_trip_ns // 2 + 1,  # the halves were rounded down
        at_ns=best.t3,
    )


def error_ns_at(measured: ClockEstimate, now_ns: int) -> int:
    """The error bound at another moment: the clocks may have drifted apart between it and the measurement."""
    return measured.error_ns + abs(now_ns - measured.at_ns) * DRIFT_PPM // 1_000_000


def to_host_ns(measured: ClockEstimate, controller_ns: int) -> int:
    return controller_ns - measured.offset_ns


def to_controller_ns(measured: ClockEstimate, host_ns: int) -> int:
    return host_ns + measured.offset_ns
