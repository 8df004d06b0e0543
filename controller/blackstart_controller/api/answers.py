"""What the API answers: plain JSON types made from frozen data."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime
from typing import Any

from blackstart_controller.plan.fleet import HostView
from blackstart_controller.runs.clock import iso
from blackstart_controller.runs.context import RunContext
from blackstart_controller.runs.live import live_state
from blackstart_controller.runs.planning import PlanAnswer
from blackstart_controller.runs.states import RunState
from blackstart_controller.store.model import HostRow, RunEvent, RunRow


def plan_answer(answer: PlanAnswer) -> dict[str, Any]:
    return {"plan": dataclasses.asdict(answer.plan), "hash": answer.hash, "answers": list(answer.answers)}


def host_answer(view: HostView, row: HostRow | None) -> dict[str, Any]:
    seen = {"first_seen": row.first_seen, "last_seen": row.last_seen} if row else {}
    return dataclasses.asdict(view) | seen


def run_answer(row: RunRow) -> dict[str, Any]:
    hidden = {"document", "plan", "idempotency_key", "boot_id"}
    answer = {name: value for name, value in dataclasses.asdict(row).items() if name not in hidden}
    if row.state == RunState.AWAITING_APPROVAL:
        answer["waits_for"] = f"an approver other than {row.operator}: blackstart run approve {row.id}"
    return answer


def live_answer(row: RunRow, ctx: RunContext | None) -> dict[str, Any]:
    """A run with what is known of it at this moment, if it is alive."""
    answer = run_answer(row) | {"document": row.document}
    if ctx is None:
        return answer
    live = live_state(ctx)
    known = {name: live[name] for name in ("orders", "services", "unconfirmed_hosts")}
    return answer | known | {"live": live}


def halted_answer(ctx: RunContext) -> dict[str, Any]:
    """A run that is being halted, as far as memory knows it."""
    halt = ctx.halt.result()
    return {
        "id": ctx.id,
        "experiment": ctx.plan.experiment,
        "state": ctx.state,
        "halted_by": halt.by,
        "reason": halt.reason,
    }


def event_answer(event: RunEvent) -> dict[str, Any]:
    return dataclasses.asdict(event)


def expiry(expires_s: int) -> str:
    return iso(datetime.fromtimestamp(expires_s, UTC))
