"""Tasks that live as long as a block."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

log = logging.getLogger(__name__)
Spawn: TypeAlias = Callable[[Coroutine[Any, Any, None]], None]


@asynccontextmanager
async def background() -> AsyncIterator[Spawn]:
    """Whatever was spawned in the block has ended when the block is left; what had not is cancelled."""
    tasks: set[asyncio.Task[None]] = set()

    def spawn(work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        task.add_done_callback(_tell)

    try:
        yield spawn
    finally:
        left = list(tasks)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)


def _tell(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("a background task of a run failed", exc_info=error)
