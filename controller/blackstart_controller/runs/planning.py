"""Document to plan, as the API is asked for it."""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import dataclass, replace
from typing import Any

from blackstart_controller.errors import BlackstartError
from blackstart_controller.outside.ports import Outside
from blackstart_controller.plan.fleet import FleetSnapshot
from blackstart_controller.plan.make import make_plan
from blackstart_controller.plan.model import Finding, HostOrder, Plan
from blackstart_controller.runs.ports import Fleet
from blackstart_controller.runs.prepare import resolution_data
from blackstart_controller.runs.sources import refused_urls
from blackstart_controller.spec.document import Document
from blackstart_controller.spec.load import load_experiment

PREVIEW = "preview"  # the run id of a plan that is only looked at


@dataclass(frozen=True, slots=True)
class PlanAnswer:
    """A plan, and what each agent says that its order would hit."""

    plan: Plan
    hash: str
    answers: tuple[dict[str, Any], ...]


def plan_document(document: Document, fleet: FleetSnapshot) -> Plan:
    """Raises InvalidDocument or NoTargets. What breaks a rule is in the plan's findings."""
    experiment = load_experiment(document)
    return make_plan(experiment, fleet, ids=lambda: str(uuid.uuid4()))


def with_refused_urls(plan: Plan, outside: Outside) -> Plan:
    """The plan, with an error for each stop condition whose source this controller must not ask."""
    refused = tuple(Finding("error", text) for text in refused_urls(plan.stops, outside))
    return replace(plan, findings=(*plan.findings, *refused))


async def ask_agents(fleet: Fleet, plan: Plan, timeout_s: float) -> tuple[dict[str, Any], ...]:
    """Each agent's own answer; nothing is touched."""
    return tuple(await asyncio.gather(*(_ask(fleet, order, timeout_s) for order in plan.orders)))


async def _ask(fleet: Fleet, order: HostOrder, timeout_s: float) -> dict[str, Any]:
    answer: dict[str, Any] = {"order_id": order.id, "host": order.host}
    try:
        async with asyncio.timeout(timeout_s):
            resolution = await fleet.resolve(PREVIEW, order)
            return answer | resolution_data(resolution) | {"rules": resolution.rules}
    except TimeoutError:
        return answer | {"hits": [], "refusals": [f"no answer in {timeout_s:g} s"], "undo": []}
    except BlackstartError as error:
        return answer | {"hits": [], "refusals": [str(error)], "undo": []}
