"""A scene whose controller has control: environments, second persons and a lever on a real file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from blackstart_controller.control.admission import Admissions
from blackstart_controller.control.lever import Lever
from blackstart_controller.control.leverfile import LeverFile
from blackstart_controller.control.memory import MemoryControl
from blackstart_controller.control.model import ControlEvent, Environment
from blackstart_controller.notify.ports import Nobody
from blackstart_controller.runs.launch import Launch
from blackstart_controller.runs.service import Runs
from blackstart_controller.spec.document import Document

from support.scenes import Scene
from support.virtual import VirtualClock

DOCUMENT = Document("document", "x.yaml")
EVENT = ControlEvent("2026-11-23T12:00:00.000Z", "admin", "environment.set", "environment/x")


class ControlledScene(Scene):
    """As `Scene`; `boot` opens the lever, `crash_controller` and `boot` again restart it."""

    lever: Lever

    def __init__(self, folder: Path, *environments: Environment, targets: int = 2, store: Any = None) -> None:
        super().__init__(targets, store=store)
        self.file = LeverFile(folder / "lever")
        self.control = MemoryControl(runs=lambda: list(self.store._runs.values()))
        self.first = environments

    async def boot(self) -> None:
        clock = VirtualClock(self.boot_id, self.fleet.shift_s)
        for environment in self.first:
            await self.control.set_environment(environment, EVENT)
        self.lever = await Lever.open(self.file, self.control, clock, Nobody())
        self.runs = Runs(
            self.fleet,
            self.store,
            clock,
            settings=self.settings,
            planner=lambda _document, _fleet: self.plan,
            admission=Admissions(self.control, self.lever, clock),
        )
        self.lever.attach(self.runs.halt_all)
        await super().boot()

    async def launch(self, operator: str = "alice", **changes: Any) -> str:
        return await self.runs.start(Launch(DOCUMENT, operator, **changes))
