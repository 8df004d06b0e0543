"""An order on its host: the planned life, what is refused, what is asked twice."""

from __future__ import annotations

from pathlib import Path

import pytest
from blackstart_agent.policy import Policy
from blackstart_proto.v1 import agent_pb2 as pb
from blackstart_proto.v1 import faults_pb2
from guardian_world import BROKEN, FULL, MS, REFUSED, World, order_id

SEALED = faults_pb2.MODE_SEALED


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


# ---- the planned life ----


@pytest.mark.parametrize("kind", ["test.cut", "test.stop"])
def test_a_fault_lives_from_arm_to_reverted_and_leaves_no_trace(world: World, kind: str) -> None:
    world.inject(kind=kind)
    assert world.host.active() == {order_id(1)}
    world.engine.revert([order_id(1)], "ordered")
    world.settle()
    assert world.events() == FULL
    assert world.details("REVERTING") == ["ordered"]
    world.assert_clean()


def test_resolve_touches_nothing(world: World) -> None:
    world.engine.resolve(7, world.order(1))
    world.settle()
    assert world.answers[0].request == 7
    assert world.answers[0].resolution.hits[0].effect == "cut"
    assert world.answers[0].resolution.undo == [f"undo {order_id(1)}"]
    assert (world.events(), world.records(), world.host.calls) == ([], set(), ["prepare"])


def test_nothing_is_staged_before_its_record_is_on_the_disk(world: World) -> None:
    world.engine.arm(1, world.order(1))
    world.host.broken["stage"] = BROKEN
    world.settle()
    assert "it did not work" in world.answers[0].resolution.refusals[0]
    assert world.events() == ["DISARMED"]
    world.assert_clean()


def test_it_ends_by_its_lease_when_nobody_renews(world: World) -> None:
    world.inject(kind="test.stop", lease_ms=5_000)
    world.advance(4_999)
    assert world.host.active()
    world.advance(1)
    assert world.events() == FULL
    assert world.details("REVERTING") == ["lease expired"]
    world.assert_clean()


def test_renewals_keep_it_until_its_hold_ends_and_no_longer(world: World) -> None:
    world.inject(kind="test.stop", lease_ms=5_000, hold_ms=9_000)
    for _ in range(8):
        world.advance(1_000)
        world.engine.renew([order_id(1)], 5_000)
        assert world.host.active()
    world.advance(1_000)
    assert world.details("REVERTING") == ["held as long as ordered"]
    world.assert_clean()


def test_a_renewal_moves_the_kernels_own_deadline_first(world: World) -> None:
    world.inject(lease_ms=5_000)
    world.advance(4_000)
    world.engine.renew([order_id(1)], 5_000)
    assert world.host.effects[order_id(1)] == world.now + 5_000 * MS == world.engine.deadline_ns()


def test_a_renewal_that_the_kernel_refuses_is_none(world: World) -> None:
    world.inject(lease_ms=5_000)
    world.host.broken["renew"] = BROKEN
    before = world.engine.deadline_ns()
    world.advance(1_000)
    world.engine.renew([order_id(1)], 5_000)
    assert world.engine.deadline_ns() == before
    world.advance(4_000)
    assert world.details("REVERTING") == ["could not be renewed: it did not work"]
    world.assert_clean()


def test_injected_says_when_its_first_and_last_action_were_confirmed(world: World) -> None:
    world.arm()
    t0 = world.now + 10 * MS
    world.engine.inject([order_id(1)], t0)
    world.settle()
    world.advance(10)
    event = next(e for e in world.engine.chronicle.log.pending(0) if e.kind == pb.EVENT_KIND_INJECTED)
    assert (event.first_ns, event.last_ns) == (t0, t0)
    assert (event.run_id, event.fault_kind, event.boot_id) == ("run", "test.cut", "boot-1")


def test_orders_of_one_inject_fire_at_one_t0(world: World) -> None:
    world.arm(1)
    world.arm(2, kind="test.stop")
    world.engine.inject([order_id(1), order_id(2)], world.now + 5 * MS)
    world.settle()
    assert not world.host.active()
    world.advance(5)
    assert len(world.host.active()) == 2


# ---- refusing ----


def test_every_reason_of_a_fault_is_answered(world: World) -> None:
    world.host.broken["prepare"] = REFUSED
    assert world.arm().refusals == ["no such process", "no such unit"]
    world.assert_clean()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"host": "other"}, "the order is for host 'other'; this is 'h'"),
        ({"id": "../x"}, "is not a UUID"),
        ({"mode": 0}, "mode 0 is unknown"),
        ({"mode": 9}, "mode 9 is unknown"),
        ({"hold_ms": 0}, "hold_ms must be 1"),
        ({"lease_ms": 0}, "lease_ms must be 1"),
        ({"kind": "test.new"}, "unknown fault test.new"),
    ],
)
def test_a_wrong_order_is_refused_with_the_reason(
    world: World, changes: dict[str, object], says: str
) -> None:
    world.engine.arm(1, world.order(1, **changes))
    world.settle()
    assert says in "\n".join(world.answers[0].resolution.refusals)
    world.engine.resolve(2, world.order(1, **changes))
    world.settle()
    assert says in "\n".join(world.answers[1].resolution.refusals)
    world.assert_clean()


def test_the_policy_of_this_host_beats_the_controller(tmp_path: Path) -> None:
    world = World(tmp_path, policy=Policy("p", refusal="no policy at p: this host has not opted in"))
    assert world.arm().refusals == ["no policy at p: this host has not opted in"]
    world.policy = Policy("p", faults=("test.*",), modes=("tethered",), max_hold_s=10, max_faults=1)
    assert len(world.arm(mode=SEALED).refusals) == 2
    assert world.arm(hold_ms=10_000).refusals == []
    assert "1 faults are open here already" in world.arm(2, hold_ms=10_000).refusals[0]


def test_a_bug_in_a_fault_is_a_refusal_not_a_crash(world: World) -> None:
    world.host.broken["prepare"] = ZeroDivisionError("bug")
    assert world.arm().refusals == ["ZeroDivisionError: bug"]


def test_a_host_with_a_fault_that_will_not_go_takes_no_new_ones(world: World) -> None:
    world.inject(1)
    world.host.broken["revert"] = BROKEN
    world.engine.revert([order_id(1)], "")
    world.settle()
    assert "could not be reverted here yet" in world.arm(2).refusals[0]


def test_a_stopping_agent_arms_nothing_and_ends_everything(world: World) -> None:
    world.inject(1)
    world.arm(2)
    world.engine.stop("agent stops")
    assert world.arm(3).refusals == ["the agent is stopping"]
    world.assert_clean()


# ---- asked twice, asked wrongly ----


def test_arming_twice_answers_twice_and_prepares_once(world: World) -> None:
    world.engine.arm(1, world.order(1))
    world.engine.arm(2, world.order(1))
    world.settle()
    world.engine.arm(3, world.order(1))
    world.settle()
    assert [answer.request for answer in world.answers] == [1, 2, 3]
    assert len({answer.resolution.SerializeToString() for answer in world.answers}) == 1
    assert world.host.calls.count("prepare") == 1
    assert world.events() == ["ARMED"]


def test_injecting_twice_fires_once(world: World) -> None:
    world.inject()
    world.engine.inject([order_id(1)], world.now)
    world.settle()
    assert world.host.calls.count("fire") == 1


def test_an_order_is_carried_out_once_even_after_it_ended(world: World) -> None:
    world.inject()
    world.engine.revert([order_id(1)], "")
    world.settle()
    assert "an order is carried out once" in world.arm().refusals[0]
    world.engine.inject([order_id(1)], world.now)
    world.settle()
    assert world.events()[-1] == "INJECT_FAILED"
    world.assert_clean()


def test_injecting_what_is_unknown_is_said(world: World) -> None:
    world.engine.inject([order_id(9)], world.now)
    world.settle()
    assert world.details("INJECT_FAILED") == [f"order {order_id(9)} is not known here"]


def test_a_late_t0_is_not_fired(world: World) -> None:
    world.arm()
    world.engine.inject([order_id(1)], world.now - 300 * MS)
    world.settle()
    assert world.events() == ["ARMED", "INJECT_FAILED", "DISARMED"]
    assert "T0 was 300 ms ago" in world.details("INJECT_FAILED")[0]
    assert "fire" not in world.host.calls
    world.assert_clean()


def test_a_firing_thread_that_wakes_too_late_does_not_fire(world: World) -> None:
    world.arm()
    world.engine.inject([order_id(1)], world.now + 10 * MS)
    for _ in range(3):
        world.engine.run_posted()
        for queue in world.queues:
            while queue.jobs:
                world.run_job(queue)
    world.advance(400)
    assert world.events() == ["ARMED", "INJECT_FAILED", "DISARMED"]
    assert "fire" not in world.host.calls
    world.assert_clean()
