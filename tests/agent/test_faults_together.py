"""Two faults on one host, every pair of kinds: each keeps its effect when the other ends, in either order."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from itertools import product

import pytest
from agent.test_faults import AROUND, ENDS_AT_ONCE, EXAMPLES, LEASE_NS
from blackstart_agent.errors import Refused
from blackstart_agent.faults.base import NOTHING_HELD, Fault, Held, Undo
from blackstart_agent.guardian.claims import Claims
from blackstart_agent.testing import FakeHost

SECOND = "5b0a7c5e-9d5c-4c1f-8f53-6f1a0c1f0a11"
PAIRS = list(product(EXAMPLES, EXAMPLES))


def named(pair: tuple[Fault, Fault]) -> str:
    return " + ".join(f"{fault.kind}{EXAMPLES.index(fault)}" for fault in pair)


def inject(fault: Fault, host: FakeHost, order_id: str, held: Held = NOTHING_HELD) -> Undo:
    around = replace(AROUND, order_id=order_id, held=held)
    undo: Undo = json.loads(json.dumps(fault.prepare(host, around).undo))
    fault.stage(host, undo)
    host.clock.advance(ms=20)
    fault.fire(host, undo, host.clock.monotonic_ns() + LEASE_NS)
    host.clock.advance(ms=20)
    fault.finish(host, undo)
    return undo


def together(pair: tuple[Fault, Fault], host: FakeHost) -> tuple[Undo, Undo] | None:
    """Both in effect; None when the second is refused, because nothing is left for it or the first has it."""
    first, second = pair
    undo = inject(first, host, AROUND.order_id)
    try:
        other = inject(second, host, SECOND, first.holds(undo))
    except Refused as refusal:
        assert refusal.reasons and all(second.kind in reason for reason in refusal.reasons)
        return None
    return undo, other


@pytest.mark.parametrize("last_first", [False, True], ids=["first ends first", "last ends first"])
@pytest.mark.parametrize("pair", PAIRS, ids=named)
def test_a_fault_keeps_its_effect_when_another_ends_and_both_leave_no_trace(
    pair: tuple[Fault, Fault], last_first: bool
) -> None:
    host = FakeHost()
    undos = together(pair, host)
    if undos is None:
        return
    ends, stays = (1, 0) if last_first else (0, 1)
    before = list(pair[stays].unproved(host, undos[stays]))
    kept = pair[stays].holds(undos[stays])
    pair[ends].revert(host, undos[ends], kept)
    assert pair[ends].leftovers(host, undos[ends], kept) == []
    if pair[stays].kind not in ENDS_AT_ONCE:
        assert list(pair[stays].unproved(host, undos[stays])) == before
    pair[stays].revert(host, undos[stays], NOTHING_HELD)
    assert pair[stays].leftovers(host, undos[stays], NOTHING_HELD) == [] and host == FakeHost()


def test_hardly_any_pair_is_refused() -> None:
    refused = [pair for pair in PAIRS if together(pair, FakeHost()) is None]
    assert len(refused) <= len(PAIRS) // 10, [named(pair) for pair in refused]


def test_both_in_effect_are_both_proved_unless_one_hides_the_other() -> None:
    unproved = [named(pair) for pair in PAIRS if not all(proved(pair))]
    assert len(unproved) <= len(PAIRS) // 10, unproved


def proved(pair: tuple[Fault, Fault]) -> Iterator[bool]:
    host = FakeHost()
    undos = together(pair, host)
    for fault, undo in zip(pair, undos or (), strict=False):
        yield fault.kind in ENDS_AT_ONCE or not fault.unproved(host, undo)


def test_what_one_order_changes_alone_is_refused_to_a_second_until_it_is_given_back() -> None:
    claims = Claims()
    assert claims.take("order-1", {"clock", "volume data"}) == []
    assert claims.take("order-1", {"clock"}) == [], "asking again changes nothing"
    assert claims.take("order-2", {"volume data", "volume logs"}) == [
        "volume data is changed by order order-1 already; wait"
    ]
    assert claims.take("order-3", {"volume logs"}) == [], "a refused order has taken nothing"
    claims.give_back("order-1")
    assert claims.take("order-2", {"volume data"}) == []
