"""What the environments say to a plan. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from blackstart_controller.control.model import Environment
from blackstart_controller.control.ports import RecentRun
from blackstart_controller.errors import Refused
from blackstart_controller.plan.fleet import FleetSnapshot
from blackstart_controller.plan.model import Plan
from blackstart_controller.runs.launch import Launch

SHOWN_DIGITS = 8
_PREFIX = re.compile(r"[0-9a-f]{8,64}")


@dataclass(frozen=True, slots=True)
class Inside:
    """An environment that a plan is in, and which of its targets are in it."""

    environment: Environment
    targets: tuple[str, ...]


def entered(environments: Sequence[Environment], plan: Plan, fleet: FleetSnapshot) -> tuple[Inside, ...]:
    """The environments that hold a target, in their order."""
    labels = {view.name: view.labels for view in fleet.hosts}
    targets = sorted({order.host for order in plan.orders})
    found = (
        Inside(one, tuple(host for host in targets if one.holds(labels.get(host, {"host": host}))))
        for one in environments
    )
    return tuple(inside for inside in found if inside.targets)


def limits_broken(inside: Sequence[Inside], recent: Sequence[RecentRun]) -> list[str]:
    """Every reason why this run is too large, or one too many."""
    reasons = []
    for one in inside:
        environment, hosts = one.environment, len(one.targets)
        if environment.max_hosts is not None and hosts > environment.max_hosts:
            reasons.append(
                f"environment {environment.name}: {hosts} of its hosts would be hit, "
                f"at most {environment.max_hosts} may be; choose fewer targets"
            )
        most, began = environment.max_runs_per_day, _began(environment.name, recent)
        if most is not None and began >= most:
            reasons.append(
                f"environment {environment.name}: {began} runs began within 24 hours, "
                f"at most {most} may; wait, or ask an admin: blackstart environment set"
            )
    return reasons


def hash_wrong(asked: str | None, made: str) -> str:
    """Why the plan is not the one that was asked for; "" when it is, or none was asked for."""
    if asked is None:
        return ""
    if not _PREFIX.fullmatch(asked):
        return f"plan hash {asked[:80]!r}: must be the first 8 to 64 hex digits that `blackstart plan` shows"
    if not made.startswith(asked):
        return (
            f"the plan made now has the hash {made[:SHOWN_DIGITS]}, not {asked[:SHOWN_DIGITS]}: the document "
            "or the fleet has changed since; look again: blackstart plan FILE"
        )
    return ""


def hash_missing(inside: Sequence[Inside], launch: Launch, made: str) -> str:
    """What to say when a protected environment wants the hash and none was given; "" when all is well."""
    names = [one.environment.name for one in inside if one.environment.protected]
    if launch.plan_hash is not None or not names:
        return ""
    what = f"environment {names[0]} is" if len(names) == 1 else f"environments {', '.join(names)} are"
    return (
        f"{what} protected: a run needs the hash of the plan that you have looked at "
        f"(blackstart plan {launch.document.file}); then: "
        f"blackstart run {launch.document.file} --plan {made[:SHOWN_DIGITS]}"
    )


def _began(name: str, recent: Sequence[RecentRun]) -> int:
    """Runs that still wait for approval count when they begin; refused ones never do."""
    return sum(
        name in run.environments
        and run.state != "awaiting_approval"
        and not (run.state == "ended" and run.exit_code == Refused.exit_code)
        for run in recent
    )
