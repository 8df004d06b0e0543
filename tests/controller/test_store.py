"""One contract for every store: what is appended is durable, numbered, stored once, and never changed."""

from __future__ import annotations

import asyncio
import importlib
import pkgutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from blackstart_controller import store as store_package
from blackstart_controller.runs.ports import ClockEstimate
from blackstart_controller.security.ports import StoredToken
from blackstart_controller.store import migrations
from blackstart_controller.store.memory import MemoryStore
from blackstart_controller.store.model import Draft, HostRow, NewRun, SpoolKey, StoreFailed
from blackstart_controller.store.ports import Store
from blackstart_controller.store.security import SqlHosts, SqlTokens
from blackstart_controller.store.sqlite import SqliteStore
from blackstart_controller.store.tables import METADATA
from blackstart_proto.v1 import agent_pb2
from sqlalchemy import create_engine, text


def new_run(run_id: str, key: str | None = None) -> NewRun:
    return NewRun(
        id=run_id,
        experiment="e",
        file="e.yaml",
        document="d",
        plan="{}",
        plan_hash="h",
        created=f"2026-11-23T00:00:0{len(run_id)}Z",
        boot_id="boot-1",
        operator="admin",
        trigger="manual",
        idempotency_key=key,
        orders=((f"{run_id}-o1", "h1"), (f"{run_id}-o2", "h2")),
    )


def draft(kind: str = "note", **data: object) -> Draft:
    return Draft(kind, 1, "2026-11-23T00:00:00Z", "boot-1", data=data)


def host_event(seq: int, run_id: str = "r") -> agent_pb2.HostEvent:
    return agent_pb2.HostEvent(spool="s", seq=seq, run_id=run_id, order_id=f"{run_id}-o1")


@pytest.fixture(params=["sqlite", "memory"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    if request.param == "memory":
        yield MemoryStore()
        return
    opened = await SqliteStore.open(tmp_path / "controller.db")
    yield opened
    await opened.close()


@pytest.fixture
async def sqlite(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    opened = await SqliteStore.open(tmp_path / "controller.db")
    yield opened
    await opened.close()


async def test_a_run_is_created_with_its_orders_and_found_again(store: Store) -> None:
    row, new = await store.create_run(new_run("r"))
    assert new
    assert row.state == "created"
    assert await store.run("r") == row
    assert [(order.id, order.host, order.state) for order in await store.orders("r")] == [
        ("r-o1", "h1", "planned"),
        ("r-o2", "h2", "planned"),
    ]
    assert await store.run("other") is None


async def test_one_idempotency_key_makes_one_run_also_at_once(store: Store) -> None:
    made = await asyncio.gather(*(store.create_run(new_run(f"r{n}", "key")) for n in range(5)))
    assert len({row.id for row, _new in made}) == 1
    assert sum(new for _row, new in made) == 1
    assert (await store.run_by_key("key")) == made[0][0]
    assert await store.run_by_key("other") is None


async def test_events_are_numbered_without_a_gap_however_many_write_at_once(store: Store) -> None:
    for run_id in ("a", "b"):
        await store.create_run(new_run(run_id))
    await asyncio.gather(*(store.append(run_id, draft(n=n)) for n in range(200) for run_id in ("a", "b")))
    for run_id in ("a", "b"):
        assert [event.seq for event in await store.events(run_id)] == list(range(1, 201))
    assert [event.seq for event in await store.events("a", after=198)] == [199, 200]


async def test_an_event_and_what_it_changes_are_stored_together(store: Store) -> None:
    await store.create_run(new_run("r"))
    await store.append(
        "r",
        draft("state", state="arming"),
        change={"state": "arming", "halted_by": "x"},
        order_states={"r-o1": "armed"},
    )
    row = await store.run("r")
    assert row is not None
    assert (row.state, row.halted_by) == ("arming", "x")
    assert [order.state for order in await store.orders("r")] == ["armed", "planned"]
    assert (await store.events("r"))[0].data == {"state": "arming"}


async def test_an_event_of_a_host_that_is_sent_again_is_stored_once(store: Store) -> None:
    await store.create_run(new_run("r"))
    key = SpoolKey("h1", "s", 1)
    results = await asyncio.gather(
        *(store.append_host_event(key, host_event(1), draft("armed"), "armed") for _ in range(10))
    )
    assert sum(new for new, _event in results) == 1
    assert [event.type for event in await store.events("r")] == ["armed"]
    assert (await store.orders("r"))[0].state == "armed"
    other = SpoolKey("h2", "s", 1)
    assert (await store.append_host_event(other, host_event(1), draft("armed"), None))[0], (
        "another host's spool"
    )


async def test_an_event_of_no_known_run_is_kept_out_of_every_log(store: Store) -> None:
    new, event = await store.append_host_event(SpoolKey("h1", "s", 1), host_event(1, "nope"), None, None)
    assert new
    assert event is None


async def test_samples_that_are_sent_again_are_stored_once_and_come_back_in_order(store: Store) -> None:
    batches = [agent_pb2.SampleBatch(spool="s", seq=seq, run_id="r") for seq in (2, 1, 2, 3, 1)]
    assert [await store.store_samples("h", batch) for batch in batches] == [True, True, False, True, False]
    assert [batch.seq for _host, batch in await store.samples("r")] == [1, 2, 3]
    assert await store.samples("other") == []


async def test_clock_estimates_of_two_boots_are_never_mixed(store: Store) -> None:
    estimate = ClockEstimate("h1", "host-boot", -5, 3, 100)
    await store.add_estimate(estimate, "boot-1")
    await store.add_estimate(ClockEstimate("h1", "host-boot", -9, 3, 10), "boot-2")
    assert list(await store.estimates(["h1", "h2"], "boot-1")) == [estimate]


async def test_unsettled_runs_are_those_that_run_or_wait_for_a_proof(store: Store) -> None:
    changes = {
        "running": {"state": "holding"},
        "done": {"state": "ended", "reverted": "confirmed"},
        "open": {"state": "ended", "reverted": "unconfirmed"},
    }
    for run_id, change in changes.items():
        await store.create_run(new_run(run_id))
        await store.append(run_id, draft(), change=change)  # type: ignore[arg-type]
    assert {row.id for row in await store.unsettled_runs()} == {"running", "open"}
    assert len(await store.runs()) == 3


async def test_a_report_can_be_corrected(store: Store) -> None:
    await store.create_run(new_run("r"))
    assert await store.report("r") is None
    await store.save_report("r", "first")
    await store.save_report("r", "second")
    assert await store.report("r") == "second"


async def test_a_host_keeps_its_first_sight(store: Store) -> None:
    first = HostRow("h1", "s1", {"role": "db"}, ("10.0.0.1",), "t1", "t1")
    await store.saw_host(first)
    await store.saw_host(HostRow("h1", "s2", {}, (), "t2", "t2"))
    assert list(await store.hosts()) == [HostRow("h1", "s2", {}, (), "t1", "t2")]


async def test_everything_is_there_after_the_store_is_opened_again(tmp_path: Path) -> None:
    path = tmp_path / "controller.db"
    store = await SqliteStore.open(path)
    await store.create_run(new_run("r"))
    await store.append("r", draft(text="häß"))
    await store.close()
    store = await SqliteStore.open(path)
    await store.append("r", draft())
    assert [(event.seq, event.data) for event in await store.events("r")] == [(1, {"text": "häß"}), (2, {})]
    await store.close()


async def test_the_database_is_private_durable_and_in_write_ahead_mode(
    sqlite: SqliteStore, tmp_path: Path
) -> None:
    await sqlite.create_run(new_run("r"))
    for file in sorted(tmp_path.iterdir()):  # noqa: ASYNC240  a test has nothing else to do
        assert file.stat().st_mode & 0o777 == 0o600, file
    assert (await sqlite.read(text("PRAGMA journal_mode")))[0]["journal_mode"] == "wal"
    assert (await sqlite.read(text("PRAGMA synchronous")))[0]["synchronous"] == 2


@pytest.mark.parametrize("statement", ["UPDATE {} SET run_id = 'x'", "DELETE FROM {}"])
@pytest.mark.parametrize("table", ["run_events", "host_events"])
async def test_what_is_in_a_log_can_be_neither_changed_nor_deleted(
    sqlite: SqliteStore, table: str, statement: str
) -> None:
    await sqlite.create_run(new_run("r"))
    await sqlite.append_host_event(SpoolKey("h1", "s", 1), host_event(1), draft(), None)
    with pytest.raises(StoreFailed, match=f"{table} is append-only"):
        await sqlite.write(lambda connection: connection.execute(text(statement.format(table))))
    assert len(await sqlite.events("r")) == 1


async def test_one_refused_write_does_not_take_its_neighbours_with_it(sqlite: SqliteStore) -> None:
    await sqlite.create_run(new_run("r"))
    results = await asyncio.gather(
        sqlite.append("r", draft()),
        sqlite.append("no such run", draft()),
        sqlite.append("r", draft()),
        return_exceptions=True,
    )
    assert isinstance(results[1], StoreFailed)
    assert [event.seq for event in await sqlite.events("r")] == [1, 2]


async def test_a_cancelled_writer_does_not_take_its_write_back(sqlite: SqliteStore) -> None:
    await sqlite.create_run(new_run("r"))
    task = asyncio.create_task(sqlite.append("r", draft()))
    await asyncio.sleep(0)
    task.cancel()
    await sqlite.append("r", draft())
    assert len(await sqlite.events("r")) == 2


async def test_a_closed_store_refuses_writes_by_name(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path / "controller.db")
    await store.close()
    with pytest.raises(StoreFailed, match="closed"):
        await store.append("r", draft())


async def test_the_migrations_make_exactly_the_tables_that_the_code_uses(tmp_path: Path) -> None:
    for module in pkgutil.iter_modules(
        store_package.__path__
    ):  # each table is known once its module is there
        importlib.import_module(f"{store_package.__name__}.{module.name}")
    path = tmp_path / "controller.db"
    await (await SqliteStore.open(path)).close()
    engine = create_engine(f"sqlite:///{path}")
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), METADATA) == []
    engine.dispose()


def test_a_new_migration_is_announced_as_the_head_so_that_it_is_run() -> None:
    folder = Path(migrations.__file__).parent
    assert ScriptDirectory(str(folder)).get_current_head() == migrations.HEAD


async def test_a_join_token_is_consumed_once_and_only_by_its_host(sqlite: SqliteStore) -> None:
    tokens = SqlTokens(sqlite)
    await tokens.insert_token(StoredToken("bound", "join", 0, 100, host="h1"))
    await tokens.insert_token(StoredToken("free", "join", 0, 100))
    await tokens.insert_token(StoredToken("admin", "operator", 0, 100, name="admin"))
    assert not await tokens.consume_token("bound", host="h2", now_s=1)
    assert not await tokens.consume_token("bound", host="h1", now_s=100), "expired"
    assert not await tokens.consume_token("admin", host="h1", now_s=1)
    results = await asyncio.gather(*(tokens.consume_token("free", host=f"h{n}", now_s=1) for n in range(5)))
    assert sum(results) == 1
    stored = await tokens.find_token("free")
    assert stored is not None
    assert (stored.used_s, stored.used_by[0]) == (1, "h")
    assert await tokens.delete_token("bound")
    assert not await tokens.delete_token("bound")
    assert await tokens.find_token("bound") is None


async def test_a_host_is_known_once_it_is_enrolled(sqlite: SqliteStore) -> None:
    hosts = SqlHosts(sqlite)
    assert not await hosts.is_known("h1")
    await hosts.host_enrolled("h1", "ab", 100)
    await hosts.host_enrolled("h1", "cd", 200)
    assert await hosts.is_known("h1")
