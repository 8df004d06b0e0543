"""The log of one run: stored first, then shown. A dead database never keeps a run from reverting."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from blackstart_controller.runs.clock import Clock, iso_at
from blackstart_controller.runs.pulse import Pulse
from blackstart_controller.store.model import Draft, RunChange, StoreFailed
from blackstart_controller.store.ports import Store

PATIENCE_S = 0.3


def draft(
    clock: Clock,
    kind: str,
    *,
    host: str = "",
    order_id: str = "",
    data: Mapping[str, Any] | None = None,
    at_ns: int | None = None,
) -> Draft:
    at_ns = clock.monotonic_ns() if at_ns is None else at_ns
    return Draft(kind, at_ns, iso_at(clock, at_ns), clock.boot_id, host, order_id, data or {})


class RunLog:
    """Appends to a run's events. `pulse` beats after every one that is durable."""

    def __init__(self, run_id: str, store: Store, clock: Clock) -> None:
        self.pulse = Pulse()
        self.lost: str = ""  # why something could not be stored, if so
        self._writing: set[asyncio.Task[None]] = set()
        self._run_id = run_id
        self._store = store
        self._clock = clock

    async def add(
        self,
        kind: str,
        data: Mapping[str, Any] | None = None,
        *,
        host: str = "",
        order_id: str = "",
        change: RunChange | None = None,
        order_states: Mapping[str, str] | None = None,
    ) -> None:
        """The event is durable. Raises StoreFailed."""
        event = draft(self._clock, kind, host=host, order_id=order_id, data=data)
        await self._store.append(self._run_id, event, change=change, order_states=order_states)
        self.pulse.beat()

    async def try_add(
        self,
        kind: str,
        data: Mapping[str, Any] | None = None,
        *,
        host: str = "",
        change: RunChange | None = None,
    ) -> None:
        """As `add`, but a database that fails is only remembered: for the way back, which must go on.

        One that hangs is left behind after PATIENCE_S; what it was given it may still write.
        """
        writing = asyncio.create_task(self._add_or_remember(kind, data, host=host, change=change))
        self._writing.add(writing)
        writing.add_done_callback(self._writing.discard)
        await asyncio.wait({writing}, timeout=PATIENCE_S)

    async def _add_or_remember(
        self, kind: str, data: Mapping[str, Any] | None, *, host: str, change: RunChange | None
    ) -> None:
        try:
            await self.add(kind, data, host=host, change=change)
        except StoreFailed as error:
            self.lost = str(error)
