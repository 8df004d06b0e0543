"""The store in memory, for simulations: it outlives the controller, and needs no real time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

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
    StoreFailed,
)
from blackstart_controller.store.rows import event_of, run_row, run_values


class MemoryStore:
    """Implements `store.ports.Store`. Set `broken` to make every write fail, as with a full disk."""

    def __init__(self) -> None:
        self.broken = ""
        self._runs: dict[str, RunRow] = {}
        self._orders: dict[str, OrderRow] = {}
        self._events: dict[str, list[RunEvent]] = {}
        self._host_events: dict[SpoolKey, agent_pb2.HostEvent] = {}
        self._samples: dict[SpoolKey, agent_pb2.SampleBatch] = {}
        self._estimates: list[tuple[str, ClockEstimate]] = []
        self._reports: dict[str, str] = {}
        self._hosts: dict[str, HostRow] = {}

    def _check(self) -> None:
        if self.broken:
            raise StoreFailed(f"the database refused a write: {self.broken}")

    async def create_run(self, run: NewRun) -> tuple[RunRow, bool]:
        self._check()
        if (
            run.idempotency_key is not None
            and (known := await self.run_by_key(run.idempotency_key)) is not None
        ):
            return known, False
        row = run_row(run_values(run))
        self._runs[run.id] = row
        self._orders |= {
            order_id: OrderRow(order_id, run.id, host, "planned") for order_id, host in run.orders
        }
        return row, True

    async def run_by_key(self, idempotency_key: str) -> RunRow | None:
        return next((row for row in self._runs.values() if row.idempotency_key == idempotency_key), None)

    async def run(self, run_id: str) -> RunRow | None:
        return self._runs.get(run_id)

    async def runs(self, limit: int = 200) -> Sequence[RunRow]:
        return sorted(self._runs.values(), key=lambda row: row.created, reverse=True)[:limit]

    async def unsettled_runs(self) -> Sequence[RunRow]:
        return [row for row in self._runs.values() if row.state != "ended" or row.reverted == "unconfirmed"]

    async def orders(self, run_id: str) -> Sequence[OrderRow]:
        return sorted(
            (order for order in self._orders.values() if order.run_id == run_id), key=lambda o: o.id
        )

    async def append(
        self,
        run_id: str,
        draft: Draft,
        *,
        change: RunChange | None = None,
        order_states: Mapping[str, str] | None = None,
    ) -> RunEvent:
        self._check()
        if change:
            self._runs[run_id] = replace(self._runs[run_id], **change)
        self._set_order_states(order_states or {})
        return self._number(run_id, draft)

    async def append_host_event(
        self, key: SpoolKey, event: agent_pb2.HostEvent, draft: Draft | None, order_state: str | None
    ) -> tuple[bool, RunEvent | None]:
        self._check()
        if key in self._host_events:
            return False, None
        self._host_events[key] = event
        if draft is None:
            return True, None
        if order_state is not None:
            self._set_order_states({event.order_id: order_state})
        return True, self._number(event.run_id, draft)

    async def events(self, run_id: str, after: int = 0) -> Sequence[RunEvent]:
        return self._events.get(run_id, [])[after:]

    async def store_samples(self, host: str, batch: agent_pb2.SampleBatch) -> bool:
        self._check()
        key = SpoolKey(host, batch.spool, batch.seq)
        new = key not in self._samples
        self._samples.setdefault(key, batch)
        return new

    async def samples(self, run_id: str) -> Sequence[tuple[str, agent_pb2.SampleBatch]]:
        keys = sorted(self._samples, key=lambda key: (key.host, key.spool, key.seq))
        return [(key.host, self._samples[key]) for key in keys if self._samples[key].run_id == run_id]

    async def add_estimate(self, estimate: ClockEstimate, controller_boot_id: str) -> None:
        self._check()
        self._estimates.append((controller_boot_id, estimate))

    async def estimates(self, hosts: Sequence[str], controller_boot_id: str) -> Sequence[ClockEstimate]:
        return [one for boot, one in self._estimates if boot == controller_boot_id and one.host in hosts]

    async def save_report(self, run_id: str, report: str) -> None:
        self._check()
        self._reports[run_id] = report

    async def report(self, run_id: str) -> str | None:
        return self._reports.get(run_id)

    async def saw_host(self, host: HostRow) -> None:
        self._check()
        known = self._hosts.get(host.name)
        first, revoked = (known.first_seen, known.revoked) if known else (host.first_seen, host.revoked)
        self._hosts[host.name] = replace(host, first_seen=first, revoked=revoked)

    async def hosts(self) -> Sequence[HostRow]:
        return [self._hosts[name] for name in sorted(self._hosts)]

    def _set_order_states(self, states: Mapping[str, str]) -> None:
        for order_id, state in states.items():
            if order_id in self._orders:
                self._orders[order_id] = replace(self._orders[order_id], state=state)

    def _number(self, run_id: str, draft: Draft) -> RunEvent:
        log = self._events.setdefault(run_id, [])
        event = event_of(run_id, len(log) + 1, draft)
        log.append(event)
        return event
