"""Steps become orders: one fault for one host, with everything that the agent needs to know."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from blackstart_controller.errors import Refused
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
from blackstart_controller.plan.unroll import Timed
from blackstart_controller.spec import faults as spec
from blackstart_controller.spec.experiment import Experiment

MAX_ORDERS: Final = 100_000


def make_orders(
    experiment: Experiment,
    faults: Sequence[Timed],
    targets: Sequence[tuple[HostView, ...]],
    fleet: FleetSnapshot,
    ids: Callable[[], str],
) -> tuple[HostOrder, ...]:
    """Return one order per fault and target, in the document's order, each with its own id.

    Raises Refused for more than 100,000 orders: no controller could walk such a plan in time.
    """
    total = sum(map(len, targets))
    if total > MAX_ORDERS:
        raise Refused(f"{total} orders would be made; at most {MAX_ORDERS}: hit fewer hosts, or repeat less")
    mode = Mode(experiment.mode)
    return tuple(
        HostOrder(
            id=ids(),
            host=host.name,
            step=timed.number,
            fault=_for_host(fault, host),
            mode=mode,
            at_s=timed.at_ms / 1000,
            hold_s=timed.fault.hold_ms / 1000,
            lease_s=(experiment.lease_ms if mode is Mode.TETHERED else timed.fault.hold_ms) / 1000,
            path=timed.path,
        )
        for timed, hosts in zip(faults, targets, strict=True)
        for fault in (fault_of(timed.fault, fleet),)
        for host in hosts
    )


def fault_of(fault: spec.Breakage, fleet: FleetSnapshot) -> FaultSpec:
    """Return the order's form of `fault`: no selectors of peers are left in it."""
    match fault:
        case spec.SiteBlackout() | spec.Blackout():
            return HostBlackout(fault.units)
        case spec.Cut():
            peers = peer_networks(fault.peers, fleet)
            return NetworkPartition(peers, fault.ports, fault.direction, fault.verdict)
        case spec.Kill():
            return ProcessKill(_processes(fault))
        case spec.Freeze():
            return ProcessPause(_processes(fault))
        case spec.Down():
            return UnitStop(fault.units)


def _for_host(fault: FaultSpec, host: HostView) -> FaultSpec:
    if isinstance(fault, NetworkPartition):
        return replace(fault, peers=without_own(fault.peers, host))
    return fault


def _processes(fault: spec.OfProcess) -> ProcessSelector:
    return ProcessSelector(fault.unit or "", fault.executable or "", fault.name or "")
