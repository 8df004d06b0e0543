"""How patient a run is. Seconds."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Settings:
    approval_s: float = 3600.0  # so long a run waits for its second person
    lead_s: float = 1.0  # T0 lies so far in the future when the orders go out
    first_sample_s: float = 10.0  # every probe must have answered once by then
    arm_ahead_s: float = 5.0  # what is due later after T0 is armed so long before its moment
    arm_least_s: float = 1.5  # ... but never later than this, so that it can still be injected in time
    stop_misses: int = 2  # a source of a stop condition that is silent so often in a row counts as tripped
    stop_answer_s: float = 2.0  # one answer of such a source, or its period if that is shorter
    baseline_grace_s: float = 10.0  # beyond the plan's baseline_s
    inject_confirm_s: float = 5.0  # after the planned moment
    clocks_every_s: float = 10.0
    self_revert_s: float = 2.0  # a host ends its faults by itself; after this it is told to
    revert_again_s: float = 2.0
    revert_confirm_s: float = 30.0  # then a host that has not confirmed is listed
    drain_s: float = 5.0  # for samples that are still on their way
    call_s: float = 15.0  # the longest that one call to a host may take
