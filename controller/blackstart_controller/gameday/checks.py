"""The lines of a checklist that check themselves: asked of agents, clocks, the lever and other servers."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from blackstart_controller.errors import BlackstartError
from blackstart_controller.gameday.document import Item
from blackstart_controller.gameday.model import ExperimentText
from blackstart_controller.gameday.ports import LeverPort
from blackstart_controller.outside.ports import Outside, Unreadable
from blackstart_controller.plan.model import MetricStop, Plan, WebhookStop
from blackstart_controller.runs.planning import PlanAnswer
from blackstart_controller.runs.ports import Fleet
from blackstart_controller.runs.service import Runs
from blackstart_controller.runs.sources import ask
from blackstart_controller.runs.stops import Said
from blackstart_controller.spec.document import Document

ANSWER_S: Final = 5.0
MAX_NAMED: Final = 5
NS_PER_MS: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class CheckResult:
    """`unreadable`: the source said nothing, so that a person's word may stand in for it."""

    ok: bool
    detail: str
    unreadable: bool = False


@dataclass(frozen=True, slots=True)
class Planned:
    """An experiment's plan as it would be now, or why there is none."""

    name: str
    answer: PlanAnswer | None
    why: str = ""

    @property
    def plan(self) -> Plan | None:
        return self.answer.plan if self.answer else None


@dataclass(frozen=True, slots=True)
class Sources:
    """Whom the checks ask. `lever` is None where there is no lever."""

    runs: Runs
    fleet: Fleet
    outside: Outside
    lever: LeverPort | None = None


def document_of(experiment: ExperimentText) -> Document:
    return Document(experiment.document, experiment.file, experiment.values)


async def plan_all(runs: Runs, experiments: Sequence[ExperimentText]) -> list[Planned]:
    """Every experiment planned at this moment, with each agent's own answer. Nothing is touched."""
    return list(await asyncio.gather(*(_plan(runs, one) for one in experiments)))


async def _plan(runs: Runs, experiment: ExperimentText) -> Planned:
    try:
        return Planned(experiment.name, await runs.plan(document_of(experiment)))
    except BlackstartError as error:
        return Planned(experiment.name, None, str(error))


async def check_item(item: Item, planned: Sequence[Planned], sources: Sources) -> CheckResult:
    """What the line says now. Only for lines that check themselves."""
    if item.check == "agents_up":
        return agents_up(planned, sources.fleet)
    if item.check == "clocks_good":
        return await clocks_good(planned, sources.fleet)
    if item.check == "lever_released":
        return lever_released(sources.lever)
    if item.check == "plans_valid":
        return plans_valid(planned)
    if item.check == "stop_conditions_readable":
        return await stops_readable(planned, sources.outside)
    assert item.url is not None  # the document's own check
    return await url_ok(item.url, sources.outside)


def agents_up(planned: Sequence[Planned], fleet: Fleet) -> CheckResult:
    """Every target and every observer of every experiment is connected."""
    hosts = {host for one in planned if one.plan for host in _hosts(one.plan)}
    lost = sorted(host for host in hosts if not fleet.connected(host))
    unknown = [f"{one.name}: {one.why}" for one in planned if one.plan is None]
    wrong = [*unknown, *([f"not connected: {_named(lost)}"] if lost else [])]
    return _result(wrong, f"{len(hosts)} connected")


async def clocks_good(planned: Sequence[Planned], fleet: Fleet) -> CheckResult:
    """Every target's clock is known to within the smallest max_skew that an experiment asks for."""
    limits: dict[str, float] = {}
    for one in planned:
        for host in {order.host for order in one.plan.orders} if one.plan else ():
            limits[host] = min(limits.get(host, float("inf")), one.plan.max_skew_ms if one.plan else 0.0)
    estimates = await fleet.measure_clocks(sorted(limits))
    wrong = [f"{one.name}: {one.why}" for one in planned if one.plan is None]
    worst_ms = 0.0
    for host, limit_ms in sorted(limits.items()):
        if host not in estimates:
            wrong.append(f"{host}: its clock did not answer")
            continue
        error_ms = estimates[host].error_ns / NS_PER_MS
        worst_ms = max(worst_ms, error_ms)
        if error_ms > limit_ms:
            wrong.append(f"{host}: known to ± {error_ms:.1f} ms; max_skew is {limit_ms:g} ms")
    return _result(wrong, f"{len(limits)} known to ± {worst_ms:.1f} ms or better")


def lever_released(lever: LeverPort | None) -> CheckResult:
    state = lever.engaged() if lever else None
    if state is None:
        return CheckResult(True, "released")
    return CheckResult(False, f"engaged: {state.reason}; release it: blackstart lever release")


def plans_valid(planned: Sequence[Planned]) -> CheckResult:
    """Every experiment could be started now: no error in its plan, and no agent refuses."""
    wrong = [f"{one.name}: {reason}" for one in planned for reason in _reasons(one)]
    return _result(wrong, f"{len(planned)} can be started")


async def stops_readable(planned: Sequence[Planned], outside: Outside) -> CheckResult:
    """Every metric and webhook that stops an experiment answers, and would let it go on."""
    asked = [
        (f"{one.name}: {stop.name}", stop)
        for one in planned
        if one.plan
        for stop in one.plan.stops
        if isinstance(stop, MetricStop | WebhookStop)
    ]
    answers = await asyncio.gather(*(ask(outside, stop, 0, ANSWER_S) for _name, stop in asked))
    wrong = [f"{one.name}: {one.why}" for one in planned if one.plan is None]
    wrong += [
        f"{name}: {answer.words}"
        for (name, _), answer in zip(asked, answers, strict=True)
        if answer.said != Said.GO_ON
    ]
    return _result(wrong, f"{len(asked)} readable" if asked else "none lies outside")


async def url_ok(url: str, outside: Outside) -> CheckResult:
    """2xx is ok, anything else is not; without any answer a person's word may stand in."""
    if (why := outside.refusal(url)) is not None:
        return CheckResult(False, why, unreadable=True)
    try:
        reply = await outside.get(url, timeout_s=ANSWER_S)
    except Unreadable as error:
        return CheckResult(False, str(error), unreadable=True)
    return CheckResult(200 <= reply.status <= 299, f"answered {reply.status}")


def _reasons(one: Planned) -> list[str]:
    if one.answer is None:
        return [one.why]
    refusals = [f"{told['host']}: {text}" for told in one.answer.answers for text in told["refusals"]]
    return [*one.answer.plan.errors, *refusals]


def _hosts(plan: Plan) -> set[str]:
    return {order.host for order in plan.orders} | {probe.observer for probe in plan.probes}


def _result(wrong: Sequence[str], good: str) -> CheckResult:
    return CheckResult(not wrong, "; ".join(_few(wrong)) or good)


def _few(texts: Sequence[str]) -> list[str]:
    more = [f"and {len(texts) - MAX_NAMED} more"] if len(texts) > MAX_NAMED else []
    return [*texts[:MAX_NAMED], *more]


def _named(names: Iterable[str]) -> str:
    return ", ".join(_few(list(names)))
