"""Runs that wait for a second person, and what that person says."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TypeAlias

from blackstart_controller.errors import NotFound, Refused
from blackstart_controller.plan.hash import plan_hash
from blackstart_controller.plan.model import Plan
from blackstart_controller.runs.approval import Waiting
from blackstart_controller.runs.context import Result, RunContext
from blackstart_controller.runs.launch import Admission, Launch, Needs
from blackstart_controller.runs.ports import Fleet
from blackstart_controller.spec.document import Document
from blackstart_controller.store.ports import Store

MakePlan: TypeAlias = Callable[[Document], Awaitable[Plan]]
CheckFree: TypeAlias = Callable[[Plan], None]


class Approvals:
    """`starting` is the lock under which runs begin: what was free when it was looked at still is."""

    def __init__(
        self,
        fleet: Fleet,
        store: Store,
        admission: Admission,
        starting: asyncio.Lock,
        *,
        make_plan: MakePlan,
        check_free: CheckFree,
    ) -> None:
        self._fleet = fleet
        self._store = store
        self._admission = admission
        self._starting = starting
        self._make_plan = make_plan
        self._check_free = check_free
        self._waiting: dict[str, Waiting] = {}

    def waits(self, run_id: str) -> bool:
        """False from the moment of the decision on."""
        waiting = self._waiting.get(run_id)
        return waiting is not None and waiting.open

    def expect(self, ctx: RunContext, launch: Launch, needs: Needs) -> Waiting:
        waiting = self._waiting[ctx.id] = Waiting(ctx, launch, needs.environments)
        return waiting

    async def outcome(self, waiting: Waiting) -> Result | None:
        """As `Waiting.outcome`; afterwards nobody can decide any more."""
        try:
            return await waiting.outcome()
        finally:
            del self._waiting[waiting.ctx.id]

    async def approve(self, run_id: str, by: str, asked_hash: str | None = None) -> None:
        """The run goes on. Approving what is approved is harmless; the plan must still be the same."""
        async with self._starting:
            waiting = self._waiting.get(run_id)
            if waiting is not None:
                waiting.check_second(by)
            if waiting is None or not waiting.open:
                await self._check_decided(run_id, "approved")
            else:
                await self._check_plan(waiting, by, asked_hash)
                await waiting.approve(by)
                if (stopped := self._admission.stopped()) is not None:
                    waiting.ctx.halt_now(stopped)

    async def deny(self, run_id: str, by: str, reason: str) -> None:
        """The run ends, refused. Denying what is denied is harmless."""
        async with self._starting:
            waiting = self._waiting.get(run_id)
            if waiting is None or not waiting.open:
                await self._check_decided(run_id, "denied")
            else:
                await waiting.deny(by, reason)

    async def _check_plan(self, waiting: Waiting, by: str, asked_hash: str | None) -> None:
        """The plan made now is the one that was started, and may begin."""
        launch = replace(waiting.launch, approved_by=by, plan_hash=asked_hash or waiting.ctx.plan_hash)
        plan = await self._make_plan(launch.document)
        made = plan_hash(plan)
        if made != waiting.ctx.plan_hash:
            why = (
                f"run {waiting.ctx.id}: the plan has changed while it waited for approval: its hash was "
                f"{waiting.ctx.plan_hash[:8]} and is {made[:8]} now; look at the plan and start it again"
            )
            waiting.end(why)
            raise Refused(why)
        self._check_free(plan)
        await self._admission.check(launch, plan, made, self._fleet.snapshot())

    async def _check_decided(self, run_id: str, how: str) -> None:
        """Nothing to decide: fine when the answer was the same, else Refused says what it is now."""
        row = await self._store.run(run_id)
        if row is None:
            raise NotFound(f"run {run_id}: there is none; `blackstart run list` shows all")
        if any(event.type == how for event in await self._store.events(run_id)):
            return
        why = f" ({row.reason})" if row.reason else ""
        raise Refused(f"run {run_id}: it is {row.state}{why}; it does not wait for approval")
