"""Orders that are armed while the run goes on, and checkpoints between them."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from blackstart_controller.plan.model import Checkpoint, HostOrder, Mode, ServiceStop
from blackstart_controller.runs.arming import late_arms
from blackstart_controller.runs.checkpoints import unmet
from blackstart_controller.runs.settings import Settings
from blackstart_controller.runs.sights import Sight
from blackstart_controller.runs.states import RunState
from blackstart_controller.runs.stops import NS
from blackstart_controller.store.model import RunRow
from support.scenes import Scene, order, plan_of
from support.virtual import run_virtual

POINT = Checkpoint(20.0, 5.0, "steps[0].sequence[1]")


def wave(number: int, host: str, at_s: float, hold_s: float = 5.0, **changes: Any) -> HostOrder:
    return order(host, id=f"order-{number}-{host}", at_s=at_s, hold_s=hold_s, **changes)


def waves(scene: Scene, *points: Checkpoint, **changes: Any) -> None:
    """Two waves: t1 at T0, both hosts at T0 + 20 s."""
    orders = (wave(1, "t1", 0.0), wave(2, "t1", 20.0), wave(2, "t2", 20.0))
    scene.plan = plan_of(*(replace(one, **changes) for one in orders), checkpoints=points)


async def log_of(scene: Scene, run_id: str, kind: str) -> list[float]:
    """When events of a kind happened, in seconds from T0."""
    log = await scene.log(run_id)
    [t0] = [event for event in log if event.type == "t0"]
    return [(event.at_ns - int(t0.data["t0_ns"])) / 1e9 for event in log if event.type == kind]


# ---- arming ----


@pytest.mark.parametrize("mode", [Mode.TETHERED, Mode.SEALED])
def test_a_late_order_is_armed_shortly_before_its_moment_and_injected_in_time(mode: Mode) -> None:
    async def scenario() -> None:
        scene = Scene()
        waves(scene, mode=mode)
        await scene.boot()
        run_id = await scene.start()
        row = await scene.ended(run_id)
        assert (row.verdict, row.reverted) == ("pass", "confirmed"), row.reason
        assert [round(at, 1) for at in await log_of(scene, run_id, "armed_late")] == [15.0, 15.0]
        injected = await log_of(scene, run_id, "injected")
        assert injected == pytest.approx([0.0, 20.0, 20.0], abs=0.001)
        calls = [call for call in scene.fleet.calls if call[0] in ("resolve", "arm")]
        first = calls.index(("arm", "t1"))
        assert sorted(calls[:first]) == [("resolve", "t1"), ("resolve", "t1"), ("resolve", "t2")]
        assert scene.clean()

    run_virtual(scenario())


def test_a_refusal_of_a_late_order_when_it_is_resolved_stops_the_run_before_anything_is_armed() -> None:
    async def scenario() -> None:
        scene = Scene()
        waves(scene)
        scene.targets[1].refuses = ("policy.toml forbids it",)
        await scene.boot()
        row = await scene.ended(await scene.start())
        assert (row.verdict, row.exit_code) == ("error", 7)
        assert scene.injections() == 0
        assert ("arm", "t1") not in scene.fleet.calls

    run_virtual(scenario())


def test_a_refused_late_arm_halts_the_run_with_every_reason() -> None:
    async def scenario() -> None:
        scene = Scene(3)
        orders = (wave(1, "t3", 0.0, 30.0), wave(2, "t1", 20.0), wave(2, "t2", 20.0))
        scene.plan = plan_of(*orders)
        await scene.boot()
        run_id = await scene.start()
        await scene.until_state(run_id, RunState.HOLDING)
        for agent in scene.targets[:2]:
            agent.refuses_arm = (f"no such unit on {agent.name}",)
        row = await scene.ended(run_id)
        assert (row.verdict, row.exit_code, row.reverted) == ("halted", 4, "confirmed")
        assert row.halted_by == "blackstart"
        assert "t1: network.partition could not be armed: no such unit on t1" in (row.reason or "")
        assert scene.clean()
        assert scene.injections() == 1
        [reverted] = await log_of(scene, run_id, "reverted")
        assert reverted < 16, "the fault that held was reverted at once"

    run_virtual(scenario())


def test_a_host_that_is_away_when_its_late_order_is_to_be_armed_halts_the_run() -> None:
    async def scenario() -> None:
        scene = Scene()
        waves(scene)
        await scene.boot()
        run_id = await scene.start()
        await scene.until_state(run_id, RunState.HOLDING)
        await scene.fleet.disconnect("t2")
        row = await scene.ended(run_id)
        assert (row.verdict, row.exit_code) == ("halted", 5), (
            "an order may have arrived at a host that is away"
        )
        assert "t2: network.partition could not be armed: agent t2: not connected" in (row.reason or "")
        await scene.fleet.connect("t2")
        await scene.until(lambda: scene.runs.live(run_id) is None)
        assert (await scene.runs.get(run_id)).exit_code == 4
        assert scene.clean()

    run_virtual(scenario())


def test_a_host_that_does_not_answer_by_the_orders_moment_halts_the_run() -> None:
    async def scenario() -> None:
        scene = Scene()
        waves(scene)
        await scene.boot()
        run_id = await scene.start()
        await scene.until_state(run_id, RunState.HOLDING)
        scene.fleet.deaf = {"t2"}
        row = await scene.ended(run_id)
        assert row.verdict == "halted"
        assert "t2: network.partition was not armed by its moment, 20 s after T0" in (row.reason or "")
        assert all(what != "injected" for _at, what, _order in scene.targets[1].history)

    run_virtual(scenario())


def test_an_answer_that_is_lost_does_no_harm_when_the_hosts_own_event_says_armed() -> None:
    async def scenario() -> None:
        scene = Scene()
        waves(scene)
        await scene.boot()
        run_id = await scene.start()
        await scene.until_state(run_id, RunState.HOLDING)
        scene.fleet.mute = {"t2"}
        row = await scene.ended(run_id)
        assert (row.verdict, row.reverted) == ("pass", "confirmed"), row.reason

    run_virtual(scenario())


def test_an_armed_late_order_does_not_expire_before_its_moment() -> None:
    async def scenario() -> None:
        scene = Scene()
        waves(scene, lease_s=1.5)
        await scene.boot()
        row = await scene.ended(await scene.start())
        assert row.verdict == "pass", row.reason

    run_virtual(scenario())


def test_an_order_that_is_not_armed_yet_outlives_a_lost_stream_of_its_host() -> None:
    async def scenario() -> None:
        scene = Scene()
        waves(scene)
        await scene.boot()
        run_id = await scene.start()
        await scene.until_state(run_id, RunState.HOLDING)
        await asyncio.sleep(8)
        await scene.fleet.disconnect("t2")
        await asyncio.sleep(4)
        await scene.fleet.connect("t2")
        assert (await scene.ended(run_id)).verdict == "pass"

    run_virtual(scenario())


@pytest.mark.parametrize("after_s", [5.0, 14.0, 14.999, 15.0, 15.001, 15.5, 19.2, 21.0])
def test_a_halt_at_any_moment_around_a_late_arm_leaves_nothing(after_s: float) -> None:
    async def scenario() -> None:
        scene = Scene()
        waves(scene)
        await scene.boot()
        run_id = await scene.start()
        await scene.until_state(run_id, RunState.HOLDING)
        await asyncio.sleep(after_s)
        await scene.runs.halt(run_id, "enough", "operator")
        row = await scene.ended(run_id)
        assert (row.verdict, row.reverted) == ("halted", "confirmed")
        await asyncio.sleep(30)
        assert scene.clean()

    run_virtual(scenario())


@pytest.mark.parametrize("after_s", [2.0, 10.0, 15.0005, 17.0, 22.0])
def test_a_restart_with_orders_that_were_never_armed_ends_the_run_clean(after_s: float) -> None:
    async def scenario() -> None:
        scene = Scene()
        waves(scene)
        await scene.boot()
        run_id = await scene.start()
        await scene.until_state(run_id, RunState.HOLDING)
        await asyncio.sleep(after_s)
        await scene.crash_controller()
        await scene.boot()
        row = await scene.ended(run_id)
        assert (row.verdict, row.reverted) == ("error", "confirmed")
        assert scene.clean()
        injected = scene.injections()
        await asyncio.sleep(60)
        assert scene.injections() == injected

    run_virtual(scenario())


def moments(*orders: HostOrder) -> dict[str, float]:
    return dict(late_arms(orders, Settings()))


def test_what_is_due_within_the_first_seconds_is_armed_up_front() -> None:
    assert moments(wave(1, "t1", 0.0), wave(2, "t2", 5.0)) == {}
    assert moments(wave(1, "t1", 5.1)) == {"order-1-t1": pytest.approx(0.1)}


def test_an_order_waits_for_the_end_of_its_hosts_fault_before_it_is_armed() -> None:
    found = moments(wave(1, "t1", 0.0, 18.0), wave(2, "t1", 20.0), wave(2, "t2", 20.0))
    assert found == {"order-2-t1": 18.5, "order-2-t2": 15.0}


def test_a_fault_that_holds_on_beyond_an_orders_moment_is_not_waited_for() -> None:
    assert moments(wave(1, "t1", 0.0, 60.0), wave(2, "t1", 20.0)) == {"order-2-t1": 15.0}


# ---- checkpoints ----


def test_a_checkpoint_is_met_when_the_service_was_back_for_long_enough() -> None:
    async def scenario() -> None:
        scene = Scene()
        waves(scene, POINT)
        await scene.boot()
        run_id = await scene.start()
        assert (await scene.ended(run_id)).verdict == "pass"
        [met] = await log_of(scene, run_id, "checkpoint")
        assert met == pytest.approx(19.0, abs=0.01), "before the orders of its moment are sent"

    run_virtual(scenario())


def not_met(scene: Scene, row: RunRow) -> None:
    assert (row.verdict, row.exit_code, row.reverted) == ("halted", 4, "confirmed")
    assert (row.reason or "").startswith("checkpoint steps[0].sequence[1]: shop is not steady (")
    assert scene.injections() == 1, "what comes after a checkpoint is never sent before it is met"
    assert scene.clean()


def test_a_checkpoint_that_is_not_met_halts_the_run_before_the_next_step() -> None:
    async def scenario() -> None:
        scene = Scene()
        waves(scene, POINT)
        scene.observer.up = lambda _probe: not any(what == "injected" for _, what, _ in history)
        history = scene.targets[0].history
        await scene.boot()
        run_id = await scene.start()
        row = await scene.ended(run_id)
        not_met(scene, row)
        assert "(failing since T+" in (row.reason or "")

    run_virtual(scenario())


@pytest.mark.parametrize(("back_s", "met"), [(13.0, True), (14.5, False)])
def test_a_service_must_have_been_ok_for_the_whole_steady_time(back_s: float, met: bool) -> None:
    async def scenario() -> None:
        scene = Scene()
        waves(scene, POINT)
        zero: list[float] = []

        def up(_probe: object) -> bool:
            fired = [at for at, what, _ in scene.targets[0].history if what == "injected"]
            zero.extend(fired[:1])
            return len(fired) != 1 or scene.targets[0].now_s() >= zero[0] + back_s

        scene.observer.up = up
        await scene.boot()
        run_id = await scene.start()
        row = await scene.ended(run_id)
        if met:
            assert row.verdict == "pass", row.reason
        else:
            not_met(scene, row)
            assert "ok only since T+14" in (row.reason or "")

    run_virtual(scenario())


def test_missing_samples_do_not_meet_a_checkpoint() -> None:
    async def scenario() -> None:
        scene = Scene()
        waves(scene, POINT)
        await scene.boot()
        run_id = await scene.start()
        await scene.until_state(run_id, RunState.HOLDING)
        await asyncio.sleep(16.5)
        await scene.fleet.disconnect("o1")
        row = await scene.ended(run_id)
        not_met(scene, row)
        assert "nothing known from o1 since T+16." in (row.reason or "")

    run_virtual(scenario())


def test_a_halt_while_a_checkpoint_is_waited_for_is_a_halt() -> None:
    async def scenario() -> None:
        scene = Scene()
        waves(scene, POINT)
        await scene.boot()
        run_id = await scene.start()
        await scene.until_state(run_id, RunState.HOLDING)
        await asyncio.sleep(12)
        await scene.runs.halt(run_id, "enough", "operator")
        row = await scene.ended(run_id)
        assert (row.verdict, row.reason, row.reverted) == ("halted", "enough", "confirmed")

    run_virtual(scenario())


def test_a_condition_that_trips_while_a_checkpoint_is_waited_for_comes_first() -> None:
    async def scenario() -> None:
        scene = Scene()
        waves(scene, POINT)
        scene.plan = replace(scene.plan, stops=(ServiceStop("shop", "shop", 6.0),))
        scene.observer.up = lambda _probe: not scene.targets[0].history
        await scene.boot()
        row = await scene.ended(await scene.start())
        assert (row.verdict, row.halted_by) == ("halted", "stop condition shop")
        assert scene.injections() == 1

    run_virtual(scenario())


def test_the_last_checkpoint_is_waited_for_after_the_last_fault() -> None:
    async def scenario() -> None:
        scene = Scene(1)
        scene.plan = plan_of(wave(1, "t1", 0.0, 3.0), checkpoints=(replace(POINT, at_s=12.0),))
        await scene.boot()
        run_id = await scene.start()
        assert (await scene.ended(run_id)).verdict == "pass"
        assert await log_of(scene, run_id, "checkpoint") == pytest.approx([11.0], abs=0.01)

    run_virtual(scenario())


def seen(service: str = "shop", **changes: Any) -> Sight:
    now_ns = 119 * NS
    made = Sight(service, "o1", NS, now_ns - 9 * NS, None, None, now_ns)
    return replace(made, **changes)


def judged(*sights: Sight) -> str:
    return unmet(POINT, sights, now_ns=119 * NS, t0_ns=100 * NS)


def test_every_service_counts_for_every_observer_and_no_stop_conditions_probe() -> None:
    assert judged(seen(), seen(observer="o2")) == ""
    assert "(failing since T+18.0 s)" in judged(seen(), seen(observer="o2", failing_ns=118 * NS))
    assert judged(seen(), seen("stop:gate", failing_ns=118 * NS)) == ""


def test_every_service_that_is_not_steady_is_named() -> None:
    found = judged(seen("shop", failing_ns=110 * NS), seen("news", ok_ns=None, known_ns=None), seen("mail"))
    assert found == (
        "checkpoint steps[0].sequence[1]: shop is not steady (failing since T+10.0 s); "
        "news is not steady (no usable sample from o1)"
    )
