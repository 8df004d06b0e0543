"""unit.stop: supervised services are down and stay down until revert."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import ClassVar, Self

from blackstart_proto.v1 import faults_pb2 as pb

from blackstart_agent.errors import InvalidOrder, Refused
from blackstart_agent.faults import select
from blackstart_agent.faults.base import Fault, Held, Hit, Prepared, Rung, Surroundings, Undo
from blackstart_agent.faults.undo import of_this_boot, texts
from blackstart_agent.host.ports import Host

MAX_OFFERED = 8  # a real host has a hundred units
STOP_TIMEOUT_S = 10.0
KILLS = 10
DEATH_TIMEOUT_S = 0.3  # then it was started once more, and is killed again


@dataclass(frozen=True, slots=True)
class UnitStop(Fault):
    """The units are stopped as an administrator would, killed after 10 s, and not started until revert."""

    kind: ClassVar[str] = "unit.stop"
    rung: ClassVar[Rung] = "guardian"
    units: tuple[str, ...]

    @classmethod
    def of(cls, spec: pb.UnitStop) -> Self:
        return cls(tuple(spec.units))

    @classmethod
    def try_out(cls, host: Host) -> None:
        host.units.check()

    def __post_init__(self) -> None:
        check_names(self.kind, self.units)

    def prepare(self, host: Host, around: Surroundings) -> Prepared:
        wanted = running_units(self.kind, self.units, host, around, or_held=True)
        hits = tuple(Hit("unit", name, "stopped and held down, started again on revert") for name in wanted)
        return Prepared(
            hits, {"boot_id": host.clock.boot_id(), "units": list(wanted)}, host.units.manual(wanted)
        )

    @classmethod
    def holds(cls, undo: Undo) -> Held:
        return frozenset(select.unit_hold(name) for name in texts(undo, "units"))

    @classmethod
    def fire(cls, host: Host, undo: Undo, deadline_ns: int) -> None:
        host.units.hold(texts(undo, "units"), kill=False)

    @classmethod
    def finish(cls, host: Host, undo: Undo) -> None:
        names = texts(undo, "units")
        host.units.settle(names, timeout_s=STOP_TIMEOUT_S)
        kill(host, tuple(_standing(host, names)))

    @classmethod
    def unproved(cls, host: Host, undo: Undo) -> Sequence[str]:
        return not_down(host, texts(undo, "units"))

    @classmethod
    def revert(cls, host: Host, undo: Undo, kept: Held) -> None:
        release(host, undo, kept)

    @classmethod
    def leftovers(cls, host: Host, undo: Undo, kept: Held) -> Sequence[str]:
        return still_held(host, undo, kept)


def check_names(kind: str, units: Sequence[str]) -> None:
    if not units or not all(units):
        raise InvalidOrder(f"{kind}: units must name at least one unit, got {list(units)}")


def running_units(
    kind: str, units: Sequence[str], host: Host, around: Surroundings, *, or_held: bool = False
) -> tuple[str, ...]:
    """Their full names. `or_held`: one that another order holds down will do. Raises Refused."""
    wanted = tuple(dict.fromkeys(host.units.full_name(name) for name in units))
    running = {
        unit.name: unit.running
        or select.unit_crash(unit.name) in around.held
        or (or_held and select.unit_hold(unit.name) in around.held)
        for unit in host.units.list()
    }
    reasons = [f"{kind}: {why}" for name in wanted for why in _refusals(host, around, name, running)]
    if reasons:
        raise Refused(reasons)
    return wanted


def start_again(host: Host, undo: Undo, kept: Held) -> None:
    """The units that do not run and that no other order holds have been told to start."""
    if of_this_boot(host, undo):
        ours = _not_kept(undo, kept)
        host.units.release(
            [unit.name for unit in host.units.list() if unit.name in ours and not unit.running]
        )


def not_down(host: Host, names: Sequence[str]) -> list[str]:
    """Why these units do not count as down."""
    return [why for reasons in _standing(host, names).values() for why in reasons]


def kill(host: Host, names: Sequence[str]) -> None:
    """The units are killed and held down, even when their supervisor is quicker than we once or twice."""
    for _ in range(KILLS):
        if not names:
            return
        host.units.hold(names, kill=True)
        host.units.settle(names, timeout_s=DEATH_TIMEOUT_S)
        names = tuple(_standing(host, names))


def _standing(host: Host, names: Sequence[str]) -> dict[str, list[str]]:
    """The units that are not down, each with its reasons."""
    seen = {unit.name: unit for unit in host.units.list()}
    found: dict[str, list[str]] = {}
    for name in names:
        if name in seen and not seen[name].held:
            found.setdefault(name, []).append(f"unit {name} is not held down")
        if host.units.processes(name):
            found.setdefault(name, []).append(f"unit {name} still has a process")
    return found


def release(host: Host, undo: Undo, kept: Held, *, only_held: bool = False) -> None:
    """The units may start again and have been told to.

    Those that are not held (any more) too: a revert that died half-way may have released, but not started.
    """
    if of_this_boot(host, undo):
        ours = _not_kept(undo, kept)
        wanted = [unit for unit in host.units.list() if unit.name in ours]
        host.units.release([unit.name for unit in wanted if unit.held or not only_held])


def still_held(host: Host, undo: Undo, kept: Held) -> list[str]:
    if not of_this_boot(host, undo):
        return []
    ours = _not_kept(undo, kept)
    return [f"unit {unit.name} is held down" for unit in host.units.list() if unit.held and unit.name in ours]


def _not_kept(undo: Undo, kept: Held) -> list[str]:
    return [name for name in texts(undo, "units") if select.unit_hold(name) not in kept]


def _refusals(host: Host, around: Surroundings, name: str, running: dict[str, bool]) -> list[str]:
    if select.protected(name, around.protected_units):
        return [f"policy.toml protects unit {name}"]
    if name not in running:
        return [f"no unit {name} on this host; {_offer(name, running)}"]
    if not running[name]:
        held = (
            "; another order holds it down, wait for its end" if select.unit_hold(name) in around.held else ""
        )
        return [f"unit {name} does not run{held}"]
    own = [process.pid for process in host.units.processes(name) if process.pid in around.own_pids]
    return [f"unit {name} is blackstart's own (process {own[0]})"] if own else []


def _offer(name: str, running: dict[str, bool]) -> str:
    """What the host has instead: all of it when that is short, else what runs here under a similar name."""
    if len(running) <= MAX_OFFERED:
        return f"it has {', '.join(sorted(running)) or 'none'}"
    alive = sorted(unit for unit, runs in running.items() if runs)
    near = [unit for unit in alive if name in unit] or get_close_matches(name, alive, MAX_OFFERED, 0.5)
    listing = "systemctl list-units --type=service lists them"
    return (
        f"did you mean {' or '.join(near[:MAX_OFFERED])}?"
        if near
        else f"it has {len(running)} others; {listing}"
    )
