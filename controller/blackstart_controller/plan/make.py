"""Experiment × fleet snapshot → plan. Pure: the same inputs give the same plan, order ids apart."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from blackstart_controller.plan.fleet import FleetSnapshot, matching
from blackstart_controller.plan.model import STOP_SERVICE, Finding, Mode, Plan, PlannedProbe, Service
from blackstart_controller.plan.observers import plan_probes
from blackstart_controller.plan.orders import make_orders
from blackstart_controller.plan.preflight import Draft, find, in_order
from blackstart_controller.plan.stops import stop_of
from blackstart_controller.plan.targets import choose_targets
from blackstart_controller.plan.unroll import unroll
from blackstart_controller.spec.experiment import Experiment
from blackstart_controller.spec.services import ServiceEntry


def make_plan(
    experiment: Experiment, fleet: FleetSnapshot, *, ids: Callable[[], str], seed: int | None = None
) -> Plan:
    """Return the plan with everything that was found wrong in it; `plan.errors` must be empty to run it.

    `ids` gives a new order id at each call. `seed` overrides the document's. Raises NoTargets when a
    step matches no host.
    """
    seed = experiment.seed if seed is None else seed
    fleet = replace(
        fleet, hosts=tuple(sorted(fleet.hosts, key=lambda host: host.name))
    )  # not as they enrolled
    flow = unroll(experiment)
    targets = choose_targets(flow.faults, fleet, seed)
    orders = make_orders(experiment, flow.faults, targets, fleet, ids, seed)
    hit = frozenset(order.host for order in orders)
    probes, findings = _watch(experiment, fleet, hit, seed)
    findings.extend(find(Draft(experiment, fleet, flow, orders, tuple(probes))))
    return Plan(
        experiment=experiment.name,
        description=experiment.description,
        hypothesis=experiment.hypothesis,
        seed=seed,
        mode=Mode(experiment.mode),
        baseline_s=experiment.baseline_ms / 1000,
        settle_s=experiment.settle_ms / 1000,
        watch_s=experiment.watch_ms / 1000,
        hold_s=max(order.at_s + order.hold_s for order in orders),
        orders=orders,
        services=tuple(_service(entry, fleet) for entry in experiment.services),
        probes=tuple(probes),
        findings=in_order(findings),
        tags=experiment.tags,
        owner=experiment.owner,
        max_skew_ms=float(experiment.limits.max_skew_ms),
        stops=tuple(stop_of(entry) for entry in experiment.stop),
        checkpoints=flow.checkpoints,
        parameters={name: one.default or "" for name, one in experiment.parameters.items()},
    )


def _watch(
    experiment: Experiment, fleet: FleetSnapshot, hit: frozenset[str], seed: int
) -> tuple[list[PlannedProbe], list[Finding]]:
    """Every probe, of services and of stop conditions, on hosts that are not hit."""
    planned = [plan_probes(entry, entry.probes, fleet, hit, seed) for entry in experiment.services]
    planned += [
        plan_probes(stop.probe, (stop.probe,), fleet, hit, seed, prefix=STOP_SERVICE)
        for stop in experiment.stop
        if stop.probe is not None
    ]
    probes = [probe for found, _ in planned for probe in found]
    return probes, [finding for _, findings in planned for finding in findings]


def _service(entry: ServiceEntry, fleet: FleetSnapshot) -> Service:
    rto_ms, rpo_ms = entry.objective.rto_ms, entry.objective.rpo_ms
    return Service(
        name=entry.name,
        members=tuple(host.name for host in matching(entry.members, fleet)),
        depends_on=entry.depends_on,
        rto_s=None if rto_ms is None else rto_ms / 1000,
        rpo_s=None if rpo_ms is None else rpo_ms / 1000,
    )
