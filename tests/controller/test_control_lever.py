"""The lever: engaged in any phase, everything is reverted; then nothing starts, also after a restart."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
from blackstart_controller.control.leverfile import SLOT_BYTES, SLOTS, LeverFile, Record, Unreadable
from blackstart_controller.control.model import Environment, LeverState
from blackstart_controller.errors import Refused
from blackstart_controller.runs.states import RunState
from blackstart_controller.store.memory import MemoryStore
from blackstart_controller.store.model import NewRun, RunRow, StoreFailed
from support.controlled import ControlledScene
from support.virtual import run_virtual

PHASES = (
    RunState.ARMING,
    RunState.BASELINE,
    RunState.INJECTING,
    RunState.HOLDING,
    RunState.REVERTING,
    RunState.SETTLING,
)
TWO = Environment("production", "host in (t1,t2)", second_person=True)
STATE = LeverState("bob", "fire", "2026-11-23T12:00:00.000Z")


@pytest.fixture
def scene(tmp_path: Path) -> ControlledScene:
    return ControlledScene(tmp_path)


async def refused(scene: ControlledScene) -> str:
    """Why nothing starts."""
    with pytest.raises(Refused) as told:
        await scene.launch()
    return str(told.value)


@pytest.mark.parametrize("phase", [RunState.AWAITING_APPROVAL, *PHASES])
def test_engaged_in_any_phase_everything_is_reverted_and_nothing_starts(
    tmp_path: Path, phase: RunState
) -> None:
    async def scenario() -> None:
        environments = (TWO,) if phase == RunState.AWAITING_APPROVAL else ()
        scene = ControlledScene(tmp_path, *environments)
        await scene.boot()
        run_id = await scene.launch()
        await scene.until_state(run_id, phase)
        done = await scene.lever.engage("bob", "fire in pangyo")
        assert (done.halted, done.warning) == ([run_id], "")
        why = await refused(scene)
        assert "by bob: fire in pangyo" in why
        assert done.state.at in why
        assert "blackstart lever release" in why
        row = await scene.ended(run_id)
        assert (row.verdict, row.exit_code, row.reverted) == ("halted", 4, "confirmed")
        assert (row.halted_by, row.reason) == ("bob", "the lever was engaged: fire in pangyo")
        assert scene.clean()

    run_virtual(scenario())


def test_released_runs_start_again_and_both_are_in_the_log(scene: ControlledScene) -> None:
    async def scenario() -> None:
        await scene.boot()
        await scene.lever.engage("bob", "fire")
        assert await scene.lever.release("carol", "it is out")
        assert not await scene.lever.release("carol", "twice is harmless")
        assert (await scene.ended(await scene.launch())).verdict == "pass"
        told = [(event.type, event.by, event.data["reason"]) for event in await scene.control.events()]
        assert told == [("lever.engaged", "bob", "fire"), ("lever.released", "carol", "it is out")]

    run_virtual(scenario())


def test_engaging_twice_keeps_the_first_reason_and_halts_again(scene: ControlledScene) -> None:
    async def scenario() -> None:
        await scene.boot()
        await scene.lever.engage("bob", "fire")
        again = await scene.lever.engage("carol", "still")
        assert (again.state.by, again.state.reason) == ("bob", "fire")
        assert [what for what, _host in scene.fleet.calls].count("revert_all") == 2 * len(scene.agents)

    run_virtual(scenario())


def test_the_lever_holds_over_a_restart_and_so_does_its_release(scene: ControlledScene) -> None:
    async def scenario() -> None:
        await scene.boot()
        run_id = await scene.launch()
        await scene.until_state(run_id, RunState.HOLDING)
        await scene.lever.engage("bob", "fire")
        await scene.crash_controller()
        await scene.boot()
        assert "by bob: fire" in await refused(scene)
        assert (await scene.ended(run_id)).reverted == "confirmed"
        await scene.lever.release("carol", "out")
        await scene.crash_controller()
        await scene.boot()
        assert scene.lever.engaged() is None

    run_virtual(scenario())


def test_no_run_begins_after_engage_returned_whatever_the_moment(tmp_path: Path) -> None:
    """The start is stopped at each of its steps in turn while somebody engages the lever."""

    async def scenario(turns: int) -> None:
        folder = tmp_path / str(turns)
        folder.mkdir()
        scene = ControlledScene(folder)
        await scene.boot()
        starting = asyncio.create_task(scene.launch())
        for _ in range(turns):
            await asyncio.sleep(0)
        await scene.lever.engage("bob", "fire")
        (started,) = await asyncio.gather(starting, return_exceptions=True)
        if isinstance(started, str):
            assert (await scene.ended(started)).verdict == "halted"
        else:
            assert isinstance(started, Refused)
        assert scene.clean()
        assert scene.injections() == 0

    for turns in range(12):
        run_virtual(scenario(turns))


class SlowStore(MemoryStore):
    """A new run is stored once `go` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.go = asyncio.Event()

    async def create_run(self, run: NewRun) -> tuple[RunRow, bool]:
        await self.go.wait()
        return await super().create_run(run)


def test_a_run_whose_row_was_being_written_meanwhile_is_halted_before_it_arms(tmp_path: Path) -> None:
    async def scenario() -> None:
        store = SlowStore()
        scene = ControlledScene(tmp_path, store=store)
        await scene.boot()
        starting = asyncio.create_task(scene.launch())
        await asyncio.sleep(1)
        await scene.lever.engage("bob", "fire")
        store.go.set()
        row = await scene.ended(await starting)
        assert (row.verdict, row.halted_by, row.reverted) == ("halted", "bob", "confirmed")
        assert not any(what in ("arm", "inject") for what, _host in scene.fleet.calls)

    run_virtual(scenario())


def test_an_approval_after_the_lever_is_refused(tmp_path: Path) -> None:
    async def scenario() -> None:
        scene = ControlledScene(tmp_path, TWO)
        await scene.boot()
        run_id = await scene.launch()
        await asyncio.sleep(1)
        engaging = asyncio.create_task(scene.lever.engage("bob", "fire"))
        approving = asyncio.create_task(scene.runs.approve(run_id, "carol"))
        _, answer = await asyncio.gather(engaging, approving, return_exceptions=True)
        assert isinstance(answer, Refused)
        assert (await scene.ended(run_id)).verdict == "halted"
        assert scene.injections() == 0

    run_virtual(scenario())


def test_with_a_dead_database_the_lever_engages_and_its_log_follows(scene: ControlledScene) -> None:
    async def scenario() -> None:
        await scene.boot()
        run_id = await scene.launch()
        await scene.until_state(run_id, RunState.HOLDING)
        scene.store.broken = scene.control.broken = "disk full"
        assert (await scene.lever.engage("bob", "fire")).warning == ""
        await scene.until(scene.clean, 2.0)
        assert scene.file.read() == Record(1, scene.lever.engaged())
        scene.store.broken = scene.control.broken = ""
        assert (await scene.ended(run_id)).verdict == "halted"
        await asyncio.sleep(10)
        assert [event.type for event in await scene.control.events()] == ["lever.engaged"]

    run_virtual(scenario())


def test_a_lever_that_the_log_does_not_know_is_told_to_it_at_the_next_start(scene: ControlledScene) -> None:
    async def scenario() -> None:
        scene.file.write(Record(1, STATE))
        await scene.boot()
        await asyncio.sleep(1)
        [event] = await scene.control.events()
        assert (event.type, event.data["serial"], event.data["state"]["by"]) == ("lever.engaged", 1, "bob")

    run_virtual(scenario())


def test_without_its_file_the_log_says_how_the_lever_stands(scene: ControlledScene, tmp_path: Path) -> None:
    async def scenario() -> None:
        await scene.boot()
        await scene.lever.engage("bob", "fire")
        await asyncio.sleep(1)
        (tmp_path / "lever").unlink()
        await scene.crash_controller()
        await scene.boot()
        assert "by bob: fire" in await refused(scene)

    run_virtual(scenario())


def test_a_lever_that_cannot_be_read_counts_as_engaged(scene: ControlledScene, tmp_path: Path) -> None:
    async def scenario() -> None:
        (tmp_path / "lever").write_bytes(b"x" * SLOTS * SLOT_BYTES)
        await scene.boot()
        assert "its file cannot be read" in await refused(scene)
        await scene.lever.release("carol", "looked at it")
        assert (await scene.ended(await scene.launch())).verdict == "pass"

    run_virtual(scenario())


def test_a_lever_that_cannot_be_put_on_disk_holds_and_says_so(scene: ControlledScene, tmp_path: Path) -> None:
    async def scenario() -> None:
        await scene.boot()
        (tmp_path / "lever").unlink()
        (tmp_path / "lever").mkdir()
        done = await scene.lever.engage("bob", "fire")
        assert "a restart of the controller may release it" in done.warning
        assert "by bob: fire" in await refused(scene)
        with pytest.raises(StoreFailed, match="the lever stays engaged"):
            await scene.lever.release("carol", "out")
        assert scene.lever.engaged() is not None

    run_virtual(scenario())


# ---- the file ----


def test_what_was_written_last_is_read(tmp_path: Path) -> None:
    file = LeverFile(tmp_path / "lever")
    assert file.read() is None
    for serial in range(5):
        record = Record(serial, STATE if serial % 2 else None)
        file.write(record)
        assert file.read() == record
    assert (tmp_path / "lever").stat().st_mode & 0o777 == 0o600


def test_the_file_never_grows_so_that_a_full_disk_takes_it(tmp_path: Path) -> None:
    path = tmp_path / "lever"
    LeverFile(path).write(Record(0, None))
    blocks = path.stat().st_blocks
    LeverFile(path).write(Record(1, LeverState("b" * 63, "\x01ü" * 500, STATE.at)))
    assert path.stat().st_size == SLOTS * SLOT_BYTES
    assert path.stat().st_blocks == blocks


def test_a_write_that_was_cut_leaves_the_one_before(tmp_path: Path) -> None:
    path, file = tmp_path / "lever", LeverFile(tmp_path / "lever")
    file.write(Record(4, None))
    file.write(Record(5, STATE))
    whole = path.read_bytes()
    for cut in (0, 1, 9, 40):
        damaged = bytearray(whole)
        damaged[SLOT_BYTES + cut :] = os.urandom(len(whole) - SLOT_BYTES - cut)
        path.write_bytes(damaged)
        assert file.read() == Record(4, None)
    path.write_bytes(b"")
    with pytest.raises(Unreadable):
        file.read()
