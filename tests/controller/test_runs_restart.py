"""The controller is killed at every state, and a new one starts on the same store."""

from __future__ import annotations

import asyncio
import gc

import pytest
from blackstart_controller.runs.states import RunState
from support.scenes import Scene
from support.virtual import run_virtual

STATES = (
    RunState.CREATED,
    RunState.ARMING,
    RunState.BASELINE,
    RunState.INJECTING,
    RunState.HOLDING,
    RunState.REVERTING,
    RunState.SETTLING,
)


@pytest.mark.parametrize("down_s", [0.0, 0.5, 60.0])
@pytest.mark.parametrize("state", STATES)
def test_a_restart_ends_the_run_truthfully_and_never_repeats_it(state: RunState, down_s: float) -> None:
    async def scenario() -> None:
        scene = Scene()
        await scene.boot()
        run_id = await scene.start()
        await scene.until_state(run_id, state)
        injected = scene.injections()
        await scene.crash_controller()
        await asyncio.sleep(down_s)
        await scene.boot()
        row = await scene.ended(run_id)
        assert (row.verdict, row.reverted, row.exit_code) == ("error", "confirmed", 6)
        assert "restarted" in (row.reason or "")
        assert scene.clean()
        assert scene.injections() <= max(injected, 2)
        assert all(
            sum(what == "injected" for _at, what, _order in agent.history) <= 1 for agent in scene.targets
        )

    run_virtual(scenario())


@pytest.mark.filterwarnings("error")
def test_a_run_that_is_closed_before_its_first_step_leaves_nothing_unawaited() -> None:
    async def scenario() -> None:
        scene = Scene()
        await scene.boot()
        await scene.start()
        await scene.crash_controller()
        gc.collect()

    run_virtual(scenario())


def test_a_restart_while_halting_ends_halted() -> None:
    async def scenario() -> None:
        scene = Scene()
        scene.targets[0].never_reverts = True
        await scene.boot()
        run_id = await scene.start()
        await scene.until_state(run_id, RunState.HOLDING)
        await scene.runs.halt(run_id, "enough", "operator")
        await scene.until_state(run_id, RunState.HALTING)
        await asyncio.sleep(1)
        await scene.crash_controller()
        scene.targets[0].mend()
        await scene.boot()
        row = await scene.ended(run_id)
        assert (row.verdict, row.reason, row.reverted) == ("halted", "enough", "confirmed")

    run_virtual(scenario())


def test_an_agent_that_never_returns_leaves_the_run_unconfirmed_until_it_does() -> None:
    async def scenario() -> None:
        scene = Scene()
        await scene.boot()
        run_id = await scene.start()
        await scene.until_state(run_id, RunState.HOLDING)
        await scene.crash_controller()
        gone = scene.fleet.agents.pop("t2")
        await scene.boot()
        row = await scene.ended(run_id)
        assert (row.verdict, row.reverted, row.exit_code) == ("error", "unconfirmed", 5)
        assert not gone.orders, "its own grace has ended the fault long ago; nobody could know"
        await scene.crash_controller()
        scene.fleet.agents["t2"] = gone
        await scene.boot()
        await scene.until(lambda: scene.runs.live(run_id) is None)
        row = await scene.runs.get(run_id)
        assert (row.reverted, row.exit_code) == ("confirmed", 6)

    run_virtual(scenario())


def test_an_agent_that_lost_its_journal_is_believed_when_it_lists_nothing() -> None:
    async def scenario() -> None:
        scene = Scene()
        await scene.boot()
        run_id = await scene.start()
        await scene.until_state(run_id, RunState.HOLDING)
        await scene.crash_controller()
        scene.targets[0].orders.clear()  # a reboot: nothing survived it, not even the spool
        scene.targets[0].events.clear()
        await scene.boot()
        row = await scene.ended(run_id)
        assert (row.verdict, row.reverted) == ("error", "confirmed")

    run_virtual(scenario())


def test_after_a_reboot_of_the_controller_the_run_is_measured_on_its_own_boots_timeline() -> None:
    async def scenario() -> None:
        scene = Scene()
        await scene.boot()
        run_id = await scene.start()
        await scene.until_state(run_id, RunState.SETTLING)
        await asyncio.sleep(0.4)
        scene.reboot_controller()
        await scene.crash_controller()
        await scene.boot()
        row = await scene.ended(run_id)
        assert (row.verdict, row.reverted) == ("error", "confirmed")
        spans = (await scene.report(run_id))["injection"]["faults"]
        assert [round(span["last_s"], 3) for span in spans] == [0.0, 0.0]
        assert [round(span["end_s"], 2) for span in spans] == [10.05, 10.05]

    run_virtual(scenario())
