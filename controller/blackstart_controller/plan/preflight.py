"""What is wrong with a plan before anyone is asked. An error stops the run before anything is armed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import Final

from blackstart_controller.plan.faults.host import HostBlackout
from blackstart_controller.plan.faults.network import OnPackets
from blackstart_controller.plan.fleet import FleetSnapshot, HostView, known_sites, matching
from blackstart_controller.plan.model import Checkpoint, Finding, HostOrder, Mode, PlannedProbe
from blackstart_controller.plan.observers import who
from blackstart_controller.plan.peers import host_network
from blackstart_controller.plan.probes import named_hosts
from blackstart_controller.plan.unroll import Flow
from blackstart_controller.spec.duration import format_duration
from blackstart_controller.spec.errors import one_of
from blackstart_controller.spec.experiment import Experiment
from blackstart_controller.spec.faults.network import Packets
from blackstart_controller.spec.services import ServiceEntry

SEALED_MAX_HOLD_MS: Final = 600_000  # what an agent's policy allows unless it says otherwise
MAX_OVERLAPS: Final = 20
JUDGED_BEFORE_S: Final = (
    1.5  # a checkpoint is judged when what comes after it is sent, from samples that arrived
)
_LOCAL: Final = ("localhost",)


@dataclass(frozen=True)
class Draft:
    """What the checks look at."""

    experiment: Experiment
    fleet: FleetSnapshot
    flow: Flow
    orders: tuple[HostOrder, ...]
    probes: tuple[PlannedProbe, ...]

    @cached_property
    def targets(self) -> tuple[HostView, ...]:
        return tuple(host for host in self.fleet.hosts if host.name in self.orders_of)

    @cached_property
    def orders_of(self) -> dict[str, list[HostOrder]]:
        by_host: dict[str, list[HostOrder]] = {}
        for order in self.orders:
            by_host.setdefault(order.host, []).append(order)
        return by_host

    @cached_property
    def orders_at(self) -> dict[int, list[HostOrder]]:
        """The orders of each fault: they differ only in their host, and in addresses that are its own."""
        by_fault: dict[int, list[HostOrder]] = {}
        for order in self.orders:
            by_fault.setdefault(order.step, []).append(order)
        return by_fault


def find(draft: Draft) -> tuple[Finding, ...]:
    """Return everything that was found, errors first, each once."""
    found: list[Finding] = []
    for check in _CHECKS:
        found.extend(check(draft))
    return in_order(found)


def in_order(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Return `findings` with errors before warnings before notes, each once."""
    rank = {"error": 0, "warning": 1, "note": 2}
    return tuple(sorted(dict.fromkeys(findings), key=lambda finding: rank[finding.level]))


def _limits(draft: Draft) -> Iterator[Finding]:
    limits = draft.experiment.limits
    hosts = sorted(host.name for host in draft.targets)
    sites = sorted({host.site for host in draft.targets})
    for what, names, key, limit in (
        ("hosts", hosts, "max_hosts", limits.max_hosts),
        ("sites", sites, "max_sites", limits.max_sites),
    ):
        if limit is None:
            counted = what if len(names) != 1 else what.removesuffix("s")
            yield Finding("note", f"limits.{key} is not set; {len(names)} {counted} would be hit")
        elif len(names) > limit:
            text = f"{len(names)} {what} would be hit ({_some(names)}); limits.{key} is {limit}"
            yield Finding("error", text)


def _holds(draft: Draft) -> Iterator[Finding]:
    """A sealed fault cannot be ended early by the controller, so a long one must be asked for by name."""
    sealed = draft.experiment.mode == "sealed"
    limit_ms = draft.experiment.limits.max_hold_ms
    if limit_ms is None:
        if not sealed:
            return
        limit_ms = SEALED_MAX_HOLD_MS
    for timed in draft.flow.faults:
        fault = timed.fault
        if fault.hold_ms <= limit_ms:
            continue
        hold, limit = format_duration(fault.hold_ms), format_duration(limit_ms)
        why = "; sealed faults cannot be ended early by the controller" if sealed else ""
        yield Finding("error", f"{timed.path} {fault.fault}: holds {hold}, limits.max_hold is {limit}{why}")


def _hosts(draft: Draft) -> Iterator[Finding]:
    """Each target must be there, able, and clean."""
    for host in draft.targets:
        if not host.connected:
            yield Finding("error", f"{host.name}: its agent is not connected; nothing can be armed on it")
            continue
        for kind in sorted({order.fault.kind for order in draft.orders_of[host.name]}):
            if kind not in host.fault_kinds:
                reason = (
                    host.unsupported.get(kind) or f"its agent knows {_some(host.fault_kinds) or 'no fault'}"
                )
                yield Finding("error", f"{host.name}: {kind} is not possible here: {reason}")
        if host.open_faults:
            faults = "1 fault" if host.open_faults == 1 else f"{host.open_faults} faults"
            text = f"{host.name}: {faults} of an earlier run not reverted yet"
            yield Finding("error", f"{text}; wait, or run blackstart-agent revert --all there")


def _controller(draft: Draft) -> Iterator[Finding]:
    """Only a blackout takes the controller away: in every other cut the control path stays open."""
    own = {network for address in draft.fleet.controller_addresses if (network := host_network(address))}
    for host in draft.targets:
        blackouts = [order for order in draft.orders_of[host.name] if _is_blackout(order)]
        if not blackouts or not own & {host_network(address) for address in host.addresses}:
            continue
        step = blackouts[0].path
        if blackouts[0].mode is Mode.TETHERED:
            text = f"{step}: the blackout includes {host.name}, where the controller runs"
            why = "without its controller a tethered fault ends at once"
            yield Finding(
                "error", f"{text}; {why}: move the controller, leave the host out, or use mode: sealed"
            )
        else:
            text = (
                f"{step}: the controller on {host.name} goes dark too; its report comes when the host is back"
            )
            yield Finding("warning", text)


def _is_blackout(order: HostOrder) -> bool:
    return isinstance(order.fault, HostBlackout)


def _partitions(draft: Draft) -> Iterator[Finding]:
    sites = known_sites(draft.fleet)
    cuts = [(timed, timed.fault) for timed in draft.flow.faults if isinstance(timed.fault, Packets)]
    for timed, cut in cuts:
        where = f"{timed.path} {timed.fault.fault}"
        peers = cut.others()
        if peers is None:
            continue
        if peers.site is not None and peers.site not in sites:
            known = one_of(sites, peers.site, word="known")
            text = f"{where}: from: no host is in site {peers.site}; {known}"
            yield Finding("error", text)
            continue
        for order in draft.orders_at[timed.number]:
            if isinstance(order.fault, OnPackets) and not order.fault.peers:
                text = f"{where}: from has no address other than those of {order.host} itself"
                yield Finding("error", f"{text}; nothing would be cut there")


def _services(draft: Draft) -> Iterator[Finding]:
    if not draft.experiment.services:
        yield Finding("warning", "no services are given: faults would be injected and nothing measured")
    for service in draft.experiment.services:
        members = [host.name for host in matching(service.members, draft.fleet)]
        hit = [name for name in members if name in draft.orders_of]
        if not members:
            text = f"service {service.name}: no host matches its members {service.members}"
            yield Finding("warning", text)
        elif len(hit) == len(members):
            yield Finding("note", f"service {service.name}: all its members are hit ({_some(members)})")
        yield from _coarse(service, draft)
        yield from _share(service.name, hit, len(members), draft.experiment.limits.max_service_share)


def _coarse(service: ServiceEntry, draft: Draft) -> Iterator[Finding]:
    """Between two questions an outage can hide: what is shorter than their distance is shown by nobody."""
    every_ms = max((one.every_ms for one in draft.probes if one.service == service.name), default=0)
    rto_ms = service.objective.rto_ms
    if rto_ms is not None and rto_ms <= every_ms:
        asked, limit = format_duration(every_ms), format_duration(rto_ms)
        text = f"service {service.name}: asked every {asked}, an objective of {limit} cannot be judged"
        yield Finding("warning", f"{text}; ask more often (every)")


def _share(service: str, hit: Sequence[str], members: int, limit: int | None) -> Iterator[Finding]:
    """All steps together: a rolling kill of every member hits 100 %."""
    if limit is not None and len(hit) * 100 > limit * members:
        share = f"{len(hit)} of {members} members would be hit ({_some(hit)}), {100 * len(hit) // members}%"
        yield Finding("error", f"service {service}: {share}; limits.max_service_share is {limit}%")


def _names(draft: Draft) -> Iterator[Finding]:
    """Names that no known host has may still be in DNS, so they are told and not refused."""
    known = dict.fromkeys(sorted(host.name for host in draft.fleet.hosts))
    for probe in draft.probes:
        for name in named_hosts(probe.spec):
            if name not in known and name not in _LOCAL:
                text = f"{who(probe.service)}: {name} is no known host; its observers must resolve it"
                yield Finding(
                    "note" if "." in name else "warning", f"{text} ({one_of(known, name, word='known')})"
                )


def _checkpoints(draft: Draft) -> Iterator[Finding]:
    """The watch after the last revert judges what comes then; a checkpoint there halts nothing."""
    last_s = max(order.at_s + order.hold_s for order in draft.orders)
    for point in draft.flow.checkpoints:
        if not draft.experiment.services:
            yield Finding("warning", f"{point.path}: a checkpoint, but no service is watched")
        elif point.at_s > last_s:
            yield Finding(
                "note", f"{point.path}: this checkpoint is after the last fault; nothing can be halted"
            )
        else:
            yield from _hasty(point, draft)


def _hasty(point: Checkpoint, draft: Draft) -> Iterator[Finding]:
    """What the fault before held down needs time to be well again, or the run ends here for certain."""
    ends_s = [order.at_s + order.hold_s for order in draft.orders]
    pause_s = min((point.at_s - end_s for end_s in ends_s if end_s <= point.at_s), default=None)
    least_s = point.steady_s + JUDGED_BEFORE_S
    if pause_s is not None and pause_s < least_s:
        pause, steady, least = (format_duration(round(s * 1000)) for s in (pause_s, point.steady_s, least_s))
        why = (
            f"{pause} after a fault's end all must have been well for {steady}, and what was down cannot have"
        )
        yield Finding("warning", f"{point.path}: {why}: make the pause longer than {least}")


def _overlaps(draft: Draft) -> Iterator[Finding]:
    firsts = [orders[0] for orders in draft.orders_at.values()]  # one of each: times are the fault's
    hosts = {number: {order.host for order in orders} for number, orders in draft.orders_at.items()}
    told: dict[str, None] = {}
    for first, second in combinations(firsts, 2):
        together = first.at_s < second.at_s + second.hold_s and second.at_s < first.at_s + first.hold_s
        if not together or not _conflict(first, second):
            continue
        both = sorted(hosts[first.step] & hosts[second.step])
        if both:
            pair = " and ".join(f"{order.path} {order.fault.kind}" for order in (first, second))
            told[f"{pair} overlap in time on {_some(both)}; neither can be measured alone"] = None
    yield from (Finding("note", text) for text in list(told)[:MAX_OVERLAPS])
    if len(told) > MAX_OVERLAPS:
        yield Finding("note", f"{len(told) - MAX_OVERLAPS} more pairs of faults overlap in time")


def _conflict(first: HostOrder, second: HostOrder) -> bool:
    """Cuts add up; a blackout swallows everything, and two hands on one process get in each other's way."""
    if _is_blackout(first) or _is_blackout(second):
        return True
    return not (isinstance(first.fault, OnPackets) or isinstance(second.fault, OnPackets))


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")


_CHECKS: Final = (
    _limits,
    _holds,
    _hosts,
    _controller,
    _partitions,
    _services,
    _names,
    _checkpoints,
    _overlaps,
)
