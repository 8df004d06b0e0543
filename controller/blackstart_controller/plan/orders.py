"""Steps become orders: one fault for one host, with everything that the agent needs to know."""

from __future__ import annotations

from collections.abc import Callable

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
from blackstart_controller.plan.peers import peer_networks
from blackstart_controller.spec import experiment as spec


def make_orders(
    experiment: spec.Experiment,
    targets: tuple[tuple[HostView, ...], ...],
    fleet: FleetSnapshot,
    ids: Callable[[], str],
) -> tuple[HostOrder, ...]:
    """Return one order per step and target, in the document's order, each with its own id."""
    mode = Mode(experiment.mode)
    return tuple(
        HostOrder(
            id=ids(),
            host=host.name,
            step=number,
            fault=fault_of(step, host, fleet),
            mode=mode,
            at_s=step.at_ms / 1000,
            hold_s=step.hold_ms / 1000,
            lease_s=(experiment.lease_ms if mode is Mode.TETHERED else step.hold_ms) / 1000,
        )
        for number, step in enumerate(experiment.steps)
        for host in targets[number]
    )


def fault_of(step: spec.Step, host: HostView, fleet: FleetSnapshot) -> FaultSpec:
    """Return the fault of `step` as it is for `host`: no selectors are left in it."""
    match step:
        case spec.SiteBlackout() | spec.HostBlackout():
            return HostBlackout(step.units)
        case spec.Partition():
            peers = peer_networks(step.peers, host, fleet)
            return NetworkPartition(peers, step.ports, step.direction, step.verdict)
        case spec.KillProcess():
            return ProcessKill(_processes(step))
        case spec.PauseProcess():
            return ProcessPause(_processes(step))
        case spec.StopUnits():
            return UnitStop(step.units)


def _processes(step: spec.OfProcess) -> ProcessSelector:
    return ProcessSelector(step.unit or "", step.executable or "", step.name or "")
