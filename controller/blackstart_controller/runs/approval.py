"""A run that waits for a second person: until then nothing was touched, and nothing is reserved."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from blackstart_controller.errors import Refused
from blackstart_controller.measure.verdict import Ending
from blackstart_controller.runs.clock import iso
from blackstart_controller.runs.context import REFUSED_EXIT, Result, RunContext
from blackstart_controller.runs.hold import halted
from blackstart_controller.runs.launch import Launch
from blackstart_controller.runs.states import RunState
from blackstart_controller.store.model import RunChange, StoreFailed


@dataclass(slots=True)
class Waiting:
    """`decision`: None lets the run go on, a Result ends it."""

    ctx: RunContext
    launch: Launch
    environments: tuple[str, ...]
    decision: asyncio.Future[Result | None] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )

    @property
    def open(self) -> bool:
        return not self.decision.done() and not self.ctx.halt.done()

    def check_second(self, by: str) -> None:
        """Whoever started it is no second person."""
        if by == self.launch.operator:
            raise Refused(
                f"run {self.ctx.id}: {by} has started it; another operator with the role approver must "
                f"approve it: blackstart run approve {self.ctx.id}"
            )

    def check_open(self) -> None:
        if not self.open:
            raise Refused(f"run {self.ctx.id}: halted, denied or too late in this moment; start it again")

    async def approve(self, by: str) -> None:
        self.check_open()
        change = RunChange(approved_by=by)
        await self.ctx.log.add("approved", {"by": by, "text": f"approved by {by}"}, change=change)
        self.check_open()
        self.decision.set_result(None)

    async def deny(self, by: str, reason: str) -> None:
        await self.ctx.log.add("denied", {"by": by, "reason": reason})
        self.end(f"denied by {by}: {reason}")

    def end(self, why: str) -> None:
        if not self.decision.done():
            self.decision.set_result(Result(Ending.ERROR, why, REFUSED_EXIT))

    async def outcome(self) -> Result | None:
        """How the waiting has ended; None when the run was approved."""
        with contextlib.suppress(StoreFailed):  # what it waits for is in its row already
            await self._tell()
        patience_s = self.ctx.settings.approval_s
        waits: set[asyncio.Future[Any]] = {self.decision, self.ctx.halt}
        await asyncio.wait(waits, timeout=patience_s, return_when=asyncio.FIRST_COMPLETED)
        if self.ctx.halt.done():
            return halted(self.ctx.halt.result())
        self.end(f"nobody has approved it within {patience_s / 60:g} minutes; nothing was touched")
        return self.decision.result()

    async def _tell(self) -> None:
        until = iso(self.ctx.clock.wall() + timedelta(seconds=self.ctx.settings.approval_s))
        text = (
            f"{', '.join(self.environments)} needs a second person: an approver other than "
            f"{self.launch.operator} says until {until}: blackstart run approve {self.ctx.id}"
        )
        data = {"state": RunState.AWAITING_APPROVAL, "until": until, "text": text}
        await self.ctx.log.add("state", data)
