"""What faults have in common whose effect is a load that a worker process makes."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import ClassVar

from blackstart_agent.errors import HostError
from blackstart_agent.faults.base import Fault, Held, Hit, Json, Prepared, Rung, Surroundings, Undo
from blackstart_agent.faults.undo import text
from blackstart_agent.host.ports import Host

ENOUGH = 0.98  # of the bytes that were asked for: pages and blocks are counted
LOAD_TIMEOUT_S = 30.0
POLL_S = 0.02
MIB = 1 << 20


class Load(Fault):
    """What every load does: its worker is ready before T0, and ends at the deadline by itself."""

    rung: ClassVar[Rung] = "worker"

    @classmethod
    def try_out(cls, host: Host) -> None:
        host.workers.check()

    @classmethod
    def stage(cls, host: Host, undo: Undo) -> None:
        host.workers.start(text(undo, "order"), text(undo, "load"), parameters_of(undo))

    @classmethod
    def fire(cls, host: Host, undo: Undo, deadline_ns: int) -> None:
        host.workers.until(text(undo, "order"), deadline_ns)

    @classmethod
    def finish(cls, host: Host, undo: Undo) -> None:
        """Waits until the whole load is there; what is missing then, `unproved` says."""
        until = time.monotonic() + LOAD_TIMEOUT_S
        while cls.unproved(host, undo) and host.workers.found(text(undo, "order")):
            if time.monotonic() >= until or cls._rests(host, undo):
                return
            time.sleep(POLL_S)

    @classmethod
    def _rests(cls, host: Host, undo: Undo) -> bool:
        """Whether nothing more is to be expected."""
        before = dict(host.workers.status(text(undo, "order")))
        time.sleep(POLL_S * 10)
        return dict(host.workers.status(text(undo, "order"))) == before

    @classmethod
    def renew(cls, host: Host, undo: Undo, deadline_ns: int) -> None:
        host.workers.until(text(undo, "order"), deadline_ns)

    @classmethod
    def revert(cls, host: Host, undo: Undo, kept: Held) -> None:
        host.workers.end(text(undo, "order"))

    @classmethod
    def leftovers(cls, host: Host, undo: Undo, kept: Held) -> Sequence[str]:
        found = host.workers.found(text(undo, "order"))
        return [f"{process.name}[{process.pid}] of {text(undo, 'load')} still runs" for process in found]


def prepared(
    load: str, target: str, effect: str, around: Surroundings, parameters: Mapping[str, int | str]
) -> Prepared:
    """What its worker needs to know, and how the worker is ended by hand."""
    undo = undo_of(load, around, parameters)
    return Prepared((Hit(load, target, effect),), undo, (by_hand(around.order_id),))


def undo_of(load: str, around: Surroundings, parameters: Mapping[str, int | str]) -> dict[str, Json]:
    """The part of an undo record that the steps of `Load` read."""
    return {"order": around.order_id, "load": load, "parameters": dict(parameters)}


def by_hand(order_id: str) -> str:
    """The shell command that ends an order's worker."""
    return f"kill -9 $(grep -lsz BLACKSTART_ORDER={order_id} /proc/[0-9]*/environ | cut -d/ -f3)"


def parameters_of(undo: Undo) -> dict[str, int | str]:
    found = undo.get("parameters")
    if not isinstance(found, Mapping) or not all(isinstance(value, int | str) for value in found.values()):
        raise HostError(f"undo record: parameters must be numbers and texts, got {found!r}")
    return {key: value for key, value in found.items() if isinstance(value, int | str)}


def count_of(undo: Undo, key: str) -> int:
    """A parameter that is a whole number."""
    value = parameters_of(undo).get(key)
    if not isinstance(value, int):
        raise HostError(f"undo record: {key} must be a whole number, got {value!r}")
    return value


def mib(count: int) -> str:
    return f"{count // MIB} MiB"
