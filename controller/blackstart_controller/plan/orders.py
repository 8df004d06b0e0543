"""Steps become orders: one fault for one host, with everything that the agent needs to know."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Final

from blackstart_controller.errors import Refused
from blackstart_controller.plan.faults import fault_of
from blackstart_controller.plan.fleet import FleetSnapshot, HostView
from blackstart_controller.plan.model import HostOrder, Mode
from blackstart_controller.plan.unroll import Timed
from blackstart_controller.spec.experiment import Experiment

MAX_ORDERS: Final = 100_000


def make_orders(
    experiment: Experiment,
    faults: Sequence[Timed],
    targets: Sequence[tuple[HostView, ...]],
    fleet: FleetSnapshot,
    ids: Callable[[], str],
    seed: int,
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
            fault=fault.for_host(host, _seed(seed, timed.number, host.name)),
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


def _seed(seed: int, number: int, host: str) -> int:
    """Return what decides which processes of one host are hit: different on each, and the same every time."""
    return random.Random(f"{seed}/{number}/{host}").getrandbits(32)  # noqa: S311 - must be repeatable
