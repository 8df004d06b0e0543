"""What ends an order without a word: its lease, the stream, a T0 that never comes."""

from __future__ import annotations

from pathlib import Path

import pytest
from blackstart_proto.v1 import faults_pb2
from guardian_world import MS, World, order_id

SEALED = faults_pb2.MODE_SEALED


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


# ---- armed and never injected ----


def test_an_armed_order_ends_by_itself(world: World) -> None:
    world.arm()
    world.advance(4_999)
    assert world.host.staged
    world.advance(1)
    assert world.events() == ["ARMED", "DISARMED"]
    world.assert_clean()


def test_a_renewal_keeps_an_order_armed(world: World) -> None:
    world.arm()
    world.advance(4_000)
    world.engine.renew([order_id(1)], 5_000)
    world.advance(4_000)
    assert world.host.staged


@pytest.mark.parametrize("mode", [faults_pb2.MODE_TETHERED, SEALED])
def test_an_armed_order_ends_with_the_stream_in_either_mode(world: World, mode: int) -> None:
    world.arm(mode=mode)
    world.engine.stream(connected=False)
    world.advance(1_000)
    assert world.events() == ["ARMED", "DISARMED"]
    assert world.details("DISARMED") == ["stream lost"]
    world.assert_clean()


def test_an_order_reverted_before_t0_never_fires(world: World) -> None:
    world.arm()
    world.engine.inject([order_id(1)], world.now + 100 * MS)
    world.settle()
    world.engine.revert([order_id(1)], "halted")
    world.settle()
    world.advance(200)
    assert "fire" not in world.host.calls
    assert world.events() == ["ARMED", "DISARMED"]
    world.assert_clean()


def test_an_order_reverted_while_it_is_being_armed_is_refused_and_taken_away(world: World) -> None:
    world.engine.arm(1, world.order(1))
    world.engine.revert_all("halted")
    world.settle()
    assert "taken away while it was being armed: halted" in world.answers[0].resolution.refusals[0]
    assert world.events() == ["DISARMED"]
    world.assert_clean()


def test_an_order_that_takes_for_ever_to_arm_is_no_reason_to_kill_the_guardian(world: World) -> None:
    world.engine.arm(1, world.order(1))
    assert world.engine.deadline_ns() == world.now + 5_000 * MS
    world.host.clock.advance(ms=5_000)
    world.engine.tick()
    assert world.engine.deadline_ns() == 0
    world.settle()
    assert "armed and never injected" in world.answers[0].resolution.refusals[0]
    world.assert_clean()


# ---- the stream ----


def test_a_lost_stream_ends_a_tethered_fault_after_the_grace(world: World) -> None:
    world.inject(kind="test.stop")
    world.engine.stream(connected=False)
    world.advance(999)
    assert world.host.active()
    world.advance(1)
    assert world.details("REVERTING") == ["stream lost"]
    world.assert_clean()


def test_a_lost_stream_also_shortens_the_kernels_deadline(world: World) -> None:
    world.inject()
    world.engine.stream(connected=False)
    assert world.host.effects[order_id(1)] == world.now + 1_000 * MS


def test_a_stream_that_returns_within_the_grace_and_renews_keeps_the_fault(world: World) -> None:
    world.inject(kind="test.stop")
    world.engine.stream(connected=False)
    world.advance(900)
    world.engine.stream(connected=True)
    world.engine.renew([order_id(1)], 5_000)
    world.advance(4_999)
    assert world.host.active()
    world.advance(1)
    assert world.details("REVERTING") == ["lease expired"]


def test_a_stream_that_returns_without_a_renewal_saves_nothing(world: World) -> None:
    world.inject(kind="test.stop")
    world.engine.stream(connected=False)
    world.engine.stream(connected=True)
    world.advance(1_000)
    world.assert_clean()


def test_a_sealed_fault_ignores_streams_and_renewals_and_ends_at_its_hold(world: World) -> None:
    world.inject(kind="test.stop", mode=SEALED, lease_ms=0, hold_ms=20_000)
    world.engine.stream(connected=False)
    world.advance(10_000)
    world.engine.stream(connected=True)
    world.engine.renew([order_id(1)], 60_000)
    world.advance(9_999)
    assert world.host.active()
    world.advance(1)
    assert world.details("REVERTING") == ["held as long as ordered"]
    world.assert_clean()


def test_a_sealed_fault_whose_t0_is_set_fires_though_the_stream_is_gone(world: World) -> None:
    world.arm(mode=SEALED, hold_ms=20_000)
    world.engine.inject([order_id(1)], world.now + 2_000 * MS)
    world.settle()
    world.engine.stream(connected=False)
    world.advance(2_000)
    assert world.host.active()


def test_a_tethered_fault_whose_stream_is_lost_long_before_t0_never_fires(world: World) -> None:
    world.arm()
    world.engine.inject([order_id(1)], world.now + 5_000 * MS)
    world.settle()
    world.engine.stream(connected=False)
    world.advance(1_000)
    assert world.events() == ["ARMED", "DISARMED"]
    world.advance(4_000)
    assert "fire" not in world.host.calls


def test_a_lease_that_ended_unseen_before_t0_is_seen_by_the_firing_thread(world: World) -> None:
    world.arm()
    world.engine.inject([order_id(1)], world.now + 5_000 * MS)
    world.settle()
    world.engine.stream(connected=False)
    world.advance(5_000)  # the engine's thread slept through the grace
    assert world.details("INJECT_FAILED") == ["its lease ended before T0"]
    assert "fire" not in world.host.calls
    world.assert_clean()
