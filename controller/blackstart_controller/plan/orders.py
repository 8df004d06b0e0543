"""Steps become orders: one fault for one host, with everything that the agent needs to know."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from blackstart_controller.plan.model import (
    FaultSpec,
    FleetSnapshot,
    HostBlackout,
    HostOrder,
    HostView,
    Mode,
    NetworkPartition,
    ProcessKill,
    ProcessPause,
    ProcessSelector,
    UnitStop,
)
from blackstart_controller.plan.peers import peer_networks, without_own
from blackstart_controller.spec import experiment as spec


def make_orders(
    experiment: spec.Experiment,
    targets: tuple[tuple[HostView, ...], ...],
    fleet: FleetSnapshot,
    ids: Callable[[], str],
) -> tuple[HostOrder, ...]:
    """Return one order per step and target, in the document's order, each with its own id."""
    mode = Mode(experiment.mode)
    faults = [fault_of(step, fleet) for step in experiment.steps]
    return tuple(
        HostOrder(
            id=ids(),
            host=host.name,
            step=number,
            fault=_for_host(faults[number], host),
            mode=mode,
            at_s=step.at_ms / 1000,
            hold_s=step.hold_ms / 1000,
            lease_s=(experiment.lease_ms if mode is Mode.TETHERED else step.hold_ms) / 1000,
        )
        for number, step in enumerate(experiment.steps)
        for host in targets[number]
    )


def fault_of(step: spec.Step, fleet: FleetSnapshot) -> FaultSpec:
    """Return the fault of `step`: no selectors of peers are left in it."""
    match step:
        case spec.SiteBlackout() | spec.HostBlackout():
            return HostBlackout(step.units)
        case spec.Partition():
            peers = peer_networks(step.peers, fleet)
            return NetworkPartition(peers, step.ports, step.direction, step.verdict)
        case spec.KillProcess():
            return ProcessKill(_processes(step))
        case spec.PauseProcess():
            return ProcessPause(_processes(step))
        case spec.StopUnits():
            return UnitStop(step.units)


def _for_host(fault: FaultSpec, host: HostView) -> FaultSpec:
    if isinstance(fault, NetworkPartition):
        return replace(fault, peers=without_own(fault.peers, host))
    return fault


def _processes(step: spec.OfProcess) -> ProcessSelector:
    return ProcessSelector(step.unit or "", step.executable or "", step.name or "")
