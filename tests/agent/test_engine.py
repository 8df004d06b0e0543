from __future__ import annotations

from pathlib import Path

import pytest
from blackstart_agent.guardian.journal import Journal
from blackstart_agent.policy import Policy
from blackstart_agent.spool import Spool
from blackstart_proto.v1 import agent_pb2 as pb
from blackstart_proto.v1 import faults_pb2
from guardian_world import BROKEN, MS, REFUSED, World, order_id

SEALED = faults_pb2.MODE_SEALED
FULL = ["ARMED", "INJECTED", "PROVED", "REVERTING", "REVERTED"]


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


def test_a_disk_that_takes_no_record_refuses_the_order(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Journal, "open", full)
    assert "cannot record the order, so it is refused: No space left" in world.arm().refusals[0]
    assert "stage" not in world.host.calls
    world.assert_clean()


def test_a_disk_that_takes_no_progress_injects_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    world.arm()
    monkeypatch.setattr(Journal, "update", full)
    world.engine.inject([order_id(1)], world.now)
    world.settle()
    assert "fire" not in world.host.calls
    assert world.events() == ["ARMED", "INJECT_FAILED", "DISARMED"]
    world.assert_clean()


def test_a_full_disk_stops_no_revert_and_events_follow_in_order(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    world.inject(kind="test.stop")
    with monkeypatch.context() as patch:
        patch.setattr(Journal, "update", full)
        patch.setattr(Spool, "append_many", full)
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
