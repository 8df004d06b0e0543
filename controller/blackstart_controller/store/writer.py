"""Group commit: all that waits is written in one transaction; each waiter returns when that is on disk."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from blackstart_controller.store.model import StoreFailed

Result = TypeVar("Result")
Work = Callable[[AsyncConnection], Awaitable[Result]]
MAX_GROUP = 1000


@dataclass(frozen=True, slots=True)
class _Job(Generic[Result]):
    work: Work[Result]
    done: asyncio.Future[Result]


class GroupWriter:
    """The one writer of the database. A cancelled waiter does not take its write back."""

    def __init__(
        self,
        engine: AsyncEngine,
        *,
        before: Callable[[], None],
        after: Callable[[AsyncConnection], Awaitable[None]],
    ) -> None:
        self._engine = engine
        self._before = before  # a group starts: nothing of an older one counts
        self._after = after  # everything of the group has run: last statements before the commit
        self._queue: asyncio.Queue[_Job[Any] | None] = asyncio.Queue()
        self._task = asyncio.create_task(self._run(), name="store-writer")
        self._closed = False

    async def write(self, work: Work[Result]) -> Result:
        """Return what `work` returned, once durable. Raises StoreFailed: then nothing of it is stored."""
        if self._closed:
            raise StoreFailed("the database is closed: the controller is stopping")
        done: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._queue.put_nowait(_Job(work, done))
        return await asyncio.shield(done)

    async def close(self) -> None:
        """Everything that waited is written; later writes are refused."""
        if not self._closed:
            self._closed = True
            self._queue.put_nowait(None)
        await self._task

    async def _run(self) -> None:
        while (first := await self._queue.get()) is not None:
            group, last = self._drain(first)
            await self._commit(group)
            if last:
                return

    def _drain(self, first: _Job[Any]) -> tuple[list[_Job[Any]], bool]:
        group = [first]
        with contextlib.suppress(asyncio.QueueEmpty):
            while len(group) < MAX_GROUP:
                job = self._queue.get_nowait()
                if job is None:
                    return group, True
                group.append(job)
        return group, False

    async def _commit(self, group: list[_Job[Any]]) -> None:
        try:
            results = await self._try_group(group)
        except SQLAlchemyError as error:
            if len(group) == 1:
                _fail(group[0], error)
                return
            for job in group:  # one bad write must not take its neighbours with it
                await self._commit([job])
            return
        for job, result in zip(group, results, strict=True):
            if not job.done.done():
                job.done.set_result(result)

    async def _try_group(self, group: list[_Job[Any]]) -> list[Any]:
        self._before()
        async with self._engine.begin() as connection:
            results = [await job.work(connection) for job in group]
            await self._after(connection)
        return results


def _fail(job: _Job[Any], error: SQLAlchemyError) -> None:
    if not job.done.done():
        job.done.set_exception(
            StoreFailed(f"the database refused a write: {getattr(error, 'orig', None) or error}")
        )
        job.done.exception()  # a waiter that was cancelled must not leave a warning behind
