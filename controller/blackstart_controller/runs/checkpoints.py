"""Whether a checkpoint is met: every watched service ok for long enough, for every observer. Pure.

The next step begins right at the checkpoint's moment, and its orders are sent `lead_s` before. So the verdict
is given at that earlier moment, from what is known then: the present streak of ok of each view, counted from
the end of its first sample to the start of its newest, must be `steady_s` long, and the newest sample must
not be older than its time-out, two periods and a second for its delivery. A service that recovers must
therefore do so `steady_s` + `lead_s` and about half a second before the checkpoint. Nothing waits for a
verdict: moments are fixed, so what is missing then counts as not met.
"""

from __future__ import annotations

from collections.abc import Sequence

from blackstart_controller.plan.model import STOP_SERVICE, Checkpoint
from blackstart_controller.runs.sights import Sight
from blackstart_controller.runs.stops import DELIVERY_NS, NS, at_t0


def unmet(point: Checkpoint, sights: Sequence[Sight], *, now_ns: int, t0_ns: int) -> str:
    """Why the checkpoint is not met at `now_ns`, naming each service; empty when it is met."""
    services = [sight for sight in sights if not sight.service.startswith(STOP_SERVICE)]
    reasons = [why for sight in services if (why := _why(point, sight, now_ns, t0_ns))]
    return f"checkpoint {point.path}: {'; '.join(dict.fromkeys(reasons))}" if reasons else ""


def judge_ns(point: Checkpoint, t0_ns: int, lead_ns: int) -> int:
    """When the verdict is given: before anything that is due at the checkpoint is sent."""
    return t0_ns + int(point.at_s * NS) - lead_ns


def _why(point: Checkpoint, sight: Sight, now_ns: int, t0_ns: int) -> str:
    who = f"{sight.service} is not steady"
    if sight.failing_ns is not None:
        return f"{who} (failing since {at_t0(sight.failing_ns, t0_ns)})"
    if sight.known_ns is None or sight.ok_ns is None:
        return f"{who} (no usable sample from {sight.observer})"
    if now_ns - sight.known_ns > sight.answer_ns + DELIVERY_NS:
        return f"{who} (nothing known from {sight.observer} since {at_t0(sight.known_ns, t0_ns)})"
    if sight.known_ns - sight.ok_ns < int(point.steady_s * NS):
        return f"{who} (ok only since {at_t0(sight.ok_ns, t0_ns)}; it must be for {point.steady_s:g} s)"
    return ""
