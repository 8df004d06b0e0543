"""The steps of an order that touch the host or the disk. They run on workers and never raise."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from blackstart_proto.v1 import faults_pb2 as pb

from blackstart_agent.errors import AgentError, Refused
from blackstart_agent.faults.base import NOTHING_HELD, Fault, Held, Prepared, Surroundings, Undo
from blackstart_agent.guardian import orders
from blackstart_agent.guardian.claims import Claims
from blackstart_agent.guardian.journal import Journal, Progress, Record
from blackstart_agent.host.ports import Host
from blackstart_agent.policy import Policy

Around = Callable[[str, bool, Policy], Surroundings]  # order id, sealed, policy

MAX_RULES = 16_384  # characters


@dataclass(frozen=True, slots=True)
class Examined:
    """What an order would hit. `recorded`: its record is on the disk, so it must be taken away again."""

    resolution: pb.Resolution
    undo: Undo = field(default_factory=dict)
    recorded: bool = False


@dataclass(frozen=True, slots=True)
class Others:
    """The other orders on this host: how many are open, and what those in effect hold."""

    count: int = 0
    held: Held = NOTHING_HELD


@dataclass(frozen=True, slots=True)
class Steps:
    """The host, and what stands between an order and it."""

    host: Host
    faults: Mapping[str, type[Fault]]
    decode: Callable[[pb.Order], Fault]
    policy: Callable[[], Policy]
    around: Around
    journal: Journal
    claims: Claims = field(default_factory=Claims)

    def resolve(self, order: pb.Order, others: Others) -> Examined:
        """Nothing is touched."""
        prepared, reasons = self._prepare(order, others)
        examined = _examined(order.id, prepared, reasons)
        if prepared is not None:
            examined.resolution.rules = _shortened(prepared.rules)
            examined.resolution.claims.extend(sorted(self.faults[order.fault.kind].claims(prepared.undo)))
        return examined

    def arm(self, order: pb.Order, others: Others, progress: Progress) -> Examined:
        """Prepared, recorded, then staged; when it could not be staged, the record is still there."""
        prepared, reasons = self._prepare(order, others)
        if prepared is None:
            return _examined(order.id, None, reasons)
        taken = self.claims.take(order.id, self.faults[order.fault.kind].claims(prepared.undo))
        if taken:
            return _examined(order.id, None, [f"{order.fault.kind}: {reason}" for reason in taken])
        record = Record(
            order.id,
            order.run_id,
            order.fault.kind,
            orders.MODES[order.mode],
            self.host.clock.boot_id(),
            prepared.undo,
            prepared.manual,
        )
        problem = problem_of(lambda: self.journal.open(record, progress))
        if problem:
            reasons = [f"{order.fault.kind}: this host cannot record the order, so it is refused: {problem}"]
            return _examined(order.id, None, reasons)
        problem = problem_of(lambda: self.faults[order.fault.kind].stage(self.host, prepared.undo))
        reasons = [f"{order.fault.kind}: could not be made ready: {problem}"] if problem else []
        return _examined(order.id, prepared, reasons, recorded=True)

    def revert(self, kind: str, undo: Undo, kept: Held) -> tuple[str, ...]:
        """One attempt: what failed, is still there or cannot be told. Empty: seen to be gone."""
        return revert_once(self.host, self.faults, kind, undo, kept)

    def holds(self, kind: str, undo: Undo) -> Held:
        """What the order holds on the host while it is in effect; nothing when its record is damaged."""
        found: list[Held] = []
        problem_of(lambda: found.append(self.faults[kind].holds(undo)))
        return found[0] if found else NOTHING_HELD

    def unproved(self, kind: str, undo: Undo) -> tuple[str, ...]:
        """What of the fault is not seen to be in effect."""
        found: list[str] = []
        problem = problem_of(lambda: found.extend(self.faults[kind].unproved(self.host, undo)))
        return (*found, f"cannot tell: {problem}") if problem else tuple(found)

    def _prepare(self, order: pb.Order, others: Others) -> tuple[Prepared | None, list[str]]:
        policy = self.policy()
        reasons = policy.check(orders.facts(order, others.count))
        prepared: list[Prepared] = []
        refusals: list[str] = []

        def prepare() -> None:
            around = replace(self.around(order.id, order.mode == pb.MODE_SEALED, policy), held=others.held)
            try:
                prepared.append(self.decode(order).prepare(self.host, around))
            except Refused as refusal:
                refusals.extend(refusal.reasons)

        if not policy.refusal:
            problem = problem_of(prepare)
            reasons += refusals + ([problem] if problem else [])
        return (prepared[0] if prepared and not reasons else None), reasons


def revert_once(
    host: Host, faults: Mapping[str, type[Fault]], kind: str, undo: Undo, kept: Held = NOTHING_HELD
) -> tuple[str, ...]:
    """One attempt: what failed, is still there or cannot be told. Empty: the fault is seen to be gone."""
    fault = faults.get(kind)
    if fault is None:
        return (f"this agent does not know {kind}; install the version that injected it",)
    problem = problem_of(lambda: fault.revert(host, undo, kept))
    left: list[str] = []
    blind = problem_of(lambda: left.extend(fault.leftovers(host, undo, kept)))
    return tuple(filter(None, (problem, *left, blind and f"cannot tell whether it is gone: {blind}")))


def problem_of(step: Callable[[], object]) -> str:
    """Why the step failed; empty when it did not."""
    try:
        step()
    except AgentError as error:
        return str(error)
    except OSError as error:
        return error.strerror or str(error)
    except Exception as error:  # noqa: BLE001 - a bug in one fault must not end the guardian, which has others to revert
        return f"{type(error).__name__}: {error}"
    return ""


def _shortened(rules: str) -> str:
    """Rules are for people to read; ten thousand peers are not read."""
    if len(rules) <= MAX_RULES:
        return rules
    return f"{rules[:MAX_RULES]}\n# ... and {len(rules) - MAX_RULES} characters more"


def _examined(
    order_id: str, prepared: Prepared | None, reasons: list[str], *, recorded: bool = False
) -> Examined:
    if prepared is None:
        return Examined(
            orders.resolution(order_id, reasons or ["refused without a reason; see the agent's log"])
        )
    hits = [pb.Hit(what=hit.what, target=hit.target, effect=hit.effect) for hit in prepared.hits]
    answer = pb.Resolution(order_id=order_id, hits=hits, refusals=reasons, undo=prepared.manual)
    return Examined(answer, prepared.undo, recorded)
