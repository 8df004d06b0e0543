"""What a fault is: frozen, checked data that says what it would hit, and functions of its undo record alone.

The life of one order, as the guardian's engine drives it:

1. `prepare` reads the host and answers with hits and an undo record, or raises Refused with every reason.
   Nothing is touched: `plan` calls only this.
2. The undo record is fsynced in the journal. From here on a crash is cleaned up.
3. `stage` makes everything ready that has no effect yet (a table whose gate is closed).
4. `fire` at T0, on the firing thread: the shortest possible way to the effect. Returns at once.
5. `finish`, on a worker thread: the rest, and the wait until the last action is confirmed.
6. `unproved` looks from inside whether the fault is in effect.
7. `renew` moves the deadline that the kernel enforces (only faults that have one).
8. `revert` takes everything back; it is idempotent and removes only what we added, from a fault that is
   applied, half applied or was never applied. `leftovers` looks whether anything is still there.

Everything after `prepare` is a classmethod of the undo record, because after a crash that is all there is.
Times are nanoseconds of this host's CLOCK_MONOTONIC.

Faults share a host. What several may do to the same thing at once (stop a process, hold a unit) is a hold:
whoever reverts leaves alone what another still holds, and the last one lets go. What only one may do at a
time (set the clock, replace a qdisc) is a claim: a second order is refused and told of the first.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Self, TypeAlias

from blackstart_agent import __version__
from blackstart_agent.errors import InvalidOrder
from blackstart_agent.host.ports import Host
from blackstart_agent.policy import Volume

Json: TypeAlias = "str | int | float | bool | Sequence[Json] | Mapping[str, Json] | None"
Undo: TypeAlias = Mapping[str, Json]

# What ends a fault by itself: the kernel, with every process of ours dead or frozen; a worker process of
# its own, which has a kernel timer and dies with the guardian; the guardian, its sentry and the journal.
Rung: TypeAlias = Literal["kernel", "worker", "guardian"]
Held: TypeAlias = frozenset[str]

NOTHING_HELD: Held = frozenset()
TABLE_PREFIX = "blackstart_"
NOT_KNOWN = f"not known to this agent {__version__}; upgrade the agent"


@dataclass(frozen=True, slots=True)
class Hit:
    what: str
    target: str
    effect: str


@dataclass(frozen=True, slots=True)
class Prepared:
    """What an order would hit, how it is undone, also by hand, and the rules that the kernel would get."""

    hits: tuple[Hit, ...]
    undo: Undo
    manual: tuple[str, ...] = ()
    rules: str = ""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a fault must leave alone on this host, from policy.toml and the guardian itself."""

    order_id: str
    sealed: bool
    controller: tuple[str, int] | None  # address and port of the control path, kept open unless sealed
    protected_ports: frozenset[int] = frozenset()
    protected_units: frozenset[str] = frozenset()  # shell-style patterns, e.g. "systemd-*"
    protected_names: frozenset[str] = frozenset()  # exact process names
    own_pids: frozenset[int] = frozenset()  # guardian, link, sentry and their supervisors
    volumes: Mapping[str, Volume] = field(default_factory=dict)  # that policy.toml declares for faults
    own_paths: tuple[str, ...] = ()  # directories of ours whose file systems must keep room
    held: Held = NOTHING_HELD  # what other orders hold on this host now

    @property
    def table(self) -> str:
        """The name of the nftables table of this order: our mark, then the order's id."""
        return TABLE_PREFIX + self.order_id.replace("-", "")


def word(kind: str, spec: Any, field: str) -> str:
    """The value of an enum of the contract in small letters, without its prefix; "" when it is not set.

    DIRECTION_BOTH is `both`. A number that came later is refused, never guessed: InvalidOrder.
    """
    number = getattr(spec, field)
    enum = spec.DESCRIPTOR.fields_by_name[field].enum_type
    if number not in enum.values_by_number:
        raise InvalidOrder(f"{kind}: {field} {number}: {NOT_KNOWN}")
    prefix = enum.values_by_number[0].name.removesuffix("UNSPECIFIED")
    return enum.values_by_number[number].name.removeprefix(prefix).lower() if number else ""


class Fault(ABC):
    """One kind: a frozen dataclass. What a kind does not need has a default here that does nothing."""

    kind: ClassVar[str]
    rung: ClassVar[Rung]

    @classmethod
    @abstractmethod
    def of(cls, spec: Any) -> Self:
        """The fault that the message of this kind asks for. Raises InvalidOrder, naming what is wrong."""

    @classmethod
    @abstractmethod
    def try_out(cls, host: Host) -> None:
        """Does what the fault needs of this host, in a way that leaves nothing behind. Raises AgentError."""

    @abstractmethod
    def prepare(self, host: Host, around: Surroundings) -> Prepared: ...

    @classmethod
    def claims(cls, undo: Undo) -> Held:
        """What no other order may change while this one is open: "clock", "qdisc eth0"."""
        return NOTHING_HELD

    @classmethod
    def holds(cls, undo: Undo) -> Held:
        """What other orders may hold as well, named by `unit_hold` and its like in `select`."""
        return NOTHING_HELD

    @classmethod  # noqa: B027 - an option
    def stage(cls, host: Host, undo: Undo) -> None:
        """Makes everything ready that has no effect yet. Most kinds have nothing of the sort."""

    @classmethod
    @abstractmethod
    def fire(cls, host: Host, undo: Undo, deadline_ns: int) -> None: ...

    @classmethod  # noqa: B027 - an option
    def finish(cls, host: Host, undo: Undo) -> None:
        """Does the rest, and waits until the last action is confirmed. Of many kinds, `fire` is all."""

    @classmethod
    @abstractmethod
    def unproved(cls, host: Host, undo: Undo) -> Sequence[str]: ...

    @classmethod  # noqa: B027 - an option
    def renew(cls, host: Host, undo: Undo, deadline_ns: int) -> None:
        """Moves the deadline of the kernel or the worker. Of rung `guardian` there is none to move."""

    @classmethod
    @abstractmethod
    def revert(cls, host: Host, undo: Undo, kept: Held) -> None:
        """Everything is taken back but what another order still holds (`kept`)."""

    @classmethod
    @abstractmethod
    def leftovers(cls, host: Host, undo: Undo, kept: Held) -> Sequence[str]:
        """What of it is still there, but for what another order still holds (`kept`)."""
