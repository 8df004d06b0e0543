"""What people are told of a run: each thing once, after it is durable, and never in the run's way."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest
from blackstart_controller.notify.memory import MemoryOutbox
from blackstart_controller.notify.model import Delivery, Kind, Outcome, Target
from blackstart_controller.notify.ports import Notice
from blackstart_controller.notify.service import NewTarget, Notify
from blackstart_controller.plan.fleet import FleetSnapshot
from blackstart_controller.plan.model import Plan
from blackstart_controller.runs.launch import EverybodyMay, Launch, Needs
from blackstart_controller.runs.service import Runs
from blackstart_controller.runs.states import RunState
from support.scenes import Scene
from support.virtual import VirtualClock, run_virtual


@dataclass
class Ears:
    """A notifier that remembers; `deaf`: it takes for ever."""

    scene: ToldScene
    heard: list[Notice] = field(default_factory=list)
    states: list[str] = field(default_factory=list)
    deaf: bool = False

    async def publish(self, notice: Notice) -> None:
        if self.deaf:
            await asyncio.sleep(1e6)
        row = await self.scene.store.run(notice.subject.removeprefix("run/"))
        assert row is not None
        self.states.append(row.state)
        self.heard.append(notice)

    @property
    def types(self) -> list[str]:
        return [notice.type for notice in self.heard]


class SecondPerson(EverybodyMay):
    async def check(self, launch: Launch, plan: Plan, plan_hash: str, fleet: FleetSnapshot) -> Needs:
        return Needs(("production",), second_person=True)


class ToldScene(Scene):
    """A scene whose controller tells `ears`, in each of its lives."""

    def __init__(self, *, second_person: bool = False) -> None:
        self.ears = Ears(self)
        self.admission = SecondPerson() if second_person else EverybodyMay()
        super().__init__()

    def _new_runs(self) -> Runs:
        return Runs(
            self.fleet,
            self.store,
            VirtualClock(self.boot_id, self.fleet.shift_s),
            settings=self.settings,
            planner=lambda _document, _fleet: self.plan,
            admission=self.admission,
            notifier=self.ears,
            outside=self.outside,
        )

    async def told(self, *types: str) -> list[Notice]:
        await self.until(lambda: len(self.ears.heard) >= len(types))
        assert self.ears.types == list(types)
        return self.ears.heard


def test_a_run_s_start_and_its_end_are_told_with_verdict_and_services() -> None:
    async def scenario() -> None:
        scene = ToldScene()
        await scene.boot()
        run_id = await scene.start()
        await scene.ended(run_id)
        started, ended = await scene.told("run.started", "run.ended")
        assert started.subject == ended.subject == f"run/{run_id}"
        assert (started.data["operator"], started.data["hosts"]) == ("admin", ["t1", "t2"])
        assert "hits 2 hosts" in started.text
        assert (ended.data["verdict"], ended.data["exit_code"], ended.data["reverted"]) == (
            "pass",
            0,
            "confirmed",
        )
        (shop,) = ended.data["services"]
        assert (shop["name"], shop["outcome"], shop["met"]) == ("shop", "came back", True)
        assert "shop" in ended.text
        assert f"blackstart report {run_id}" in ended.text
        assert scene.ears.states[-1] == RunState.ENDED

    run_virtual(scenario())


def test_a_run_that_is_halted_says_by_whom_and_why() -> None:
    async def scenario() -> None:
        scene = ToldScene()
        await scene.boot()
        run_id = await scene.start()
        await scene.until_state(run_id, RunState.HOLDING)
        await scene.runs.halt(run_id, "enough", "bob")
        await scene.ended(run_id)
        ended = (await scene.told("run.started", "run.ended"))[-1]
        assert (ended.data["verdict"], ended.data["halted_by"]) == ("halted", "bob")
        assert "enough" in ended.text

    run_virtual(scenario())


def test_a_fault_that_may_still_be_there_is_told_loudly_and_so_is_the_all_clear() -> None:
    async def scenario() -> None:
        scene = ToldScene()
        scene.targets[0].never_reverts = True
        await scene.boot()
        run_id = await scene.start()
        row = await scene.ended(run_id)
        assert row.exit_code == 5
        alarm = (await scene.told("run.started", "run.ended", "run.unreverted"))[-1]
        assert alarm.data["exit_code"] == 5
        assert "CALL SOMEONE" in alarm.text
        scene.targets[0].mend()
        await asyncio.sleep(60)
        await scene.told("run.started", "run.ended", "run.unreverted", "run.reverted")

    run_virtual(scenario())


def test_a_run_that_waits_for_a_second_person_says_so_and_starts_when_it_is_approved() -> None:
    async def scenario() -> None:
        scene = ToldScene(second_person=True)
        await scene.boot()
        run_id = await scene.start()
        (waiting,) = await scene.told("run.awaiting_approval")
        assert f"blackstart run approve {run_id} --plan {waiting.data['plan_hash'][:8]}" in waiting.text
        assert waiting.data["environments"] == ["production"]
        await scene.runs.approve(run_id, "bob")
        await scene.ended(run_id)
        await scene.told("run.awaiting_approval", "run.started", "run.ended")

    run_virtual(scenario())


def test_nobody_who_listens_slowly_is_in_the_way_of_a_run() -> None:
    async def scenario(deaf: bool) -> float:
        scene = ToldScene()
        scene.ears.deaf = deaf
        await scene.boot()
        started_s = asyncio.get_running_loop().time()
        row = await scene.ended(await scene.start())
        assert row.verdict == "pass"
        return asyncio.get_running_loop().time() - started_s

    assert run_virtual(scenario(deaf=True)) == pytest.approx(run_virtual(scenario(deaf=False)))


@dataclass
class Mailbox:
    """A channel that takes everything."""

    got: list[Delivery] = field(default_factory=list)

    def refusal(self, url: str) -> str | None:
        return None

    def shown(self, url: str) -> str:
        return url

    async def send(self, target: Target, delivery: Delivery) -> Outcome:
        self.got.append(delivery)
        return Outcome()


def test_what_a_dead_controller_had_no_time_to_tell_is_told_at_the_next_start_and_only_once() -> None:
    async def scenario() -> None:
        scene, outbox, mailbox = ToldScene(), MemoryOutbox(), Mailbox()
        notify = Notify(outbox, {Kind.WEBHOOK: mailbox}, VirtualClock())
        await notify.start()
        await notify.add(NewTarget("early", Kind.WEBHOOK, "https://x"), "alice")
        await scene.boot()
        await scene.ended(await scene.start())  # `ears` heard it; nothing has reached the outbox
        await asyncio.sleep(60)
        await notify.add(NewTarget("late", Kind.WEBHOOK, "https://x"), "alice")
        for _life in range(3):
            await scene.crash_controller()
            scene.runs = Runs(scene.fleet, scene.store, VirtualClock(), notifier=notify)
            await scene.boot()
            await asyncio.sleep(5)
        assert [(one.target, one.type) for one in mailbox.got] == [("early", "run.ended")]
        await scene.runs.close()
        await notify.close()

    run_virtual(scenario())
