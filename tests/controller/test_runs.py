"""A run over fake agents in virtual time: what it does, and what it says is true."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest
from blackstart_controller.errors import NotFound, Refused
from blackstart_controller.plan.model import Finding, Mode
from blackstart_controller.runs.states import RunState
from blackstart_controller.store.model import RunRow
from support.scenes import Scene, order, plan_of, play
from support.virtual import run_virtual

FORWARD = (
    RunState.ARMING,
    RunState.BASELINE,
    RunState.INJECTING,
    RunState.HOLDING,
    RunState.REVERTING,
    RunState.SETTLING,
)


def test_an_undisturbed_run_passes_and_is_reverted() -> None:
    scene, row, report = play()
    assert (row.state, row.verdict, row.reverted, row.exit_code) == ("ended", "pass", "confirmed", 0)
    assert scene.clean()
    assert scene.injections() == 2
    [service] = report["services"]
    assert service["outcome"] == "came back"
    assert service["recovery"]["low"] <= 10.35 <= service["recovery"]["high"]
    assert service["after_revert"]["low"] <= 0.3 <= service["after_revert"]["high"]


def test_the_log_walks_the_states_in_order_and_is_numbered_without_a_gap() -> None:
    async def scenario() -> None:
        scene = Scene()
        await scene.boot()
        run_id = await scene.start()
        await scene.ended(run_id)
        log = await scene.log(run_id)
        states = [event.data["state"] for event in log if event.type == "state"]
        assert states == ["planned", *FORWARD]
        assert [event.seq for event in log] == list(range(1, len(log) + 1))
        assert log[-1].type == "ended"

    run_virtual(scenario())


def test_every_host_is_injected_at_t0_and_the_skew_is_reported_with_its_error() -> None:
    scene, _row, report = play(targets=3)
    moments = [at for agent in scene.targets for at, what, _ in agent.history if what == "injected"]
    assert max(moments) - min(moments) < 1e-6
    assert report["injection"]["skew_ms"] == pytest.approx(0.0, abs=0.01)
    assert report["injection"]["skew_error_ms"] > 0
    assert report["injection"]["hosts"] == ["t1", "t2", "t3"]


def test_orders_are_injected_at_their_own_moments() -> None:
    def later(scene: Scene) -> None:
        scene.plan = plan_of(order("t1"), order("t2", at_s=4.0, hold_s=2.0))

    scene, row, _report = play(later)
    first, second = (agent.history[0][0] for agent in scene.targets)
    assert second - first == pytest.approx(4.0, abs=1e-3)
    assert row.verdict == "pass"


def test_tethered_leases_are_renewed_until_the_hold_is_over() -> None:
    scene, row, _report = play(lambda scene: setattr(scene, "plan", plan_of(order("t1", lease_s=1.5))))
    held = [at for at, _what, _order in scene.targets[0].history]
    assert held[1] - held[0] == pytest.approx(10.05, abs=0.01)
    assert row.verdict == "pass"


def test_one_refusal_stops_the_run_before_anything_is_armed_and_every_reason_is_listed() -> None:
    def refuse(scene: Scene) -> None:
        scene.targets[0].refuses = ("policy.toml forbids network.partition", "too many faults")
        scene.targets[1].refuses = ("no such unit: redis",)

    scene, row, _report = play(refuse)
    assert (row.verdict, row.exit_code, row.reverted) == ("error", 7, "confirmed")
    for reason in ("t1: policy.toml forbids", "too many faults", "t2: no such unit"):
        assert reason in (row.reason or "")
    assert ("arm", "t1") not in scene.fleet.calls
    assert scene.injections() == 0


def test_a_refusal_at_arm_time_takes_the_armed_ones_away_again() -> None:
    scene, row, _report = play(lambda scene: setattr(scene.targets[1], "refuses_arm", ("busy",)))
    assert (row.verdict, row.exit_code, row.reverted) == ("error", 7, "confirmed")
    assert scene.clean()
    assert scene.injections() == 0


def test_a_target_that_is_not_connected_stops_the_run_as_unreachable() -> None:
    async def scenario() -> RunRow:
        scene = Scene()
        await scene.boot()
        await scene.fleet.disconnect("t2")
        return await scene.ended(await scene.start())

    row = run_virtual(scenario())
    assert (row.verdict, row.exit_code) == ("error", 6)
    assert "t2" in (row.reason or "")


def test_what_is_not_steady_before_is_not_broken() -> None:
    scene, row, _report = play(lambda scene: setattr(scene.observer, "up", lambda _probe: False))
    assert (row.verdict, row.exit_code, row.reverted) == ("not_steady", 3, "confirmed")
    assert scene.injections() == 0
    assert scene.clean()


def test_an_uncertain_clock_refuses_to_inject() -> None:
    scene, row, _report = play(lambda scene: setattr(scene.fleet, "clock_error_ns", 80_000_000))
    assert (row.verdict, row.exit_code) == ("error", 6)
    assert "limits.max_skew" in (row.reason or "")
    assert scene.injections() == 0
    assert scene.clean()


def test_a_host_that_does_not_confirm_its_injection_aborts_the_run() -> None:
    scene, row, _report = play(lambda scene: setattr(scene.targets[1], "never_fires", True))
    assert (row.verdict, row.reverted) == ("error", "confirmed")
    assert "t2" in (row.reason or "")
    assert scene.clean()


def test_a_fault_that_is_not_proved_halts_the_run() -> None:
    scene, row, _report = play(lambda scene: setattr(scene.targets[0], "not_proved", "packets still pass"))
    assert (row.verdict, row.exit_code, row.reverted) == ("halted", 4, "confirmed")
    assert "packets still pass" in (row.reason or "")
    assert scene.clean()


def test_a_plan_with_errors_is_refused_with_every_reason() -> None:
    async def scenario() -> None:
        scene = Scene()
        scene.plan = replace(scene.plan, findings=(Finding("error", "one"), Finding("error", "two")))
        await scene.boot()
        with pytest.raises(Refused, match="one\ntwo"):
            await scene.start()
        assert not await scene.runs.list()

    run_virtual(scenario())


@pytest.mark.parametrize("state", FORWARD)
def test_a_halt_in_any_phase_reverts_everything(state: RunState) -> None:
    async def scenario() -> None:
        scene = Scene()
        await scene.boot()
        run_id = await scene.start()
        await scene.until_state(run_id, state)
        await scene.runs.halt(run_id, "enough", "operator")
        await scene.runs.halt(run_id, "twice is harmless", "operator")
        row = await scene.ended(run_id)
        assert (row.verdict, row.exit_code, row.reverted) == ("halted", 4, "confirmed")
        assert (row.halted_by, row.reason) == ("operator", "enough")
        assert scene.clean()
        await scene.runs.halt(run_id, "after the end", "operator")

    run_virtual(scenario())


def test_halt_all_reverts_every_agent_before_it_marks_the_runs() -> None:
    async def scenario() -> None:
        scene = Scene()
        await scene.boot()
        run_id = await scene.start()
        await scene.until_state(run_id, RunState.HOLDING)
        assert await scene.runs.halt_all("fire", "operator") == [run_id]
        row = await scene.ended(run_id)
        assert (row.verdict, row.reverted) == ("halted", "confirmed")
        first = [what for what, _host in scene.fleet.calls].index("revert_all")
        assert "revert" not in [what for what, _host in scene.fleet.calls[:first]]

    run_virtual(scenario())


def test_a_host_whose_revert_is_unconfirmed_gets_no_new_fault() -> None:
    async def scenario() -> None:
        scene = Scene()
        scene.targets[0].never_reverts = True
        await scene.boot()
        run_id = await scene.start()
        await scene.ended(run_id)
        with pytest.raises(Refused, match=f"t1: target of run {run_id}: its revert is not confirmed"):
            await scene.start()

    run_virtual(scenario())


def test_two_runs_at_once_must_not_share_a_target() -> None:
    async def scenario() -> None:
        scene = Scene(3)
        scene.plan = plan_of(order("t1"), order("t2"))
        await scene.boot()
        first = await scene.start()
        scene.plan = plan_of(order("t2", id="b"), order("t3", id="c"))
        with pytest.raises(Refused, match=first):
            await scene.start()
        scene.plan = plan_of(order("t3", id="d"))
        second = await scene.start()
        assert (await scene.ended(first)).verdict == "pass"
        assert (await scene.ended(second)).reverted == "confirmed"

    run_virtual(scenario())


def test_one_idempotency_key_starts_one_run() -> None:
    async def scenario() -> None:
        scene = Scene()
        await scene.boot()
        ids = await asyncio.gather(*(scene.start("key-1") for _ in range(5)))
        assert len(set(ids)) == 1
        await scene.ended(ids[0])
        assert await scene.start("key-1") == ids[0], "also after the run has ended"
        assert len(await scene.runs.list()) == 1

    run_virtual(scenario())


def test_orphaned_faults_are_reverted_when_their_agent_connects() -> None:
    async def scenario() -> None:
        scene = Scene()
        scene.targets[0].arm("a run that nobody knows", order("t1", id="orphan"))
        await scene.boot()
        await scene.until(scene.clean, 5)

    run_virtual(scenario())


def test_an_event_that_is_sent_twice_is_in_the_log_once() -> None:
    async def scenario() -> None:
        scene = Scene()
        scene.fleet.network.twice = 1.0
        await scene.boot()
        run_id = await scene.start()
        await scene.ended(run_id)
        keys = [(e.order_id, e.type) for e in await scene.log(run_id) if e.type in ("injected", "reverted")]
        assert len(keys) == len(set(keys)) == 4
        assert scene.injections() == 2

    run_virtual(scenario())


def test_an_event_about_another_hosts_order_changes_nothing() -> None:
    async def scenario() -> None:
        scene = Scene()
        scene.targets[0].never_reverts = True
        await scene.boot()
        run_id = await scene.start()
        await scene.until_state(run_id, RunState.HOLDING)
        held = scene.targets[0].orders["order-t1"]
        scene.targets[1].orders["order-t1"] = replace(held, timers=[])
        scene.targets[1]._reverted("order-t1")  # t2 claims that t1's fault is gone
        row = await scene.ended(run_id)
        assert row.reverted == "unconfirmed"

    run_virtual(scenario())


def test_a_broken_database_halts_and_reverts() -> None:
    async def scenario() -> None:
        scene = Scene()
        await scene.boot()
        run_id = await scene.start()
        await scene.until_state(run_id, RunState.HOLDING)
        scene.store.broken = "no space left on device"
        await scene.runs.halt(run_id, "the disk is full", "operator")
        await scene.until(scene.clean, 20)

    run_virtual(scenario())


def test_a_run_that_does_not_exist_is_not_found() -> None:
    async def scenario() -> None:
        scene = Scene()
        await scene.boot()
        calls: list[Awaitable[object]] = [
            scene.runs.get("nope"),
            scene.runs.report("nope"),
            scene.runs.halt("nope", "", ""),
        ]
        for call in calls:
            with pytest.raises(NotFound, match="nope"):
                await call

    run_virtual(scenario())


@pytest.mark.parametrize("mode", list(Mode))
def test_what_is_armed_outlives_a_baseline_longer_than_an_agents_patience(mode: Mode) -> None:
    def long_baseline(scene: Scene) -> None:
        scene.plan = plan_of(order("t1", mode=mode), order("t2", mode=mode, at_s=90.0), baseline_s=200.0)

    scene, row, _report = play(long_baseline)
    assert (row.verdict, row.reverted) == ("pass", "confirmed")
    assert scene.injections() == 2


def test_a_refused_run_waits_for_no_samples() -> None:
    _scene, row, _report = play(lambda scene: setattr(scene.targets[0], "refuses", ("policy",)))
    assert row.ended is not None
    took = datetime.fromisoformat(row.ended) - datetime.fromisoformat(row.created)
    assert took.total_seconds() < 1


def test_planning_and_measuring_leave_the_event_loop_free(monkeypatch: pytest.MonkeyPatch) -> None:
    beside: list[str] = []

    async def noted(work: Callable[..., Any], *args: Any) -> Any:
        beside.append(getattr(work, "__name__", ""))
        return work(*args)

    monkeypatch.setattr(asyncio, "to_thread", noted)
    play()
    assert {"planner", "all_series", "_measured"} <= set(beside)


def test_a_run_on_a_target_of_a_living_run_is_told_of_that_run() -> None:
    async def scenario() -> None:
        scene = Scene()
        await scene.boot()
        first = await scene.start()
        await scene.until_state(first, RunState.HOLDING)
        finding = Finding("error", "t1: 1 fault of an earlier run not reverted yet")
        scene.plan = replace(scene.plan, findings=(finding,))
        with pytest.raises(Refused, match=f"target of run {first}: it is under way"):
            await scene.start()

    run_virtual(scenario())
