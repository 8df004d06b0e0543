"""The store over SQLite. Reads on their own connections, writes through the one group writer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from blackstart_proto.v1 import agent_pb2
from sqlalchemy import Executable, RowMapping, func, or_, select, update
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from blackstart_controller.runs.ports import ClockEstimate
from blackstart_controller.store import rows
from blackstart_controller.store.engine import make_private, migrate, open_engine
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
from blackstart_controller.store.tables import (
    CLOCK_ESTIMATES,
    HOST_EVENTS,
    HOSTS,
    ORDERS,
    REPORTS,
    RUN_EVENTS,
    RUNS,
    SAMPLE_BATCHES,
)
from blackstart_controller.store.writer import GroupWriter, Result, Work

READERS = 4

# Built once: a thousand hosts that come back together would spend a sixth of their time on building them.
_HOST = insert(HOSTS)
_FRESH = {name: _HOST.excluded[name] for name in ("site", "labels", "addresses", "last_seen")}
_SAW_HOST = _HOST.on_conflict_do_update(index_elements=["name"], set_=_FRESH)
_ESTIMATED = insert(CLOCK_ESTIMATES)


class SqliteStore:
    """Implements `store.ports.Store`. Open it with `await SqliteStore.open(path)`."""

    def __init__(self, writes: AsyncEngine, reads: AsyncEngine) -> None:
        self._engines = (writes, reads)
        self._reads = reads
        self._last_seq: dict[str, int] = {}  # these two belong to the group that is being written
        self._new_events: list[RunEvent] = []
        self._writer = GroupWriter(writes, before=self._start_group, after=self._insert_events)

    @classmethod
    async def open(cls, path: Path) -> SqliteStore:
        """The database exists, is readable by its owner only, and has the newest schema."""
        make_private(path)
        writes = open_engine(path, writes=True, connections=1)
        await migrate(writes)
        return cls(writes, open_engine(path, writes=False, connections=READERS))

    async def close(self) -> None:
        await self._writer.close()
        for engine in self._engines:
            await engine.dispose()

    async def write(self, work: Work[Result]) -> Result:
        """For the tables of others that live in this database (tokens). Durable on return."""
        return await self._writer.write(work)

    async def read(self, query: Executable, values: Mapping[str, Any] | None = None) -> Sequence[RowMapping]:
        try:
            async with self._reads.connect() as connection:
                return (await connection.execute(query, values)).mappings().all()
        except SQLAlchemyError as error:
            why = getattr(error, "orig", None) or error  # without the statement and its values
            raise StoreFailed(f"the database cannot be read: {why}") from error

    # ---- runs --------------------------------------------------------------------------------

    async def create_run(self, run: NewRun) -> tuple[RunRow, bool]:
        async def work(connection: AsyncConnection) -> tuple[RunRow, bool]:
            if run.idempotency_key is not None:
                query = select(RUNS).where(RUNS.c.idempotency_key == run.idempotency_key)
                if (known := (await connection.execute(query)).mappings().first()) is not None:
                    return rows.run_row(known), False
            await connection.execute(insert(RUNS).values(rows.run_values(run)))
            orders = [
                {"id": order_id, "run_id": run.id, "host": host, "state": "planned"}
                for order_id, host in run.orders
            ]
            if orders:
                await connection.execute(insert(ORDERS), orders)
            created = await connection.execute(select(RUNS).where(RUNS.c.id == run.id))
            return rows.run_row(created.mappings().one()), True

        return await self._writer.write(work)

    async def run(self, run_id: str) -> RunRow | None:
        found = await self.read(select(RUNS).where(RUNS.c.id == run_id))
        return rows.run_row(found[0]) if found else None

    async def run_by_key(self, idempotency_key: str) -> RunRow | None:
        found = await self.read(select(RUNS).where(RUNS.c.idempotency_key == idempotency_key))
        return rows.run_row(found[0]) if found else None

    async def runs(self, limit: int = 200) -> Sequence[RunRow]:
        query = select(RUNS).order_by(RUNS.c.created.desc(), RUNS.c.id).limit(limit)
        return [rows.run_row(row) for row in await self.read(query)]

    async def unsettled_runs(self) -> Sequence[RunRow]:
        open_ones = or_(RUNS.c.state != "ended", RUNS.c.reverted == "unconfirmed")
        return [rows.run_row(row) for row in await self.read(select(RUNS).where(open_ones))]

    async def orders(self, run_id: str) -> Sequence[OrderRow]:
        found = await self.read(select(ORDERS).where(ORDERS.c.run_id == run_id).order_by(ORDERS.c.id))
        return [rows.order_row(row) for row in found]

    async def append(
        self,
        run_id: str,
        draft: Draft,
        *,
        change: RunChange | None = None,
        order_states: Mapping[str, str] | None = None,
    ) -> RunEvent:
        async def work(connection: AsyncConnection) -> RunEvent:
            event = await self._number(connection, run_id, draft)
            if change:
                await connection.execute(
                    update(RUNS).where(RUNS.c.id == run_id).values(dict[str, Any](change))
                )
            await _set_order_states(connection, order_states or {})
            return event

        return await self._writer.write(work)

    async def append_host_event(
        self, key: SpoolKey, event: agent_pb2.HostEvent, draft: Draft | None, order_state: str | None
    ) -> tuple[bool, RunEvent | None]:
        values = {"host": key.host, "spool": key.spool, "seq": key.seq, "run_id": event.run_id}
        row = insert(HOST_EVENTS).values(**values, blob=event.SerializeToString()).on_conflict_do_nothing()

        async def work(connection: AsyncConnection) -> tuple[bool, RunEvent | None]:
            if (await connection.execute(row)).rowcount == 0:
                return False, None
            if draft is None:
                return True, None
            if order_state is not None:
                await _set_order_states(connection, {event.order_id: order_state})
            return True, await self._number(connection, event.run_id, draft)

        return await self._writer.write(work)

    async def events(self, run_id: str, after: int = 0) -> Sequence[RunEvent]:
        wanted = (RUN_EVENTS.c.run_id == run_id) & (RUN_EVENTS.c.seq > after)
        return [
            rows.event_row(row)
            for row in await self.read(select(RUN_EVENTS).where(wanted).order_by(RUN_EVENTS.c.seq))
        ]

    def _start_group(self) -> None:
        self._last_seq.clear()
        self._new_events.clear()

    async def _number(self, connection: AsyncConnection, run_id: str, draft: Draft) -> RunEvent:
        last = self._last_seq.get(run_id)
        if last is None:
            highest = select(func.max(RUN_EVENTS.c.seq)).where(RUN_EVENTS.c.run_id == run_id)
            last = (await connection.execute(highest)).scalar() or 0
        event = rows.event_of(run_id, last + 1, draft)
        self._last_seq[run_id] = event.seq
        self._new_events.append(event)
        return event

    async def _insert_events(self, connection: AsyncConnection) -> None:
        if self._new_events:
            await connection.execute(
                insert(RUN_EVENTS), [rows.event_values(event) for event in self._new_events]
            )

    # ---- measuring --------------------------------------------------------------------------------

    async def store_samples(self, host: str, batch: agent_pb2.SampleBatch) -> bool:
        values = {"host": host, "spool": batch.spool, "seq": batch.seq, "run_id": batch.run_id}
        row = insert(SAMPLE_BATCHES).values(**values, blob=rows.pack(batch)).on_conflict_do_nothing()

        async def work(connection: AsyncConnection) -> bool:
            return (await connection.execute(row)).rowcount == 1

        return await self._writer.write(work)

    async def samples(self, run_id: str) -> Sequence[tuple[str, agent_pb2.SampleBatch]]:
        batches = SAMPLE_BATCHES.c
        query = select(batches.host, batches.blob).where(batches.run_id == run_id)
        found = await self.read(query.order_by(batches.host, batches.spool, batches.seq))
        return [(row["host"], rows.unpack(row["blob"])) for row in found]

    async def add_estimate(self, estimate: ClockEstimate, controller_boot_id: str) -> None:
        values = {
            "host": estimate.host,
            "host_boot_id": estimate.boot_id,
            "controller_boot_id": controller_boot_id,
            "offset_ns": estimate.offset_ns,
            "error_ns": estimate.error_ns,
            "at_ns": estimate.at_ns,
        }

        async def work(connection: AsyncConnection) -> None:
            await connection.execute(_ESTIMATED, values)

        await self._writer.write(work)

    async def estimates(self, hosts: Sequence[str], controller_boot_id: str) -> Sequence[ClockEstimate]:
        clocks = CLOCK_ESTIMATES.c
        wanted = clocks.host.in_(hosts) & (clocks.controller_boot_id == controller_boot_id)
        query = select(CLOCK_ESTIMATES).where(wanted).order_by(clocks.at_ns)
        return [rows.estimate_row(row) for row in await self.read(query)]

    # ---- reports and hosts --------------------------------------------------------------------------------

    async def save_report(self, run_id: str, report: str) -> None:
        row = insert(REPORTS).values(run_id=run_id, report=report)
        row = row.on_conflict_do_update(index_elements=["run_id"], set_={"report": report})

        async def work(connection: AsyncConnection) -> None:
            await connection.execute(row)

        await self._writer.write(work)

    async def report(self, run_id: str) -> str | None:
        found = await self.read(select(REPORTS.c.report).where(REPORTS.c.run_id == run_id))
        return str(found[0]["report"]) if found else None

    async def saw_host(self, host: HostRow) -> None:
        values = rows.host_values(host)

        async def work(connection: AsyncConnection) -> None:
            await connection.execute(_SAW_HOST, values)

        await self._writer.write(work)

    async def hosts(self) -> Sequence[HostRow]:
        return [rows.host_row(row) for row in await self.read(select(HOSTS).order_by(HOSTS.c.name))]


async def _set_order_states(connection: AsyncConnection, states: Mapping[str, str]) -> None:
    for order_id, state in states.items():
        await connection.execute(update(ORDERS).where(ORDERS.c.id == order_id).values(state=state))
