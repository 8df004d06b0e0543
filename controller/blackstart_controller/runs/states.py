"""The states of a run and of an order, and which may follow which. Nothing else decides that."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType


class RunState(StrEnum):
    CREATED = "created"
    AWAITING_APPROVAL = "awaiting_approval"
    PLANNED = "planned"
    ARMING = "arming"
    BASELINE = "baseline"
    INJECTING = "injecting"
    HOLDING = "holding"
    REVERTING = "reverting"
    SETTLING = "settling"
    HALTING = "halting"
    ENDED = "ended"


_FORWARD = {
    RunState.CREATED: {RunState.AWAITING_APPROVAL, RunState.PLANNED},
    RunState.AWAITING_APPROVAL: {RunState.PLANNED},
    RunState.PLANNED: {RunState.ARMING},
    RunState.ARMING: {RunState.BASELINE, RunState.REVERTING},
    RunState.BASELINE: {RunState.INJECTING, RunState.REVERTING},
    RunState.INJECTING: {RunState.HOLDING, RunState.REVERTING},
    RunState.HOLDING: {RunState.REVERTING},
    RunState.REVERTING: {RunState.SETTLING, RunState.ENDED},
    RunState.SETTLING: {RunState.ENDED},
    RunState.HALTING: {RunState.ENDED},
}

# Every state but the last can be halted; nothing leaves `ended`.
TRANSITIONS: Mapping[RunState, frozenset[RunState]] = MappingProxyType(
    {
        state: frozenset(
            _FORWARD.get(state, set()) | ({RunState.HALTING} if state != RunState.ENDED else set())
        )
        for state in RunState
    }
)


class OrderState(StrEnum):
    """How far an order is known to have come. `arming`, `firing`: sent; whether it arrived is unknown."""

    PLANNED = "planned"
    ARMING = "arming"
    ARMED = "armed"
    FIRING = "firing"
    INJECTED = "injected"
    REVERTING = "reverting"
    REFUSED = "refused"
    DISARMED = "disarmed"
    REVERTED = "reverted"


RANK: Mapping[OrderState, int] = MappingProxyType(
    {
        OrderState.PLANNED: 0,
        OrderState.ARMING: 1,
        OrderState.ARMED: 2,
        OrderState.FIRING: 3,
        OrderState.INJECTED: 4,
        OrderState.REVERTING: 5,
        OrderState.REFUSED: 6,
        OrderState.DISARMED: 6,
        OrderState.REVERTED: 6,
    }
)

# States in which nothing of the order is on its host.
CLEAN = frozenset({OrderState.PLANNED, OrderState.REFUSED, OrderState.DISARMED, OrderState.REVERTED})


class ImpossibleTransition(RuntimeError):
    """A defect of ours, never an operator's."""


def check_transition(current: RunState, following: RunState) -> None:
    if following not in TRANSITIONS[current]:
        raise ImpossibleTransition(f"a run cannot go from {current} to {following}")
