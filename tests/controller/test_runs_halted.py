"""Stop conditions end a run in every phase in which a fault may be in effect, and none begins against one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from blackstart_controller.errors import Refused
from blackstart_controller.outside.ports import Reply
from blackstart_controller.plan.model import (
    MetricStop,
    PlannedProbe,
    ProbeStop,
    ServiceStop,
    StopCondition,
    TcpProbe,
    WebhookStop,
)
from blackstart_controller.report import html, markdown
from blackstart_controller.runs.live import live_state
from blackstart_controller.runs.states import RunState
from blackstart_controller.store.model import RunRow
from support.fake_outside import prometheus
from support.scenes import OBSERVER, Scene, order, plan_of
from support.virtual import run_virtual

SHOP = ServiceStop("shop", "shop", 3.0)
GATE = ProbeStop("gate", 3.0)
METRIC = MetricStop("errors", "https://prom:9090", "errors", 0.05, None, 4.0, 2.0)
HOOK = WebhookStop("freeze", "https://ops", 2.0)
EVERY_STOP: tuple[StopCondition, ...] = (SHOP, GATE, METRIC, HOOK)
GATE_PROBE = PlannedProbe("stop:gate/0@o1", "stop:gate", OBSERVER, 100, 500, TcpProbe("gw:80"))
WITH_FAULTS = (RunState.INJECTING, RunState.HOLDING, RunState.REVERTING)


class Sick:
    """What a test can make sick at any moment. The shop is down while the fault holds."""

    def __init__(self, *stops: StopCondition, hold_s: float = 30.0, **changes: Any) -> None:
        self.scene = Scene()
        self.shop = self.gate = True
        self.errors: float | str = 0.01
        self.status: int | None = 200
        orders = (order(agent.name, hold_s=hold_s) for agent in self.scene.targets)
        made = plan_of(*orders, stops=stops, **changes)
        probes = (*made.probes, *([GATE_PROBE] if GATE in stops else []))
        self.scene.plan = replace(made, probes=probes)
        self.scene.observer.up = self._up
        self.scene.outside.servers = {
            "https://prom:9090": lambda: prometheus(self.errors),
            "https://ops": lambda: None if self.status is None else Reply(self.status, b""),
        }

    def _up(self, probe: PlannedProbe) -> bool:
        return self.gate if probe.service == "stop:gate" else self.shop

    def break_it(self, stop: StopCondition) -> None:
        match stop:
            case ServiceStop():
                self.shop = False
            case ProbeStop():
                self.gate = False
            case MetricStop():
                self.errors = 0.2
            case WebhookStop():
                self.status = 503

    async def start(self) -> str:
        await self.scene.boot()
        return await self.scene.start()

    async def tripped_s(self, run_id: str) -> float:
        """When the condition tripped, in seconds from T0."""
        log = await self.scene.log(run_id)
        [stopped] = [event for event in log if event.type == "stopped"]
        [t0] = [event for event in log if event.type == "t0"]
        return float((stopped.at_ns - int(t0.data["t0_ns"])) / 1e9)


def halted(sick: Sick, row: RunRow, name: str) -> None:
    assert (row.verdict, row.exit_code, row.reverted) == ("halted", 4, "confirmed")
    assert row.halted_by == f"stop condition {name}"
    assert sick.scene.clean()


@pytest.mark.parametrize("state", WITH_FAULTS)
@pytest.mark.parametrize("stop", EVERY_STOP, ids=lambda stop: stop.kind)
def test_a_condition_that_trips_in_any_phase_with_faults_halts_the_run(
    stop: StopCondition, state: RunState
) -> None:
    async def scenario() -> None:
        # Slow to revert, so that there is time to trip while reverting.
        sick = Sick(stop, hold_s=3.0, settle_s=0.5)
        for agent in sick.scene.targets:
            agent.revert_s = 20.0
        run_id = await sick.start()
        await sick.scene.until_state(run_id, state)
        sick.break_it(stop)
        halted(sick, await sick.scene.ended(run_id), stop.name)

    run_virtual(scenario())


@pytest.mark.parametrize("stop", EVERY_STOP, ids=lambda stop: stop.kind)
def test_a_quiet_condition_lets_the_run_pass_and_is_listed_as_not_tripped(stop: StopCondition) -> None:
    async def scenario() -> None:
        sick = Sick(stop, hold_s=10.0)
        run_id = await sick.start()
        row = await sick.scene.ended(run_id)
        assert row.verdict == "pass", row.reason
        report = await sick.scene.report(run_id)
        assert [(one["name"], one["tripped"]) for one in report["stops"]] == [(stop.name, False)]
        assert report["halted_by"] is None
        assert [service["name"] for service in report["services"]] == ["shop"]

    run_virtual(scenario())


@pytest.mark.parametrize("stop", EVERY_STOP, ids=lambda stop: stop.kind)
def test_nothing_is_injected_against_a_condition_and_the_reason_is_told_at_once(stop: StopCondition) -> None:
    async def scenario() -> None:
        sick = Sick(stop)
        sick.break_it(stop)
        run_id = await sick.start()
        row = await sick.scene.ended(run_id)
        assert (row.verdict, row.exit_code) == ("not_steady", 3)
        assert f"stop condition {stop.name}: " in (row.reason or "")
        assert sick.scene.injections() == 0
        assert sick.scene.clean()
        told = [event for event in await sick.scene.log(run_id) if event.type == "not_steady_yet"]
        assert any(stop.name in reason for reason in told[0].data["reasons"])
        report = await sick.scene.report(run_id)
        assert "nothing was injected" in markdown.text(await sick.scene.runs.report(run_id))
        assert report["stops"][0]["tripped"] is False

    run_virtual(scenario())


@pytest.mark.parametrize("stop", [METRIC, HOOK], ids=lambda stop: stop.kind)
def test_nothing_is_injected_when_a_source_cannot_be_read(stop: StopCondition) -> None:
    async def scenario() -> None:
        sick = Sick(stop)
        sick.scene.outside.servers.clear()
        row = await sick.scene.ended(await sick.start())
        assert (row.verdict, row.exit_code) == ("not_steady", 3)
        assert "connection refused" in (row.reason or "")
        assert sick.scene.injections() == 0

    run_virtual(scenario())


def test_a_source_that_recovers_in_the_grace_lets_the_run_begin() -> None:
    async def scenario() -> None:
        sick = Sick(HOOK, hold_s=5.0)
        sick.status = 503
        run_id = await sick.start()
        await sick.scene.until_state(run_id, RunState.BASELINE)
        await asyncio.sleep(5)
        sick.status = 200
        assert (await sick.scene.ended(run_id)).verdict == "pass"
        told = [event for event in await sick.scene.log(run_id) if event.type == "not_steady_yet"]
        assert len(told) == 1, "one line for one reason, however often it is looked at"

    run_virtual(scenario())


def test_a_service_that_flaps_never_trips_a_condition_on_a_failure_without_a_break() -> None:
    async def scenario() -> None:
        sick = Sick(SHOP, hold_s=20.0)
        run_id = await sick.start()
        await sick.scene.until_state(run_id, RunState.HOLDING)
        for _ in range(8):
            sick.shop = False
            await asyncio.sleep(1.5)
            sick.shop = True
            await asyncio.sleep(0.5)
        assert (await sick.scene.ended(run_id)).halted_by is None

    run_virtual(scenario())


def test_a_service_may_fail_for_as_long_as_its_condition_allows_and_no_longer() -> None:
    async def scenario() -> None:
        sick = Sick(SHOP)
        run_id = await sick.start()
        await sick.scene.until_state(run_id, RunState.HOLDING)
        sick.shop = False
        began_s = asyncio.get_running_loop().time()
        await sick.scene.until(lambda: not sick.scene.targets[0].active())
        took_s = asyncio.get_running_loop().time() - began_s
        assert 3.0 <= took_s <= 3.7, f"reverted {took_s:.2f} s after the service began to fail"
        row = await sick.scene.ended(run_id)
        halted(sick, row, "shop")
        assert "shop has been failing since T+" in (row.reason or "")
        report = await sick.scene.report(run_id)
        assert report["halted_by"] == "stop condition shop"
        [stop] = report["stops"]
        assert stop["tripped"]
        assert stop["tripped_s"] == pytest.approx(await sick.tripped_s(run_id), abs=0.01)
        view = await sick.scene.runs.report(run_id)
        for text in (html.text(view), markdown.text(view)):
            assert f"tripped at T0 +{stop['tripped_s']:.1f} s" in text.replace("\\", "")
            assert "stop condition shop" in text

    run_virtual(scenario())


def test_a_probe_of_a_stop_condition_is_no_service() -> None:
    """It is not waited for after the revert, not shown as a service, and not measured."""

    async def scenario() -> None:
        sick = Sick(GATE, hold_s=2.0)
        run_id = await sick.start()
        await sick.scene.until_state(run_id, RunState.SETTLING)
        sick.gate = False
        ctx = sick.scene.runs.live(run_id)
        assert ctx is not None
        assert live_state(ctx)["services"] == {"shop": True}
        row = await sick.scene.ended(run_id)
        assert row.verdict == "pass"

    run_virtual(scenario())


def test_silence_of_an_observer_halts_the_run() -> None:
    async def scenario() -> None:
        sick = Sick(SHOP)
        run_id = await sick.start()
        await sick.scene.until_state(run_id, RunState.HOLDING)
        await sick.scene.fleet.disconnect(OBSERVER)
        lost_s = asyncio.get_running_loop().time()
        await sick.scene.until(lambda: not sick.scene.targets[0].active())
        took_s = asyncio.get_running_loop().time() - lost_s
        assert took_s <= 3.0 + 0.5 + 0.2 + 0.5, "the limit, a time-out, two periods; and to look and revert"
        row = await sick.scene.ended(run_id)
        halted(sick, row, "shop")
        assert "cannot be read" in (row.reason or "")

    run_virtual(scenario())


@pytest.mark.parametrize("kill", [lambda sick: sick.scene.outside.servers.clear(), "silent"])
@pytest.mark.parametrize("stop", [METRIC, HOOK], ids=lambda stop: stop.kind)
def test_a_source_that_dies_halts_the_run_within_two_intervals_and_a_second(
    stop: MetricStop | WebhookStop, kill: Callable[[Sick], None] | str
) -> None:
    async def scenario() -> None:
        sick = Sick(stop)
        run_id = await sick.start()
        await sick.scene.until_state(run_id, RunState.HOLDING)
        await asyncio.sleep(3.3)
        if callable(kill):
            kill(sick)
        else:
            sick.scene.outside.servers = dict.fromkeys(sick.scene.outside.servers, lambda: None)
        died_s = asyncio.get_running_loop().time()
        await sick.scene.until(lambda: not sick.scene.targets[0].active())
        took_s = asyncio.get_running_loop().time() - died_s
        answer_s = 0.0 if callable(kill) else sick.scene.settings.stop_answer_s
        assert took_s <= 2 * stop.every_s + max(1.0, answer_s)
        halted(sick, await sick.scene.ended(run_id), stop.name)

    run_virtual(scenario())


def test_one_missed_answer_is_not_yet_silence() -> None:
    async def scenario() -> None:
        sick = Sick(HOOK, hold_s=10.0)
        run_id = await sick.start()
        await sick.scene.until_state(run_id, RunState.HOLDING)
        servers = dict(sick.scene.outside.servers)
        asked = len(sick.scene.outside.asked)
        sick.scene.outside.servers.clear()
        await sick.scene.until(lambda: len(sick.scene.outside.asked) > asked)
        sick.scene.outside.servers.update(servers)
        assert (await sick.scene.ended(run_id)).verdict == "pass"

    run_virtual(scenario())


def test_a_source_is_asked_at_its_own_pace_and_no_more_after_the_last_revert() -> None:
    async def scenario() -> None:
        sick = Sick(METRIC, hold_s=20.0)
        run_id = await sick.start()
        await sick.scene.until_state(run_id, RunState.SETTLING)
        moments = [at_s for at_s, _path in sick.scene.outside.asked]
        gaps = {round(b - a, 6) for a, b in pairwise(moments)}
        assert gaps == {METRIC.every_s}
        await sick.scene.ended(run_id)
        assert len(sick.scene.outside.asked) == len(moments)

    run_virtual(scenario())


def test_a_condition_that_trips_after_the_last_revert_changes_nothing() -> None:
    async def scenario() -> None:
        sick = Sick(HOOK, hold_s=5.0)
        run_id = await sick.start()
        await sick.scene.until_state(run_id, RunState.SETTLING)
        sick.status = 503
        assert (await sick.scene.ended(run_id)).verdict == "pass"

    run_virtual(scenario())


def test_a_database_that_takes_no_writes_does_not_keep_a_condition_from_halting() -> None:
    async def scenario() -> None:
        sick = Sick(HOOK)
        run_id = await sick.start()
        await sick.scene.until_state(run_id, RunState.HOLDING)
        sick.scene.store.broken = "no space left on device"
        sick.status = 503
        await sick.scene.until(lambda: not any(agent.active() for agent in sick.scene.targets), 10)
        sick.scene.store.broken = ""
        halted(sick, await sick.scene.ended(run_id), "freeze")

    run_virtual(scenario())


def test_conditions_that_cannot_be_evaluated_count_as_tripped(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        sick = Sick(SHOP)
        run_id = await sick.start()
        await sick.scene.until_state(run_id, RunState.HOLDING)
        ctx = sick.scene.runs.live(run_id)
        assert ctx is not None
        monkeypatch.delattr(ctx.samples, "_views")  # a defect of ours
        row = await sick.scene.ended(run_id)
        assert (row.verdict, row.reverted, row.halted_by) == ("halted", "confirmed", "blackstart")
        assert "could not be evaluated" in (row.reason or "")

    run_virtual(scenario())


def test_a_plan_with_a_url_that_is_not_allowed_is_refused() -> None:
    async def scenario() -> None:
        sick = Sick(METRIC, HOOK)
        sick.scene.outside.forbidden = {"https://ops"}
        await sick.scene.boot()
        with pytest.raises(Refused, match="stop condition freeze: https://ops is not allowed"):
            await sick.scene.start()

    run_virtual(scenario())


def test_a_restart_while_a_condition_halts_the_run_ends_it_halted_by_the_condition() -> None:
    async def scenario() -> None:
        sick = Sick(HOOK)
        sick.scene.targets[0].never_reverts = True
        run_id = await sick.start()
        await sick.scene.until_state(run_id, RunState.HOLDING)
        sick.status = 503
        await sick.scene.until_state(run_id, RunState.HALTING)
        await asyncio.sleep(1)
        await sick.scene.crash_controller()
        sick.scene.targets[0].mend()
        await sick.scene.boot()
        halted(sick, await sick.scene.ended(run_id), "freeze")
        [stop] = (await sick.scene.report(run_id))["stops"]
        assert stop["tripped"]

    run_virtual(scenario())


def test_the_live_state_shows_each_condition_with_its_reading() -> None:
    async def scenario() -> None:
        sick = Sick(*EVERY_STOP)
        run_id = await sick.start()
        await sick.scene.until_state(run_id, RunState.HOLDING)
        await asyncio.sleep(2)
        sick.shop = False
        await asyncio.sleep(1)
        ctx = sick.scene.runs.live(run_id)
        assert ctx is not None
        state = live_state(ctx)
        readings = {one["name"]: (one["reading"], one["tripped"]) for one in state["stops"]}
        assert readings["shop"][0].startswith("failing for 0.")
        assert readings["gate"] == ("ok, seen from o1", False)
        assert readings["errors"] == ("it is 0.01", False)
        assert readings["freeze"] == ("https://ops answered 200", False)
        assert state["phase"] == "holding"
        assert state["now_s"] == pytest.approx(3.0, abs=0.1)
        assert {(one["state"], one["hold_s"]) for one in state["orders"]} == {("injected", 30.0)}

    run_virtual(scenario())
