"""Who may start what, now: the lever, then the plan's hash, then every environment's rules."""

from __future__ import annotations

from datetime import timedelta

from blackstart_controller.control.changes import difference
from blackstart_controller.control.lever import Lever
from blackstart_controller.control.model import LeverState
from blackstart_controller.control.ports import ControlStore
from blackstart_controller.control.rules import entered, hash_missing, hash_wrong, limits_broken
from blackstart_controller.errors import PlanHashNeeded, Refused
from blackstart_controller.plan.fleet import FleetSnapshot
from blackstart_controller.plan.model import Plan
from blackstart_controller.runs.clock import Clock, iso
from blackstart_controller.runs.context import Halt
from blackstart_controller.runs.launch import Launch, Needs

DAY = timedelta(hours=24)
REMEMBERED = 64  # plans that were looked at last: to say what has changed since


class Admissions:
    """Implements `runs.launch.Admission`."""

    def __init__(self, store: ControlStore, lever: Lever, clock: Clock) -> None:
        self._store = store
        self._lever = lever
        self._clock = clock
        self._seen: dict[str, Plan] = {}

    async def check(self, launch: Launch, plan: Plan, plan_hash: str, fleet: FleetSnapshot) -> Needs:
        self._check_lever()
        inside = entered(await self._store.environments(), plan, fleet)
        reasons = []
        if wrong := hash_wrong(launch.plan_hash, plan_hash):
            reasons.append(wrong + self._changed(launch.plan_hash or "", plan))
        if inside:
            since = iso(self._clock.wall() - DAY)
            reasons += limits_broken(inside, await self._store.recent_runs(since))
        if reasons:
            raise Refused("\n".join(reasons))
        if missing := hash_missing(inside, launch, plan_hash):
            raise PlanHashNeeded(missing)
        self._check_lever()  # it may have been engaged while the database was asked
        return Needs(
            environments=tuple(one.environment.name for one in inside),
            second_person=any(one.environment.second_person for one in inside),
        )

    def stopped(self) -> Halt | None:
        state = self._lever.engaged()
        return None if state is None else Halt(state.by, _why(state))

    def seen(self, plan: Plan, plan_hash: str) -> None:
        self._seen.pop(plan_hash, None)
        self._seen[plan_hash] = plan
        while len(self._seen) > REMEMBERED:
            del self._seen[next(iter(self._seen))]

    def _check_lever(self) -> None:
        if (state := self._lever.engaged()) is not None:
            raise Refused(_why(state))

    def _changed(self, asked: str, plan: Plan) -> str:
        old = next((one for made, one in self._seen.items() if asked and made.startswith(asked)), None)
        text = "" if old is None else difference(old, plan)
        return f" ({text})" if text else ""


def _why(state: LeverState) -> str:
    return (
        f"{state.sentence()}; nothing starts until an approver releases it: "
        "blackstart lever release --reason TEXT"
    )
