"""When each order is armed: before the baseline, or shortly before its moment. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from blackstart_controller.plan.model import HostOrder
from blackstart_controller.runs.settings import Settings


def late_arms(orders: Sequence[HostOrder], settings: Settings) -> Mapping[str, float]:
    """Order id to seconds after T0 for each order that is armed late; all others are armed up front.

    Late means: it is due more than `arm_ahead_s` after T0, so that a loop or a wave finds the processes that
    exist then. When an earlier fault of the same host ends in the last `arm_ahead_s` before, it is waited for
    as long as there is time: what is held down or stopped cannot be armed once more.
    """
    hosts: dict[str, list[HostOrder]] = {}
    for order in orders:
        hosts.setdefault(order.host, []).append(order)
    found: dict[str, float] = {}
    for own in hosts.values():
        for order in own:
            at_s = order.at_s - settings.arm_ahead_s
            if any(max(at_s, 0.0) < one.at_s + one.hold_s <= order.at_s for one in own):
                at_s = order.at_s - settings.arm_least_s
            if at_s > 0.0:
                found[order.id] = at_s
    return found
