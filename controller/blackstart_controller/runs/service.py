"""All runs of one controller. The API asks here, the fleet tells here."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Sequence
from functools import partial
from typing import Any, TypeAlias

from blackstart_controller.errors import NotFound, Refused, UsageError
from blackstart_controller.notify.ports import Nobody, Notifier
from blackstart_controller.outside.http import HttpOutside
from blackstart_controller.outside.ports import Outside
from blackstart_controller.plan.fleet import FleetSnapshot
from blackstart_controller.plan.hash import plan_hash
from blackstart_controller.plan.model import Plan
from blackstart_controller.report.view import ReportView
from blackstart_controller.runs.announce import Announcer
from blackstart_controller.runs.approval import Waiting
from blackstart_controller.runs.approvals import Approvals
from blackstart_controller.runs.build import World, context_of, plan_text, restored
from blackstart_controller.runs.clock import Clock, iso
from blackstart_controller.runs.clocks import Timelines
from blackstart_controller.runs.context import Halt, RunContext
from blackstart_controller.runs.late import watch_late
from blackstart_controller.runs.launch import Admission, EverybodyMay, Launch, Needs
from blackstart_controller.runs.listen import Listener
from blackstart_controller.runs.machine import come_back, walk
from blackstart_controller.runs.planning import PlanAnswer, ask_agents, plan_document, with_refused_urls
from blackstart_controller.runs.ports import Fleet
from blackstart_controller.runs.record import view_from
from blackstart_controller.runs.recovery import interrupted
from blackstart_controller.runs.settings import Settings
from blackstart_controller.runs.states import RunState
from blackstart_controller.spec.document import Document
from blackstart_controller.store.model import NewRun, RunChange, RunEvent, RunRow
from blackstart_controller.store.ports import Store

Planner: TypeAlias = Callable[[Document, FleetSnapshot], Plan]
Life: TypeAlias = Callable[[], Coroutine[Any, Any, None]]  # not begun: a run may be closed before it is
FOLLOW_S = 1.0  # a follower of a run that nobody here drives looks so often


class Runs:
    """`await recover()` before the fleet's server takes streams; give `listener` to the fleet."""

    def __init__(
        self,
        fleet: Fleet,
        store: Store,
        clock: Clock,
        *,
        settings: Settings | None = None,
        planner: Planner = plan_document,
        admission: Admission | None = None,
        notifier: Notifier | None = None,
        outside: Outside | None = None,
    ) -> None:
        asked = outside or HttpOutside()  # nobody, unless somebody has been allowed
        self._world = World(fleet, store, clock, settings or Settings(), Timelines(), asked)
        self._planner = planner
        self._admission = admission or EverybodyMay()
        self._announcer = Announcer(notifier or Nobody(), store)
        self._contexts: dict[str, RunContext] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._starting = asyncio.Lock()
        self._approvals = Approvals(
            fleet,
            store,
            self._admission,
            self._starting,
            make_plan=self._planned,
            check_free=self._check_free,
        )
        self.listener = Listener(self._world, self)

    # ---- asked by the API ----

    async def plan(self, document: Document) -> PlanAnswer:
        """What a run would do, with each agent's own answer. Nothing is touched."""
        plan = await self._planned(document)
        answers = await ask_agents(self._world.fleet, plan, self._world.settings.call_s)
        made = plan_hash(plan)
        self._admission.seen(plan, made)
        return PlanAnswer(plan, made, answers)

    async def start(self, launch: Launch) -> str:
        """The id of the run that was started, or that this key has started before."""
        async with self._starting:
            store, key = self._world.store, launch.idempotency_key
            if key is not None and (known := await store.run_by_key(key)) is not None:
                return _same(known, launch)
            if (stopped := self._admission.stopped()) is not None:
                raise Refused(stopped.reason)  # whatever else may speak against it
            plan = await self._planned(launch.document)
            self._check_free(plan)  # before the rules: they would only see faults "of an earlier run"
            if plan.errors:
                raise Refused("\n".join(plan.errors))
            snapshot = self._world.fleet.snapshot()
            needs = await self._admission.check(launch, plan, plan_hash(plan), snapshot)
            row, _new = await store.create_run(self._new_run(plan, launch, needs))
            self._begin(context_of(self._world, row, plan), launch, needs)
            return row.id

    async def approve(self, run_id: str, by: str, asked_hash: str | None = None) -> None:
        """A second person has said yes; see `Approvals.approve`."""
        await self._approvals.approve(run_id, by, asked_hash)

    async def deny(self, run_id: str, by: str, reason: str) -> None:
        await self._approvals.deny(run_id, by, reason)

    async def halt(self, run_id: str, reason: str, by: str) -> None:
        """The run is being halted, or was already over. Halting twice is harmless."""
        ctx = self._contexts.get(run_id)
        if ctx is None:
            await self.get(run_id)
        elif ctx.halt_now(Halt(by, reason)):
            await ctx.log.try_add("halt", {"by": by, "reason": reason})

    async def halt_all(self, reason: str, by: str) -> list[str]:
        """Every agent is told to revert everything, first; then every run is being halted."""
        await self._world.fleet.revert_all(reason)
        alive = [run_id for run_id, ctx in self._contexts.items() if ctx.state != RunState.ENDED]
        await asyncio.gather(*(self.halt(run_id, reason, by) for run_id in alive))
        return alive

    async def get(self, run_id: str) -> RunRow:
        row = await self._world.store.run(run_id)
        if row is None:
            raise NotFound(f"run {run_id}: there is none; `blackstart run list` shows all")
        return row

    async def list(self) -> Sequence[RunRow]:
        return await self._world.store.runs()

    def live(self, run_id: str) -> RunContext | None:
        """What is known beyond the store of a run that is alive."""
        return self._contexts.get(run_id)

    async def events(self, run_id: str, after: int = 0) -> AsyncIterator[RunEvent]:
        """The log after number `after`, then every further event until the run has ended."""
        while True:
            ctx = self._contexts.get(run_id)
            change = None if ctx is None else ctx.log.pulse.next()
            row = await self.get(run_id)  # before its events: the last one is stored together with the end
            for event in await self._world.store.events(run_id, after):
                after = event.seq
                yield event
            if row.state == RunState.ENDED:
                return
            if ctx is None or change is None:
                await asyncio.sleep(FOLLOW_S)
            else:
                await ctx.log.pulse.wait(FOLLOW_S, change)

    async def report(self, run_id: str) -> ReportView:
        await self.get(run_id)
        text = await self._world.store.report(run_id)
        if text is None:
            raise NotFound(f"run {run_id}: no report yet; it is written when the run ends")
        return await asyncio.to_thread(view_from, text)

    # ---- directory, for the listener ----

    def context(self, run_id: str) -> RunContext | None:
        return self._contexts.get(run_id)

    def contexts(self) -> Iterable[RunContext]:
        return self._contexts.values()

    # ---- a controller's life ----

    async def recover(self) -> None:
        """Every run that an earlier life of this controller left is on its way to a true end."""
        for row in await self._world.store.unsettled_runs():
            ctx = await restored(self._world, row)
            self._contexts[row.id] = ctx
            if ctx.state == RunState.ENDED:
                self._drive(ctx, _nothing)
            else:
                await ctx.log.try_add(
                    "interrupted", {"state": ctx.state, "text": "the controller was restarted"}
                )
                self._drive(ctx, partial(come_back, ctx, interrupted(row)))
        self._announcer.missed(self._world.clock.wall())

    async def wait(self, run_id: str) -> None:
        """Return when the run has ended."""
        async for _event in self.events(run_id):
            pass

    async def close(self) -> None:
        """Stop driving. Tethered faults end when the streams close; the next start ends the runs."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._announcer.close()

    async def _planned(self, document: Document) -> Plan:
        """Parsed and planned beside the event loop: a halt or a lease never waits for a long document."""
        plan = await asyncio.to_thread(self._planner, document, self._world.fleet.snapshot())
        return with_refused_urls(plan, self._world.outside)

    def _begin(self, ctx: RunContext, launch: Launch, needs: Needs) -> None:
        """The run lives from here on; no await, so that nothing can come between it and its row."""
        self._contexts[ctx.id] = ctx
        if ctx.state == RunState.AWAITING_APPROVAL:
            waiting = self._approvals.expect(ctx, launch, needs)
            self._drive(ctx, partial(self._once_approved, waiting))
            self._announcer.awaiting_approval(ctx, launch, needs.environments)
        else:
            self._drive(ctx, partial(_agreed, ctx, launch) if launch.approved_by else partial(walk, ctx))
            self._announcer.started(ctx, launch)
        if (stopped := self._admission.stopped()) is not None:  # while the row was written
            ctx.halt_now(stopped)

    async def _once_approved(self, waiting: Waiting) -> None:
        result = await self._approvals.outcome(waiting)
        if result is None:
            self._announcer.started(waiting.ctx, waiting.launch)
            await walk(waiting.ctx)
        else:
            await come_back(waiting.ctx, result)

    def _drive(self, ctx: RunContext, life: Life) -> None:
        task = asyncio.create_task(self._to_the_last_proof(ctx, life), name=f"run-{ctx.id}")
        self._tasks[ctx.id] = task

    async def _to_the_last_proof(self, ctx: RunContext, life: Life) -> None:
        await life()
        self._announcer.ended(ctx.id)
        if ctx.unreverted():
            await watch_late(ctx)
            self._announcer.reverted_late(ctx)
        del self._contexts[ctx.id], self._tasks[ctx.id]

    def _check_free(self, plan: Plan) -> None:
        """Two runs never share a target; a host whose last revert is not proved gets no new fault."""
        wanted = {order.host for order in plan.orders}
        reasons = []
        for ctx in self._contexts.values():
            if self._approvals.waits(ctx.id):
                continue  # it has touched nothing, and looks again when it is approved
            ended = ctx.state == RunState.ENDED
            if shared := sorted(wanted & (set(ctx.unconfirmed_hosts()) if ended else ctx.targets)):
                why = (
                    "its revert is not confirmed there"
                    if ended
                    else "it is under way; wait for it or halt it"
                )
                reasons.append(f"{', '.join(shared)}: target of run {ctx.id}: {why}")
        if reasons:
            raise Refused("\n".join(reasons))

    def _new_run(self, plan: Plan, launch: Launch, needs: Needs) -> NewRun:
        clock = self._world.clock
        agreed = launch.approved_by not in (None, launch.operator)
        waits = needs.second_person and not agreed
        return NewRun(
            id=str(uuid.uuid4()),
            experiment=plan.experiment,
            file=launch.document.file,
            document=launch.document.text,
            plan=plan_text(plan),
            plan_hash=plan_hash(plan),
            created=iso(clock.wall()),
            boot_id=clock.boot_id,
            operator=launch.operator,
            trigger=launch.trigger,
            idempotency_key=launch.idempotency_key,
            orders=tuple((order.id, order.host) for order in plan.orders),
            state=RunState.AWAITING_APPROVAL if waits else RunState.CREATED,
            environments=needs.environments,
        )


def _same(known: RunRow, launch: Launch) -> str:
    """The run that this key has started; a key is never used for two documents."""
    if known.document != launch.document.text:
        raise UsageError(
            f"idempotency key: it has started run {known.id} of another document; make a new key"
        )
    return known.id


async def _agreed(ctx: RunContext, launch: Launch) -> None:
    """A run that a second person has agreed to before it was due."""
    by = launch.approved_by or ""
    data = {"by": by, "text": f"approved by {by} before"}
    await ctx.log.try_add("approved", data, change=RunChange(approved_by=by))
    await walk(ctx)


async def _nothing() -> None:
    return None
