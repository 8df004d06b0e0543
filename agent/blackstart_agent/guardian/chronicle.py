"""One worker that writes: events, progress and the end of records, in the order in which they were said.

A disk that is full or hangs holds up nothing but this: reverts go on, and what was refused is written later.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field

from blackstart_proto.v1 import agent_pb2 as pb

from blackstart_agent.guardian.events import EventLog, event
from blackstart_agent.guardian.journal import Journal, Progress
from blackstart_agent.guardian.steps import problem_of
from blackstart_agent.guardian.workers import Worker
from blackstart_agent.host.ports import Clock

RETRY_NS = 1_000_000_000


@dataclass(slots=True)
class Chronicle:
    """`written` is called, on the worker, when there is something new to send."""

    log: EventLog
    journal: Journal
    clock: Clock
    worker: Worker
    written: Callable[[], None]
    _closing: list[tuple[str, Callable[[], None]]] = field(default_factory=list)
    _retried_ns: int = 0

    @property
    def failing(self) -> bool:
        """The disk refused an event and has not taken it since."""
        return self.log.failing

    def say(
        self,
        kind: pb.EventKind.ValueType,
        *,
        order_id: str,
        run_id: str = "",
        fault_kind: str = "",
        detail: str = "",
        first_ns: int = 0,
        last_ns: int = 0,
    ) -> None:
        """The event, with the time of this call, will be on the disk and then be sent."""
        made = event(
            self.clock,
            kind,
            order_id=order_id,
            run_id=run_id,
            fault_kind=fault_kind,
            detail=detail,
            first_ns=first_ns,
            last_ns=last_ns,
        )

        def job() -> None:
            if self.log.append(made):
                self.written()

        self.worker.submit(job)

    def progress(
        self, order_id: str, progress: Progress, done: Callable[[str], None] = lambda _: None
    ) -> None:
        """Kept if the disk takes it; `done` is told the problem, or ""."""

        def job() -> None:
            done(problem_of(lambda: self.journal.update(order_id, progress)))

        self.worker.submit(job)

    def close(self, order_id: str, done: Callable[[], None]) -> None:
        """The record is gone once every event said before is on the disk; then `done` is called."""

        def job() -> None:
            self._closing.append((order_id, done))
            self._flush()

        self.worker.submit(job)

    def retry(self) -> None:
        """What the disk refused is tried again, at most once a second."""
        now = self.clock.monotonic_ns()
        if self.failing and now - self._retried_ns >= RETRY_NS:
            self._retried_ns = now
            self.worker.submit(self._flush)

    def ack(self, spool: str, seq: int) -> None:
        def job() -> None:
            with contextlib.suppress(OSError):  # it is asked for again
                self.log.ack(spool, seq)

        self.worker.submit(job)

    def _flush(self) -> None:
        if not self.log.flush():
            return
        self.written()
        closing, self._closing = self._closing, []
        for order_id, done in closing:
            with contextlib.suppress(OSError):  # reverted once more at the next start: no harm
                self.journal.remove(order_id)
            done()
