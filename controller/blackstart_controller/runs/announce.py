"""What people outside are told of a run: each time after it has become durable, and never in its way."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

from blackstart_controller.measure.verdict import EXIT_UNREVERTED
from blackstart_controller.notify.ports import Notice, Notifier
from blackstart_controller.report.json_report import document
from blackstart_controller.report.terminal import summary_lines
from blackstart_controller.runs.context import RunContext
from blackstart_controller.runs.launch import Launch
from blackstart_controller.runs.record import view_from
from blackstart_controller.store.model import RunRow, StoreFailed
from blackstart_controller.store.ports import Store

log = logging.getLogger(__name__)
REMEMBERED = timedelta(days=1)  # what a dead controller has not told of is told so much later at most
CLOSE_S = 5.0
SERVICE_FIELDS = ("name", "outcome", "recovery", "objective", "met")


class Announcer:
    """Notices have ids made of the run's: whatever is announced again is delivered once."""

    def __init__(self, notifier: Notifier, store: Store) -> None:
        self._notifier = notifier
        self._store = store
        self._turn = asyncio.Lock()  # first come, first told: the alarm before the all-clear
        self._tasks: set[asyncio.Task[None]] = set()

    def awaiting_approval(self, ctx: RunContext, launch: Launch, environments: Sequence[str]) -> None:
        text = (
            f"{ctx.plan.experiment} waits for a second person ({', '.join(environments)}); "
            f"{launch.operator} has started it. Look: blackstart run show {ctx.id}. "
            f"Then: blackstart run approve {ctx.id} --plan {ctx.plan_hash[:8]}"
        )
        data = _launch_data(ctx, launch) | {"environments": list(environments)}
        self._soon(lambda: self._tell(ctx.id, "run.awaiting_approval", text, data))

    def started(self, ctx: RunContext, launch: Launch) -> None:
        hosts = len(ctx.targets)
        text = (
            f"{ctx.plan.experiment} was started by {launch.operator} ({launch.trigger}); it hits "
            f"{hosts} {'host' if hosts == 1 else 'hosts'}. Halt it: blackstart halt {ctx.id}"
        )
        data = _launch_data(ctx, launch)
        self._soon(lambda: self._tell(ctx.id, "run.started", text, data))

    def ended(self, run_id: str) -> None:
        """Its verdict and services; and, loudly, when faults may still be there."""
        self._soon(lambda: self._ended(run_id))

    def reverted_late(self, ctx: RunContext) -> None:
        """The all-clear after `run.unreverted`."""
        text = f"{ctx.plan.experiment}: every fault is now proved to be reverted."
        data = {"run": ctx.id, "experiment": ctx.plan.experiment}
        self._soon(lambda: self._tell(ctx.id, "run.reverted", text, data))

    def missed(self, now: datetime) -> None:
        """The ends that an earlier life of this controller had no time to tell of."""
        self._soon(lambda: self._missed(now))

    async def close(self) -> None:
        """What is being announced has been, or CLOSE_S are over: then it is told at the next start."""
        tasks = set(self._tasks)
        if tasks:
            await asyncio.wait(tasks, timeout=CLOSE_S)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _soon(self, work: Callable[[], Awaitable[None]]) -> None:
        """Beside the run: it waits for nobody who is only told of it."""
        task = asyncio.create_task(self._in_turn(work), name="announce")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _in_turn(self, work: Callable[[], Awaitable[None]]) -> None:
        async with self._turn:
            try:
                await work()
            except StoreFailed as error:
                log.error("an end of a run is announced at the next start: %s", error)
            except Exception:  # whatever is wrong with an announcement concerns no run
                log.exception("an announcement failed")

    async def _missed(self, now: datetime) -> None:
        for row in await self._store.runs():
            if row.ended is not None and datetime.fromisoformat(row.ended) >= now - REMEMBERED:
                await self._ended(row.id)

    async def _ended(self, run_id: str) -> None:
        row = await self._store.run(run_id)
        if row is None or row.ended is None:
            return
        report = await self._store.report(run_id)
        summary = None if report is None else await asyncio.to_thread(_summary, report)
        await self._announce_end(row, summary)

    async def _announce_end(self, row: RunRow, summary: dict[str, Any] | None) -> None:
        data = {
            "run": row.id,
            "experiment": row.experiment,
            "verdict": row.verdict,
            "exit_code": row.exit_code,
            "reverted": row.reverted,
            "reason": row.reason,
            "halted_by": row.halted_by,
            "operator": row.operator,
            "trigger": row.trigger,
            "services": [] if summary is None else summary["services"],
            "report": f"/v1/runs/{row.id}/report.html",
        }
        lines = [f"{row.experiment} has ended: {row.verdict}", *([] if summary is None else summary["lines"])]
        text = "\n".join([*lines, f"The report: blackstart report {row.id} -o html"])
        at = row.ended or ""
        await self._tell(row.id, "run.ended", text, data, at)
        if row.reverted == "unconfirmed":
            await self._tell(row.id, "run.unreverted", _alarm(row), data | {"exit_code": EXIT_UNREVERTED}, at)

    async def _tell(self, run_id: str, type_: str, text: str, data: dict[str, Any], at: str = "") -> None:
        notice_id = f"{run_id}.{type_.removeprefix('run.')}"
        await self._notifier.publish(Notice(type_, f"run/{run_id}", text, data, notice_id, at))


def _launch_data(ctx: RunContext, launch: Launch) -> dict[str, Any]:
    return {
        "run": ctx.id,
        "experiment": ctx.plan.experiment,
        "operator": launch.operator,
        "trigger": launch.trigger,
        "plan_hash": ctx.plan_hash,
        "hosts": sorted(ctx.targets),
    }


def _alarm(row: RunRow) -> str:
    return (
        f"CALL SOMEONE: {row.experiment} has ended, and it is not confirmed that every fault is reverted. "
        f"See which hosts, and how to undo it by hand: blackstart report {row.id} -o md"
    )


def _summary(report: str) -> dict[str, Any]:
    found = document(view_from(report))
    services = [{key: service[key] for key in SERVICE_FIELDS} for service in found["services"]]
    return {"lines": summary_lines(found), "services": services}
