"""What it takes to start a run: the document, who wants it and why, and who has to agree."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from blackstart_controller.plan.fleet import FleetSnapshot
from blackstart_controller.plan.model import Plan
from blackstart_controller.runs.context import Halt
from blackstart_controller.spec.document import Document


@dataclass(frozen=True, slots=True)
class Launch:
    """One wish to run an experiment, whoever has it: a person, a schedule, a game day, a pipeline.

    `trigger` says which: `manual`, `gate`, `schedule:NAME`, `gameday:ID`. `plan_hash`: refuse when the plan
    made now is another one. `idempotency_key`: the same key starts one run, however often it is sent.
    """

    document: Document
    operator: str
    trigger: str = "manual"
    plan_hash: str | None = None
    idempotency_key: str | None = None
    approved_by: str | None = None  # a second person has agreed before: to a schedule, or a game day


@dataclass(frozen=True, slots=True)
class Needs:
    """What the environments that a plan's targets are in ask for before it may begin."""

    environments: tuple[str, ...] = ()
    second_person: bool = False


class Admission(Protocol):
    """Who may start what, now. Implemented by `control/`."""

    async def check(self, launch: Launch, plan: Plan, plan_hash: str, fleet: FleetSnapshot) -> Needs:
        """What the run needs; Refused lists every reason why it may not be: the lever, a limit, a hash."""
        ...

    def stopped(self) -> Halt | None:
        """Why nothing may run at this moment: asked once more when a run is about to begin."""
        ...

    def seen(self, plan: Plan, plan_hash: str) -> None:
        """Somebody looks at this plan; what has changed since can be told later."""
        ...


class EverybodyMay:
    """For tests and simulations of the run alone."""

    async def check(self, launch: Launch, plan: Plan, plan_hash: str, fleet: FleetSnapshot) -> Needs:
        return Needs()

    def stopped(self) -> Halt | None:
        return None

    def seen(self, plan: Plan, plan_hash: str) -> None:
        return None
