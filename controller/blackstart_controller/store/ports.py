"""What the rest of the controller asks of the store. Implemented over SQLite, and in memory for simulations.

Every method that changes something returns when the change is durable.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from blackstart_proto.v1 import agent_pb2

from blackstart_controller.runs.ports import ClockEstimate
from blackstart_controller.store.model import (
    Draft,
    HostRow,
    NewRun,
    OrderRow,
    RunChange,
    RunEvent,
    RunRow,
    SpoolKey,
)


class Store(Protocol):
    async def create_run(self, run: NewRun) -> tuple[RunRow, bool]:
        """The run with this idempotency key, and whether it is new."""
        ...

    async def run_by_key(self, idempotency_key: str) -> RunRow | None: ...

    async def run(self, run_id: str) -> RunRow | None: ...

    async def runs(self, limit: int = 200) -> Sequence[RunRow]:
        """Newest first."""
        ...

    async def unsettled_runs(self) -> Sequence[RunRow]:
        """Runs that have not ended, and ended ones whose revert was not confirmed."""
        ...

    async def orders(self, run_id: str) -> Sequence[OrderRow]: ...

    async def append(
        self,
        run_id: str,
        draft: Draft,
        *,
        change: RunChange | None = None,
        order_states: Mapping[str, str] | None = None,
    ) -> RunEvent:
        """One more event of a run, with what it changes of the run and its orders, in one transaction."""
        ...

    async def append_host_event(
        self, key: SpoolKey, event: agent_pb2.HostEvent, draft: Draft | None, order_state: str | None
    ) -> tuple[bool, RunEvent | None]:
        """Store what a host numbered, once. (False, None): it was here already. No draft: of no known run."""
        ...

    async def events(self, run_id: str, after: int = 0) -> Sequence[RunEvent]: ...

    async def store_samples(self, host: str, batch: agent_pb2.SampleBatch) -> bool:
        """True when new."""
        ...

    async def samples(self, run_id: str) -> Sequence[tuple[str, agent_pb2.SampleBatch]]:
        """Every batch of a run as (host, batch), in each spool's order."""
        ...

    async def add_estimate(self, estimate: ClockEstimate, controller_boot_id: str) -> None: ...

    async def estimates(self, hosts: Sequence[str], controller_boot_id: str) -> Sequence[ClockEstimate]: ...

    async def save_report(self, run_id: str, report: str) -> None: ...

    async def report(self, run_id: str) -> str | None: ...

    async def saw_host(self, host: HostRow) -> None:
        """Remember a host; `first_seen` and `revoked` of an older row stay."""
        ...

    async def hosts(self) -> Sequence[HostRow]: ...
