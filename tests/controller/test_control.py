"""What may start, and who has to agree, over fake agents in virtual time."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from blackstart_controller.control.model import Environment
from blackstart_controller.errors import PlanHashNeeded, Refused, UsageError
from blackstart_controller.plan.hash import plan_hash
from blackstart_controller.runs.launch import Launch
from blackstart_controller.runs.states import RunState
from blackstart_controller.spec.document import Document
from blackstart_controller.store.model import StoreFailed
from support.controlled import ControlledScene
from support.scenes import order
from support.virtual import run_virtual

TWO = Environment("production", "host in (t1,t2)", second_person=True)
PROTECTED = Environment("vault", "host=t1", protected=True)
WAITING = RunState.AWAITING_APPROVAL


@pytest.fixture
def scene(tmp_path: Path) -> ControlledScene:
    return ControlledScene(tmp_path, TWO)


async def waiting(scene: ControlledScene, **changes: Any) -> str:
    """A run that awaits approval, after some time."""
    await scene.boot()
    run_id = await scene.launch(**changes)
    await asyncio.sleep(30)
    assert (await scene.runs.get(run_id)).state == WAITING
    assert not any(what in ("arm", "inject", "start_probes") for what, _host in scene.fleet.calls)
    return run_id


# ---- a second person ----


def test_a_run_waits_for_a_second_person_and_then_runs_as_planned(scene: ControlledScene) -> None:
    async def scenario() -> None:
        run_id = await waiting(scene)
        await scene.runs.approve(run_id, "bob")
        row = await scene.ended(run_id)
        assert (row.verdict, row.exit_code, row.reverted) == ("pass", 0, "confirmed")
        assert row.environments == ("production",)
        log = await scene.log(run_id)
        assert "approver other than alice" in log[0].data["text"]
        assert [event.data["by"] for event in log if event.type == "approved"] == ["bob"]
        assert scene.injections() == 2

    run_virtual(scenario())


def test_who_starts_a_run_is_no_second_person(scene: ControlledScene) -> None:
    async def scenario() -> None:
        run_id = await waiting(scene)
        with pytest.raises(Refused, match="alice has started it; another operator"):
            await scene.runs.approve(run_id, "alice")
        assert (await scene.runs.get(run_id)).state == WAITING

    run_virtual(scenario())


def test_two_approvers_at_once_start_it_once(scene: ControlledScene) -> None:
    async def scenario() -> None:
        run_id = await waiting(scene)
        await asyncio.gather(scene.runs.approve(run_id, "bob"), scene.runs.approve(run_id, "carol"))
        await scene.ended(run_id)
        await scene.runs.approve(run_id, "carol")  # after its end too
        assert (await scene.types(run_id)).count("approved") == 1
        assert scene.injections() == 2

    run_virtual(scenario())


def test_an_approval_and_a_denial_at_once_agree_on_one(scene: ControlledScene) -> None:
    async def scenario() -> None:
        run_id = await waiting(scene)
        answers = await asyncio.gather(
            scene.runs.deny(run_id, "carol", "no"), scene.runs.approve(run_id, "bob"), return_exceptions=True
        )
        assert [type(answer).__name__ for answer in answers] == ["NoneType", "Refused"]
        assert (await scene.ended(run_id)).exit_code == 7
        assert scene.injections() == 0

    run_virtual(scenario())


def test_a_denied_run_ends_refused_and_has_touched_nothing(scene: ControlledScene) -> None:
    async def scenario() -> None:
        run_id = await waiting(scene)
        await scene.runs.deny(run_id, "bob", "not on a Friday")
        await scene.runs.deny(run_id, "bob", "twice is harmless")
        row = await scene.ended(run_id)
        assert (row.verdict, row.exit_code, row.reverted) == ("error", 7, "confirmed")
        assert row.reason == "denied by bob: not on a Friday"
        assert scene.injections() == 0
        with pytest.raises(Refused, match="does not wait for approval"):
            await scene.runs.approve(run_id, "bob")

    run_virtual(scenario())


def test_nobody_approves_within_an_hour_and_it_ends_refused(scene: ControlledScene) -> None:
    async def scenario() -> None:
        run_id = await waiting(scene)
        await asyncio.sleep(3571)
        row = await scene.ended(run_id)
        assert (row.exit_code, row.reverted) == (7, "confirmed")
        assert "nobody has approved it within 60 minutes" in (row.reason or "")

    run_virtual(scenario())


def test_a_run_that_waits_can_be_halted(scene: ControlledScene) -> None:
    async def scenario() -> None:
        run_id = await waiting(scene)
        await scene.runs.halt(run_id, "enough", "dave")
        with pytest.raises(Refused):
            await scene.runs.approve(run_id, "bob")
        row = await scene.ended(run_id)
        assert (row.verdict, row.exit_code, row.halted_by) == ("halted", 4, "dave")
        assert scene.injections() == 0

    run_virtual(scenario())


def test_after_a_restart_a_run_that_waited_says_that_nothing_was_injected(scene: ControlledScene) -> None:
    async def scenario() -> None:
        run_id = await waiting(scene)
        await scene.crash_controller()
        await scene.boot()
        row = await scene.ended(run_id)
        assert (row.verdict, row.exit_code, row.reverted) == ("error", 6, "confirmed")
        assert "before the run began; nothing was injected" in (row.reason or "")
        assert scene.injections() == 0

    run_virtual(scenario())


def test_a_plan_that_changed_while_it_waited_is_not_approved(scene: ControlledScene) -> None:
    async def scenario() -> None:
        run_id = await waiting(scene)
        before = plan_hash(scene.plan)
        scene.plan = replace(scene.plan, orders=(order("t1", hold_s=99.0), order("t2")))
        with pytest.raises(Refused, match=f"its hash was {before[:8]} and is"):
            await scene.runs.approve(run_id, "bob")
        row = await scene.ended(run_id)
        assert (row.exit_code, row.reverted) == (7, "confirmed")
        assert scene.injections() == 0

    run_virtual(scenario())


def test_an_approver_can_name_the_plan_that_was_looked_at(scene: ControlledScene) -> None:
    async def scenario() -> None:
        run_id = await waiting(scene)
        with pytest.raises(Refused, match="not 00000000"):
            await scene.runs.approve(run_id, "bob", "00000000")
        await scene.runs.approve(run_id, "bob", plan_hash(scene.plan)[:12])
        assert (await scene.ended(run_id)).verdict == "pass"

    run_virtual(scenario())


def test_a_run_that_waits_reserves_nothing_and_looks_again(scene: ControlledScene) -> None:
    async def scenario() -> None:
        first = await waiting(scene)
        second = await scene.launch()
        await scene.runs.approve(second, "bob")
        with pytest.raises(Refused, match=f"target of run {second}: it is under way"):
            await scene.runs.approve(first, "bob")
        await scene.ended(second)
        await scene.runs.approve(first, "bob")
        assert (await scene.ended(first)).verdict == "pass"

    run_virtual(scenario())


@pytest.mark.parametrize(("agreed", "waits"), [("bob", False), ("alice", True), (None, True)])
def test_who_agreed_before_counts_unless_it_is_the_same_person(
    scene: ControlledScene, agreed: str | None, waits: bool
) -> None:
    async def scenario() -> None:
        await scene.boot()
        run_id = await scene.launch(trigger="schedule:nightly", approved_by=agreed)
        assert ((await scene.runs.get(run_id)).state == WAITING) == waits
        if not waits:
            await scene.ended(run_id)
            assert "approved" in await scene.types(run_id)

    run_virtual(scenario())


def test_an_approval_that_cannot_be_stored_starts_nothing(scene: ControlledScene) -> None:
    async def scenario() -> None:
        run_id = await waiting(scene)
        scene.store.broken = "disk full"
        with pytest.raises(StoreFailed):
            await scene.runs.approve(run_id, "bob")
        await asyncio.sleep(5)
        assert scene.injections() == 0
        scene.store.broken = ""
        await scene.runs.approve(run_id, "bob")
        assert (await scene.ended(run_id)).verdict == "pass"

    run_virtual(scenario())


# ---- protected environments, limits ----


def test_a_protected_environment_wants_the_hash_of_the_plan(tmp_path: Path) -> None:
    async def scenario() -> None:
        scene = ControlledScene(tmp_path, PROTECTED)
        await scene.boot()
        made = plan_hash(scene.plan)
        with pytest.raises(PlanHashNeeded, match=f"blackstart run x.yaml --plan {made[:8]}$") as told:
            await scene.launch()
        assert (told.value.exit_code, told.value.status) == (7, 409)
        assert not await scene.runs.list()
        assert (await scene.ended(await scene.launch(plan_hash=made[:8]))).verdict == "pass"
        assert (await scene.ended(await scene.launch(plan_hash=made))).verdict == "pass"

    run_virtual(scenario())


@pytest.mark.parametrize("asked", ["0" * 8, "f" * 64, "short", "", "ABCDEF12", "a" * 65])
def test_another_hash_is_refused_also_where_none_is_needed(tmp_path: Path, asked: str) -> None:
    async def scenario() -> None:
        scene = ControlledScene(tmp_path)
        await scene.boot()
        with pytest.raises(Refused, match="hash"):
            await scene.launch(plan_hash=asked)
        assert not await scene.runs.list()

    run_virtual(scenario())


def test_what_changed_since_the_plan_was_looked_at_is_said(tmp_path: Path) -> None:
    async def scenario() -> None:
        scene = ControlledScene(tmp_path, targets=3)
        scene.plan = replace(scene.plan, orders=(order("t1"), order("t2")))
        await scene.boot()
        looked_at = (await scene.runs.plan(Document("document"))).hash
        scene.plan = replace(scene.plan, orders=(order("t1", hold_s=5.0), order("t3")))
        with pytest.raises(Refused, match="t2 is not hit any more; t3 is hit now; what is done to t1"):
            await scene.launch(plan_hash=looked_at[:8])

    run_virtual(scenario())


def test_limits_of_every_environment_are_told_together(tmp_path: Path) -> None:
    async def scenario() -> None:
        small = Environment("small", "host in (t1,t2)", max_hosts=1)
        none = Environment("none", "host=t2", max_runs_per_day=0)
        elsewhere = Environment("elsewhere", "host=t9", max_hosts=0)
        scene = ControlledScene(tmp_path, small, none, elsewhere)
        await scene.boot()
        with pytest.raises(Refused) as told:
            await scene.launch()
        assert "environment small: 2 of its hosts would be hit, at most 1" in str(told.value)
        assert "environment none: 0 runs began within 24 hours, at most 0" in str(told.value)
        assert "elsewhere" not in str(told.value)

    run_virtual(scenario())


def test_the_daily_limit_counts_what_began_within_24_hours(tmp_path: Path) -> None:
    async def scenario() -> None:
        busy = Environment("busy", "host=t1", second_person=True, max_runs_per_day=2)
        scene = ControlledScene(tmp_path, busy)
        await scene.boot()
        denied = await scene.launch()
        await scene.runs.deny(denied, "bob", "no")
        await scene.ended(denied)
        for _ in range(2):
            run_id = await scene.launch()
            await scene.runs.approve(run_id, "bob")
            await scene.ended(run_id)
        with pytest.raises(Refused, match="2 runs began within 24 hours, at most 2 may"):
            await scene.launch()
        await asyncio.sleep(24 * 3600)
        await scene.ended(await scene.launch(approved_by="bob"))

    run_virtual(scenario())


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"name": "Production"}, "small letters"),
        ({"name": "a,b"}, "small letters"),
        ({"hosts": "site in ("}, "hosts 'site in \\('"),
        ({"max_hosts": -1}, "max_hosts must be 0 to"),
        ({"max_runs_per_day": 10**9}, "max_runs_per_day must be 0 to"),
    ],
)
def test_an_environment_that_makes_no_sense_is_refused(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        Environment(**{"name": "x", "hosts": "site=a"} | changes)


# ---- starting ----


def test_the_same_document_twice_at_once_starts_once(tmp_path: Path) -> None:
    async def scenario() -> None:
        scene = ControlledScene(tmp_path)
        await scene.boot()
        answers = await asyncio.gather(scene.launch(), scene.launch(), return_exceptions=True)
        assert sorted(type(answer).__name__ for answer in answers) == ["Refused", "str"]

    run_virtual(scenario())


def test_one_key_is_one_run_and_never_two_documents(tmp_path: Path) -> None:
    async def scenario() -> None:
        scene = ControlledScene(tmp_path)
        await scene.boot()
        ids = await asyncio.gather(*(scene.launch(idempotency_key="k") for _ in range(3)))
        assert len(set(ids)) == 1
        with pytest.raises(UsageError, match=f"has started run {ids[0]} of another document"):
            await scene.runs.start(Launch(Document("another"), "alice", idempotency_key="k"))

    run_virtual(scenario())


@pytest.mark.parametrize("environments", [(), (TWO,)])
def test_a_start_that_cannot_be_stored_leaves_nothing(
    tmp_path: Path, environments: tuple[Environment, ...]
) -> None:
    async def scenario() -> None:
        scene = ControlledScene(tmp_path, *environments)
        await scene.boot()
        scene.store.broken = "disk full"
        with pytest.raises(StoreFailed):
            await scene.launch()
        assert not await scene.runs.list()
        assert not list(scene.runs.contexts())
        scene.store.broken = ""
        run_id = await scene.launch(approved_by="bob")  # the targets are free
        assert (await scene.ended(run_id)).verdict == "pass"

    run_virtual(scenario())
