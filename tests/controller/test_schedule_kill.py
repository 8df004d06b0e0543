"""A controller that is killed at random moments: each due time has exactly one run, or one recorded skip."""

from __future__ import annotations

import asyncio
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from blackstart_controller.schedule.due import dues
from blackstart_controller.schedule.model import DueState, Schedule
from blackstart_controller.schedule.words import spec_of
from blackstart_controller.spec.document import Document
from blackstart_controller.store.schedules import SqlSchedules
from blackstart_controller.store.sqlite import SqliteStore
from support import scheduled_process
from support.scheduled_process import START

SPEED = 150.0
PROGRAM = str(Path(scheduled_process.__file__))
WORDS = (
    {"cron": "* * * * *", "zone": "Europe/Berlin"},
    {"cron": "*/2 * * * *", "zone": "Australia/Lord_Howe", "missed": "within:10m", "jitter": "30s"},
    {"mean": "3m", "min_gap": "1m", "zone": "Asia/Seoul", "missed": "within:5m", "overlap": "wait:1m"},
)


@pytest.mark.deep
@pytest.mark.timeout(170)
def test_each_of_500_due_times_has_one_run_or_one_skip_whenever_the_controller_is_killed(
    tmp_path: Path,
) -> None:
    database, chance, epoch_s = tmp_path / "controller.db", random.Random(1123), time.monotonic()
    names = asyncio.run(prepare(database))
    kills = 0
    while now(epoch_s) < START + timedelta(hours=4, minutes=50):
        with controller(database, epoch_s):
            time.sleep(chance.uniform(0.05, 3.0))  # what is tested: any moment at all
        kills += 1
        time.sleep(chance.choice([0.0, 0.0, 0.3, 2.0]))
    with controller(database, epoch_s):
        settled_by = now(epoch_s)
        wait_for_outcomes(database, len(names), settled_by)
    count(database, names, settled_by, kills)


async def prepare(database: Path) -> list[Schedule]:
    store = await SqliteStore.open(database)
    schedules = []
    for number, words in enumerate(WORDS):
        spec = spec_of(words, number)
        made = Schedule(f"id-{number}", f"s{number}", Document("x"), words, spec, "maker", START, START)
        assert await SqlSchedules(store).add(made)
        assert await SqlSchedules(store).change(replace(made, armed_by="second"))
        schedules.append(made)
    await store.close()
    return schedules


def now(epoch_s: float) -> datetime:
    return START + timedelta(seconds=(time.monotonic() - epoch_s) * SPEED)


@contextmanager
def controller(database: Path, epoch_s: float) -> Iterator[None]:
    """Alive until the block is left; then killed, and nothing is tidied up."""
    argv = [sys.executable, PROGRAM, str(database), str(SPEED), str(epoch_s)]
    environment = {"PYTHONPATH": str(Path(PROGRAM).parents[1])}
    with subprocess.Popen(argv, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None and process.stdout.readline() == "up\n"
            yield
        finally:
            process.send_signal(signal.SIGKILL)


def wait_for_outcomes(database: Path, schedules: int, moment: datetime) -> None:
    """Every schedule has dealt with what came before `moment`, and no claim of then is open."""
    query = (
        "SELECT (SELECT count(*) FROM schedules WHERE dealt_until >= ?), "
        "(SELECT count(*) FROM schedule_dues WHERE state = 'claimed' AND due <= ?)"
    )
    text = moment.isoformat().replace("+00:00", "Z")
    deadline_s = time.monotonic() + 30
    while time.monotonic() < deadline_s:
        with sqlite3.connect(database) as connection:
            if connection.execute(query, (text, text)).fetchone() == (schedules, 0):
                return
        time.sleep(0.05)  # another process's progress, seen in its file
    raise AssertionError("not every due time got its outcome")


def count(database: Path, schedules: list[Schedule], until: datetime, kills: int) -> None:
    """Compares the table with what should have been due, and every run with its due time."""
    with sqlite3.connect(database) as connection:
        runs = dict(connection.execute("SELECT idempotency_key, id FROM runs").fetchall())
        columns = "schedule_id, due, until, count, state, reason, run_id"
        rows = connection.execute(f"SELECT {columns} FROM schedule_dues ORDER BY due").fetchall()
    due_times = started = skipped = 0
    for schedule in schedules:
        mine = [row for row in rows if row[0] == schedule.id]
        last = max(datetime.fromisoformat(row[2]) for row in mine)
        wanted = [due.at for due in dues(schedule.spec, START, last)]
        assert last >= until - timedelta(minutes=30)
        assert len(wanted) == sum(row[3] for row in mine)
        assert {datetime.fromisoformat(row[1]) for row in mine} <= set(wanted)
        due_times += len(wanted)
    for schedule_id, due, _until, many, state, reason, run_id in rows:
        started_run = runs.pop(f"schedule:{schedule_id}:{due}", None)
        if datetime.fromisoformat(due) <= until:  # later ones may still be on their way
            assert run_id == started_run and (state == DueState.RUN) == (run_id is not None)
            assert state == DueState.RUN or (state == DueState.SKIPPED and reason)
            started, skipped = started + (state == DueState.RUN), skipped + many * (state != DueState.RUN)
    assert not runs, "every run belongs to a due time"
    assert due_times >= 500 and kills >= 20 and started >= 50
    print(f"{kills} kills, {due_times} due times: {started} runs, {skipped} recorded skips")
