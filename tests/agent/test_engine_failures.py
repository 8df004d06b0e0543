"""Faults that half happened, guardians that died at any step, disks that are full: nothing stays."""

from __future__ import annotations

from pathlib import Path

import pytest
from blackstart_proto.v1 import agent_pb2 as pb
from guardian_world import BROKEN, FULL, MS, World, full_disk, order_id


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


# ---- half done ----


@pytest.mark.parametrize("step", ["fire", "finish"])
@pytest.mark.parametrize("kind", ["test.cut", "test.stop"])
def test_a_fault_that_half_happened_is_reverted_not_retried(world: World, step: str, kind: str) -> None:
    world.host.broken[step] = BROKEN
    world.arm(kind=kind)
    world.engine.inject([order_id(1)], world.now)
    world.settle()
    assert world.host.calls.count(step) == 1
    assert world.events() == ["ARMED", "INJECT_FAILED", "REVERTING", "REVERTED"]
    world.assert_clean()


def test_a_fault_that_is_not_seen_in_effect_is_said_to_be_unproved(world: World) -> None:
    world.host.broken["unproved"] = BROKEN
    world.inject()
    assert world.events() == ["ARMED", "INJECTED", "NOT_PROVED"]
    assert world.details("NOT_PROVED") == ["cannot tell: it did not work"]


@pytest.mark.parametrize("step", ["revert", "leftovers"])
def test_what_cannot_be_reverted_or_told_is_tried_for_ever_and_never_called_reverted(
    world: World, step: str
) -> None:
    world.inject(kind="test.stop")
    world.host.broken[step] = BROKEN
    world.engine.revert([order_id(1)], "")
    world.settle()
    for _ in range(30):
        world.advance(5_000)
    assert world.events().count("REVERT_FAILED") == 1 + 3
    assert "REVERTED" not in world.events()
    assert world.records() == {order_id(1)}
    (fault,) = world.engine.open_faults().faults
    assert fault.state == pb.FAULT_STATE_REVERT_FAILED
    del world.host.broken[step]
    world.advance(5_000)
    assert world.events()[-1] == "REVERTED"
    world.assert_clean()


def test_revert_does_not_wait_for_finish_but_reverted_does(world: World) -> None:
    world.arm(kind="test.stop")
    world.engine.inject([order_id(1)], world.now)
    for _ in range(3):
        world.engine.run_posted()
        world.shoot()
        for queue in [queue for queue in world.queues if queue.name == "disk"]:
            while queue.jobs:
                world.run_job(queue)
    world.engine.run_posted()
    doer = next(queue for queue in world.queues if queue.name == "doer" and queue.jobs)
    undoer = next(queue for queue in world.queues if queue.name == "undoer" and not queue.closed)
    world.engine.revert([order_id(1)], "halted")
    world.run_job(undoer)
    world.engine.run_posted()
    assert not world.host.active()
    assert world.records() == {order_id(1)}
    world.run_job(doer)  # finish comes late and makes it active again
    assert world.host.active()
    world.settle()
    assert world.events() == ["ARMED", "INJECT_FAILED", "REVERTING", "REVERTED"]
    world.assert_clean()


def test_a_revert_during_fire_is_repeated_after_it(world: World) -> None:
    world.arm(kind="test.stop")
    world.engine.inject([order_id(1)], world.now + MS)
    world.settle()
    _, action = world.shots.waiting.pop(order_id(1))  # the firing thread has taken it
    world.engine.revert([order_id(1)], "halted")
    world.settle()
    world.host.clock.advance(ms=1)
    action(world.now)
    assert world.host.active()
    world.settle()
    assert world.events()[-1] == "REVERTED"
    world.assert_clean()


# ---- crashes ----


CRASH_POINTS = range(0, 24)


@pytest.mark.parametrize("kind", ["test.cut", "test.stop"])
@pytest.mark.parametrize("point", CRASH_POINTS)
def test_a_crash_after_any_step_leaves_no_trace_after_the_next_start(
    tmp_path: Path, kind: str, point: int
) -> None:
    world = World(tmp_path)
    world.engine.arm(1, world.order(1, kind=kind))
    injected = reverted = False
    for _ in range(point):
        world.engine.run_posted()
        if not injected and "ARMED" in world.events():
            world.engine.inject([order_id(1)], world.now)
            injected = True
        if not reverted and "PROVED" in world.events():
            world.engine.revert([order_id(1)], "")
            reverted = True
        world.shoot()
        queue = next((queue for queue in world.queues if queue.jobs), None)
        if queue is not None:
            world.run_job(queue)
        touched = world.host.active() or world.host.staged
        assert not touched or world.records() == {order_id(1)}
    fired = "fire" in world.host.calls
    left = bool(world.records())
    fresh = world.recover()
    fresh.assert_clean()
    if left:
        assert fresh.events()[-1] in (["REVERTED"] if fired else ["REVERTED", "DISARMED"])


def test_what_is_found_at_start_is_said_with_its_reason(world: World) -> None:
    world.inject(kind="test.stop")
    fresh = world.recover()
    assert fresh.events() == ["ARMED", "INJECTED", "PROVED", "REVERTING", "REVERTED"]
    assert fresh.details("REVERTED") == ["found at start"]


def test_a_kind_that_this_version_does_not_know_is_kept_and_said(world: World) -> None:
    world.inject(kind="test.stop")
    fresh = world.crash()
    (entry,) = fresh.journal.load().entries
    object.__setattr__(entry.record, "kind", "test.newer")
    fresh.engine.adopt(entry, "found at start")
    fresh.settle()
    assert "does not know test.newer" in fresh.details("REVERT_FAILED")[0]
    assert fresh.records() == {order_id(1)}


# ---- full disks ----


def test_a_disk_that_takes_no_record_refuses_the_order(world: World) -> None:
    with full_disk():
        assert "cannot record the order, so it is refused: File too large" in world.arm().refusals[0]
    assert "stage" not in world.host.calls
    world.assert_clean()


def test_a_disk_that_takes_no_progress_injects_nothing(world: World) -> None:
    world.arm()
    with full_disk():
        world.engine.inject([order_id(1)], world.now)
        world.settle()
    assert "fire" not in world.host.calls
    world.advance(1_000)
    assert world.events() == ["ARMED", "INJECT_FAILED", "DISARMED"]
    world.assert_clean()


def test_a_full_disk_stops_no_revert_and_events_follow_in_order(world: World) -> None:
    world.inject(kind="test.stop")
    with full_disk():
        world.engine.revert([order_id(1)], "")
        world.settle()
        assert not world.host.active()
        assert world.engine.clean
        assert not world.engine.idle
        assert world.records() == {order_id(1)}
        assert "cannot record events" in world.arm(2).refusals[0]
    world.advance(1_000)
    assert world.events() == FULL
    world.assert_clean()
    assert not world.arm(2).refusals
