"""What is decided while faults are due or held, from facts alone."""

from __future__ import annotations

from dataclasses import replace

import pytest
from blackstart_controller.plan.faults.host import HostBlackout
from blackstart_controller.plan.model import HostOrder, Mode
from blackstart_controller.runs import decide
from blackstart_controller.runs.decide import NS, Abort, World
from blackstart_controller.runs.facts import HostMoment, OrderFacts
from blackstart_controller.runs.settings import Settings
from blackstart_controller.runs.states import OrderState

T0_S = 100
HOLD_S = 10
ORDER = HostOrder("o-1", "h1", 0, HostBlackout(), Mode.TETHERED, 0.0, float(HOLD_S), 5.0)
SEEN = HostMoment("boot", 1)
INJECTED = OrderFacts(ORDER, OrderState.INJECTED, first=SEEN, last=SEEN)
GONE = replace(INJECTED, state=OrderState.REVERTED, end=SEEN, why_gone="guardian died")
NEVER = OrderFacts(ORDER, OrderState.REVERTED, end=SEEN, why_gone="guardian died")


def world(at_s: float, *facts: OrderFacts) -> World:
    return World(facts, T0_S * NS, int(at_s * NS), lambda _host: True, {}, {}, Settings())


@pytest.mark.parametrize("facts", [GONE, NEVER], ids=["injected", "never injected"])
@pytest.mark.parametrize("at_s", [T0_S - 0.5, T0_S + 0.5, T0_S + HOLD_S - 1])
def test_a_fault_that_is_gone_before_its_time_ends_the_run(facts: OrderFacts, at_s: float) -> None:
    found = decide.abort(world(at_s, facts))
    assert found == Abort("h1: host.blackout ended before its time: guardian died", halted=True)


def test_a_host_that_ends_its_fault_by_its_own_clock_is_in_time() -> None:
    assert decide.abort(world(T0_S + HOLD_S - 0.1, GONE)) is None


def test_a_fault_in_effect_goes_on_and_one_that_is_over_is_over() -> None:
    assert decide.abort(world(T0_S + 5, INJECTED)) is None
    assert not decide.holds_over(world(T0_S + 5, INJECTED))
    assert decide.holds_over(world(T0_S + HOLD_S, GONE))
