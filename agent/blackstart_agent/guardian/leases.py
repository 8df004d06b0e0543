"""When a fault ends by itself. Pure arithmetic on nanoseconds of CLOCK_MONOTONIC."""

from __future__ import annotations

from dataclasses import dataclass, replace

MS = 1_000_000
MIN_ARM_LEASE_MS, MAX_ARM_LEASE_MS = 2_000, 15_000  # armed, and nobody says when
MAX_LEASE_MS = 60_000
MAX_HOLD_MS = 86_400_000
MAX_LEAD_NS = 60_000 * MS  # how far ahead T0 may lie
MAX_LATE_NS = 250 * MS  # how long ago T0 may be; a later fault would not be the experiment's any more


@dataclass(frozen=True, slots=True)
class Lease:
    """`expires_ns` never lies after `hold_end_ns`. A sealed lease neither grows nor shrinks."""

    sealed: bool
    expires_ns: int
    hold_end_ns: int

    def renewed(self, now_ns: int, lease_ms: int) -> Lease:
        """Lasts `lease_ms` from now, or as long as before if that is longer; never past the hold's end."""
        if self.sealed or self.expired(now_ns):
            return self
        wanted = now_ns + min(max(lease_ms, 0), MAX_LEASE_MS) * MS
        return replace(self, expires_ns=max(self.expires_ns, min(wanted, self.hold_end_ns)))

    def shortened(self, now_ns: int, grace_ms: int) -> Lease:
        """The stream is lost: lasts `grace_ms` from now at most, until it is renewed."""
        if self.sealed:
            return self
        return replace(self, expires_ns=min(self.expires_ns, now_ns + grace_ms * MS))

    def expired(self, now_ns: int) -> bool:
        return now_ns >= self.expires_ns


def armed(now_ns: int, lease_ms: int) -> Lease:
    """Of an order that is armed and not injected: it never outlives a lost stream, sealed or not.

    It lasts as long as the order's own lease, 2 s to 15 s, and is renewed while the order waits for T0.
    """
    expires_ns = now_ns + min(max(lease_ms, MIN_ARM_LEASE_MS), MAX_ARM_LEASE_MS) * MS
    return Lease(False, expires_ns, expires_ns)


def injected(t0_ns: int, *, sealed: bool, lease_ms: int, hold_ms: int) -> Lease:
    """From T0: sealed until the hold's end, tethered for one lease."""
    hold_end = t0_ns + min(hold_ms, MAX_HOLD_MS) * MS
    if sealed:
        return Lease(True, hold_end, hold_end)
    return Lease(False, min(hold_end, t0_ns + min(lease_ms, MAX_LEASE_MS) * MS), hold_end)


def times_refused(sealed: bool, lease_ms: int, hold_ms: int) -> list[str]:
    """What is wrong with an order's times."""
    reasons: list[str] = []
    if not 1 <= hold_ms <= MAX_HOLD_MS:
        reasons.append(f"hold_ms must be 1 to {MAX_HOLD_MS}, got {hold_ms}")
    if not sealed and not 1 <= lease_ms <= MAX_LEASE_MS:
        reasons.append(f"lease_ms must be 1 to {MAX_LEASE_MS} in tethered mode, got {lease_ms}")
    return reasons


def instant_refused(now_ns: int, t0_ns: int) -> str:
    """Why nothing may be fired at T0; empty when it may."""
    if now_ns - t0_ns > MAX_LATE_NS:
        return f"T0 was {(now_ns - t0_ns) // MS} ms ago; {MAX_LATE_NS // MS} ms is the most"
    if t0_ns - now_ns > MAX_LEAD_NS:
        return f"T0 is {(t0_ns - now_ns) // MS} ms ahead; {MAX_LEAD_NS // MS} ms is the most"
    return ""
