"""host.blackout: the host goes dark, and comes back as after a power cut."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

from blackstart_proto.v1 import faults_pb2 as pb

from blackstart_agent.errors import Refused
from blackstart_agent.faults import cut, gate, select, unit
from blackstart_agent.faults.base import Fault, Held, Hit, Json, Prepared, Rung, Surroundings, Undo, word
from blackstart_agent.faults.undo import flag, of_this_boot, process_rows, processes, text, texts
from blackstart_agent.host.ports import SIGCONT, Host, Process

_FROZEN = {"": False, "killed": False, "frozen": True}


@dataclass(frozen=True, slots=True)
class HostBlackout(Fault):
    """All network is cut, in and out; every running unit but protected ones is killed (or frozen) and held.

    Open stay the control path, with the neighbour discovery it needs, and protected ports; in sealed mode
    only the latter. On revert the network returns first, then the units cold-start (frozen ones go on).
    """

    kind: ClassVar[str] = "host.blackout"
    rung: ClassVar[Rung] = "guardian"
    frozen: bool = False

    @classmethod
    def of(cls, spec: pb.HostBlackout) -> Self:
        return cls(_FROZEN[word(cls.kind, spec, "units_are")])

    @classmethod
    def try_out(cls, host: Host) -> None:
        gate.try_out(host)
        host.units.check()

    def prepare(self, host: Host, around: Surroundings) -> Prepared:
        interfaces = gate.outgoing_interfaces(host)
        if not interfaces:
            raise Refused([f"{self.kind}: this host has no interface but loopback; there is nothing to cut"])
        spare = gate.spared(host, around)
        made = cut.Cut(around.table, tuple(interfaces), peers=None, spared=spare)
        names = _units(host, around)
        rules = cut.drop_table(made)
        undo: dict[str, Json] = {
            **gate.undo_of("netdev", made, rules),
            "boot_id": host.clock.boot_id(),
            "units": list(names),
            "frozen": self.frozen,
            **_frozen_before(host, names, around.held),
            **select.untouchable(host, around).undo(),
        }
        return Prepared(self._hits(interfaces, spare, names), undo, self._manual(host, undo), rules)

    def _hits(self, interfaces: Sequence[str], spare: cut.Spared, names: Sequence[str]) -> tuple[Hit, ...]:
        open_ = gate.control_path(spare)
        but = f"everything but the control path {open_}" if open_ else "everything, the control path too"
        ports = f" and ports {', '.join(str(port) for port in spare.ports)}" if spare.ports else ""
        effect = "frozen, goes on at revert" if self.frozen else "killed and held down, cold start on revert"
        cuts = (Hit("network", name, f"dropped both ways: {but}{ports}") for name in interfaces)
        return (*cuts, *(Hit("unit", name, effect) for name in names))

    def _manual(self, host: Host, undo: Undo) -> tuple[str, ...]:
        names = texts(undo, "units")
        pids = [str(process.pid) for name in names for process in host.units.processes(name)]
        thaw = (f"kill -CONT {' '.join(pids)}",) if pids else ()
        return (
            gate.manual("netdev", text(undo, "table")),
            *(thaw if self.frozen else host.units.manual(names)),
        )

    @classmethod
    def holds(cls, undo: Undo) -> Held:
        """Its units, frozen ones too: what another order has killed meanwhile must not start in the dark."""
        units = frozenset(select.unit_hold(name) for name in texts(undo, "units"))
        if not flag(undo, "frozen"):
            return units
        before = {select.same(process) for process in processes(undo, "stopped_before")}
        ours = (process for process in processes(undo, "processes") if select.same(process) not in before)
        return units | {select.stop_hold(process) for process in ours}

    @classmethod
    def stage(cls, host: Host, undo: Undo) -> None:
        gate.stage(host, undo)

    @classmethod
    def fire(cls, host: Host, undo: Undo, deadline_ns: int) -> None:
        """The network goes first, so that nobody outside sees connections being closed."""
        gate.open_(host, undo, deadline_ns)

    @classmethod
    def finish(cls, host: Host, undo: Undo) -> None:
        if flag(undo, "frozen"):
            select.stop_all(host, _selectors(undo), select.Untouchable.of(undo))
            return
        unit.kill(host, texts(undo, "units"))

    @classmethod
    def unproved(cls, host: Host, undo: Undo) -> Sequence[str]:
        if flag(undo, "frozen"):
            found = (process for selector in _selectors(undo) for process in selector.matches(host))
            spare = select.Untouchable.of(undo)
            awake = [process for process in found if not process.stopped and not spare.reason(process)]
            return [
                *gate.unproved(host, undo),
                *(f"{select.label(process)} is not stopped" for process in awake),
            ]
        return [*gate.unproved(host, undo), *unit.not_down(host, texts(undo, "units"))]

    @classmethod
    def renew(cls, host: Host, undo: Undo, deadline_ns: int) -> None:
        gate.renew(host, undo, deadline_ns)

    @classmethod
    def revert(cls, host: Host, undo: Undo, kept: Held) -> None:
        """Network before units: a service that starts must find its peers, as when power returns."""
        gate.remove(host, undo)
        for process in _still_frozen(host, undo, kept):
            host.processes.signal(process, SIGCONT)
        unit.release(host, undo, kept, only_held=flag(undo, "frozen"))

    @classmethod
    def leftovers(cls, host: Host, undo: Undo, kept: Held) -> Sequence[str]:
        frozen = [f"{select.label(process)} is stopped" for process in _still_frozen(host, undo, kept)]
        return [*gate.leftovers(host, undo), *frozen, *unit.still_held(host, undo, kept)]


def _units(host: Host, around: Surroundings) -> tuple[str, ...]:
    """Units that run, or that another order holds down, and are neither protected nor our own."""
    wanted = [
        unit.name
        for unit in host.units.list()
        if (unit.running or {select.unit_hold(unit.name), select.unit_crash(unit.name)} & around.held)
        and not select.protected(unit.name, around.protected_units)
    ]
    ours = {
        name for name in wanted for process in host.units.processes(name) if process.pid in around.own_pids
    }
    return tuple(name for name in wanted if name not in ours)


def _frozen_before(host: Host, names: Sequence[str], held: Held) -> dict[str, Json]:
    found = tuple(process for name in names for process in host.units.processes(name))
    asleep = select.asleep(found, held)
    return {"processes": process_rows(found), "stopped_before": process_rows(asleep)}


def _selectors(undo: Undo) -> list[select.Selector]:
    return [select.Selector(unit=name) for name in texts(undo, "units")]


def _still_frozen(host: Host, undo: Undo, kept: Held) -> list[Process]:
    if not flag(undo, "frozen") or not of_this_boot(host, undo):
        return []
    recorded, before = processes(undo, "processes"), processes(undo, "stopped_before")
    return select.stopped_by_us(host, _selectors(undo), recorded, before, kept)
