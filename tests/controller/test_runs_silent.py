"""A run whose hosts fall silent, come back late, or end their faults on their own."""

from __future__ import annotations

import asyncio

import pytest
from blackstart_controller.plan.model import Mode
from blackstart_controller.runs.states import RunState
from support.scenes import Scene, order, plan_of, play
from support.virtual import run_virtual


def test_a_fault_that_ends_before_its_time_halts_the_run_for_it_was_not_what_was_planned() -> None:
    async def scenario() -> None:
        scene = Scene()
        await scene.boot()
        run_id = await scene.start()
        await scene.until_state(run_id, RunState.HOLDING)
        await asyncio.sleep(2)
        await scene.fleet.disconnect("t2")
        await asyncio.sleep(3)
        assert not scene.targets[1].orders, "the agent's own grace ends the fault"
        await scene.fleet.connect("t2")
        row = await scene.ended(run_id)
        assert (row.verdict, row.reverted) == ("halted", "confirmed")
        assert "t2: network.partition ended before its time: " in (row.reason or "")
        assert "host_lost" in await scene.types(run_id)

    run_virtual(scenario())


def test_a_short_loss_of_the_stream_does_not_end_the_fault() -> None:
    async def scenario() -> None:
        scene = Scene()
        await scene.boot()
        run_id = await scene.start()
        await scene.until_state(run_id, RunState.HOLDING)
        await asyncio.sleep(2)
        await scene.fleet.disconnect("t2")
        await asyncio.sleep(0.9)  # the grace is 1 s
        await scene.fleet.connect("t2")
        await scene.ended(run_id)
        held = [at for at, _what, _order in scene.targets[1].history]
        assert held[1] - held[0] == pytest.approx(10.05, abs=0.01)

    run_virtual(scenario())


def test_a_prober_that_died_is_started_again_when_its_host_is_back() -> None:
    async def scenario() -> None:
        scene = Scene()
        await scene.boot()
        run_id = await scene.start()
        await scene.until_state(run_id, RunState.HOLDING)
        scene.observer.stop_all_probes()
        await scene.fleet.disconnect(scene.observer.name)
        await asyncio.sleep(1)
        await scene.fleet.connect(scene.observer.name)
        assert (await scene.ended(run_id)).verdict == "pass"

    run_virtual(scenario())


def test_a_prober_that_missed_the_end_of_its_run_is_stopped() -> None:
    async def scenario() -> None:
        scene = Scene()
        await scene.boot()
        run_id = await scene.start()
        await scene.until_state(run_id, RunState.SETTLING)
        await scene.fleet.disconnect(scene.observer.name)
        await scene.ended(run_id)
        await scene.fleet.connect(scene.observer.name)
        await asyncio.sleep(2)
        assert not scene.observer.probing()

    run_virtual(scenario())


def test_an_order_that_waits_long_for_its_moment_stays_armed() -> None:
    def late(scene: Scene) -> None:
        scene.plan = plan_of(order("t1", hold_s=200.0), order("t2", at_s=150.0, hold_s=5.0))

    scene, row, _report = play(late)
    assert scene.injections() == 2
    assert row.reverted == "confirmed"


def test_a_sealed_host_may_be_silent_while_it_holds() -> None:
    async def scenario() -> None:
        scene = Scene()
        scene.plan = plan_of(
            *(order(agent.name, mode=Mode.SEALED, lease_s=10.0) for agent in scene.targets), mode=Mode.SEALED
        )
        await scene.boot()
        run_id = await scene.start()
        await scene.until_state(run_id, RunState.INJECTING)
        await asyncio.sleep(0.9)  # T0 is 1 s after the orders went out
        await scene.fleet.disconnect("t1")
        await scene.until(lambda: scene.injections() == 2)
        await asyncio.sleep(15)
        await scene.fleet.connect("t1")
        row = await scene.ended(run_id)
        assert (row.verdict, row.reverted) == ("pass", "confirmed")

    run_virtual(scenario())


def test_the_report_has_the_last_words_of_a_host_that_was_silent_to_the_end() -> None:
    """It lists no open fault at once, and sends what happened meanwhile after it."""

    async def scenario() -> None:
        scene = Scene()
        scene.plan = plan_of(
            *(order(agent.name, mode=Mode.SEALED, lease_s=10.0) for agent in scene.targets), mode=Mode.SEALED
        )
        await scene.boot()
        run_id = await scene.start()
        await scene.until_state(run_id, RunState.HOLDING)
        await scene.fleet.disconnect("t1")
        await scene.until_state(run_id, RunState.REVERTING)
        await scene.until(lambda: not scene.targets[0].active())
        scene.fleet.slow_events_s["t1"] = 2.5
        await scene.fleet.connect("t1")
        await scene.ended(run_id)
        told = [event["what"] for event in (await scene.report(run_id))["events"] if event["host"] == "t1"]
        assert [what for what in told if what in ("injected", "reverting", "reverted")] == [
            "injected",
            "reverting",
            "reverted",
        ]

    run_virtual(scenario())


def test_a_revert_that_is_never_confirmed_is_exit_5_and_names_the_host() -> None:
    _scene, row, report = play(lambda scene: setattr(scene.targets[0], "never_reverts", True))
    assert (row.reverted, row.exit_code) == ("unconfirmed", 5)
    assert [one["host"] for one in report["undo"]] == ["t1"]
    assert report["reverted"] == "unconfirmed"


def test_a_late_confirmation_corrects_the_ended_run() -> None:
    async def scenario() -> None:
        scene = Scene()
        scene.targets[0].never_reverts = True
        await scene.boot()
        run_id = await scene.start()
        assert (await scene.ended(run_id)).exit_code == 5
        scene.targets[0].mend()
        await scene.until(lambda: scene.runs.live(run_id) is None)
        row = await scene.runs.get(run_id)
        assert (row.reverted, row.exit_code) == ("confirmed", 1), (
            "the service was not back in time: the run still failed"
        )
        assert (await scene.report(run_id))["reverted"] == "confirmed"
        assert (await scene.types(run_id))[-1] == "reverted_late"

    run_virtual(scenario())
