"""network.delay, reorder, corrupt and bandwidth: packets wait in the kernel until a worker lets them go.

The kernel hands packets over only while the gate is open, so that they flow as before at the lease, whatever
has become of the worker. A worker that is gone holds nothing up; one that is frozen does, until the lease.
No qdisc is touched, so nobody's traffic control can be in the way, and several of these add up.
"""

from __future__ import annotations

import contextlib
import time
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from blackstart_proto.v1 import faults_pb2 as pb

from blackstart_agent.errors import HostError, InvalidOrder
from blackstart_agent.faults import cut, gate
from blackstart_agent.faults.base import NOTHING_HELD, Held, Json, Surroundings, Undo, word
from blackstart_agent.faults.load import by_hand, parameters_of
from blackstart_agent.faults.packets import OnAnybody, checked_share, direction_of, protocol_of
from blackstart_agent.faults.undo import flag, number, text
from blackstart_agent.host.ports import Host

MAX_DELAY_MS = 60_000
MIN_BITS_PER_S = 8_000
MAX_BITS_PER_S = 100_000_000_000
LATEST_MS = 1_000  # so long a packet may wait for its turn when there is too little bandwidth
FIRST_QUEUE, QUEUES = 2_048, 60_000
SPARE_MS = 500  # a worker outlives its lease by so much more than the longest wait of a packet
POLL_S = 0.01


@dataclass(frozen=True, slots=True)
class Shaped(OnAnybody):
    """What a worker does with packets; `load` is its name there."""

    load: ClassVar[str] = "shape"

    @classmethod
    def try_out(cls, host: Host) -> None:
        gate.try_out(host)
        host.queues.check()
        host.workers.check()

    @abstractmethod
    def parameters(self) -> dict[str, int | str]:
        """What the worker does with a packet; times in microseconds, shares of 100,000."""

    @property
    @abstractmethod
    def longest_ms(self) -> int:
        """How long a packet may wait."""

    def table(self, made: cut.Cut, host: Host) -> tuple[str, str]:
        return "inet", cut.queue_table(made, queue_of(made.table), by_mark=host.queues.by_mark())

    def more(self, made: cut.Cut, host: Host, around: Surroundings) -> dict[str, Json]:
        queue = queue_of(made.table)
        return {
            "order": around.order_id,
            "parameters": {"queue": queue, **self.parameters()},
            "queue": queue,
            "by_mark": host.queues.by_mark(),
            "longest_ms": self.longest_ms,
        }

    def by_hand(self, host: Host, undo: Undo) -> tuple[str, ...]:
        led = host.queues.manual(number(undo, "queue")) if flag(undo, "by_mark") else ()
        return (*led, by_hand(text(undo, "order")))

    @classmethod
    def claims(cls, undo: Undo) -> Held:
        """A packet has one mark: where it leads to a queue, two orders would take each other's packets."""
        return frozenset({"the marks of packets"}) if flag(undo, "by_mark") else NOTHING_HELD

    @classmethod
    def stage(cls, host: Host, undo: Undo) -> None:
        host.workers.start(text(undo, "order"), cls.load, parameters_of(undo))
        if flag(undo, "by_mark"):
            host.queues.lead(number(undo, "queue"))
        gate.stage(host, undo)

    @classmethod
    def fire(cls, host: Host, undo: Undo, deadline_ns: int) -> None:
        gate.open_(host, undo, deadline_ns)
        host.workers.until(text(undo, "order"), deadline_ns + _drained_ns(undo))

    @classmethod
    def unproved(cls, host: Host, undo: Undo) -> Sequence[str]:
        runs = host.workers.status(text(undo, "order")).get("running", 0)
        return [*gate.unproved(host, undo), *([] if runs else ["the worker that holds packets does not run"])]

    @classmethod
    def renew(cls, host: Host, undo: Undo, deadline_ns: int) -> None:
        gate.renew(host, undo, deadline_ns)
        host.workers.until(text(undo, "order"), deadline_ns + _drained_ns(undo))

    @classmethod
    def revert(cls, host: Host, undo: Undo, kept: Held) -> None:
        """Nothing more is held up; what waits already goes when it is due, as on the path that it was.

        The table goes last: with a hook, the kernel throws away every packet that waits in any queue.
        """
        gate.close(host, undo)
        _drain(host, undo)
        gate.remove(host, undo)
        if flag(undo, "by_mark"):
            host.queues.unlead(number(undo, "queue"))
        host.workers.end(text(undo, "order"))

    @classmethod
    def leftovers(cls, host: Host, undo: Undo, kept: Held) -> Sequence[str]:
        workers = host.workers.found(text(undo, "order"))
        led = flag(undo, "by_mark") and host.queues.led(number(undo, "queue"))
        return [
            *gate.leftovers(host, undo),
            *(f"{process.name}[{process.pid}] that held packets still runs" for process in workers),
            *([f"a rule of iptables leads to queue {number(undo, 'queue')}"] if led else []),
        ]


def _drain(host: Host, undo: Undo) -> None:
    """Until nothing waits any more, or for as long as a packet may wait. Who is frozen lets nothing go."""
    until = time.monotonic() + _drained_ns(undo) / 1e9
    with contextlib.suppress(HostError):
        while host.workers.status(text(undo, "order")).get("held", 0) and time.monotonic() < until:
            time.sleep(POLL_S)


def queue_of(table: str) -> int:
    """A number for each order, as good as unique: a queue that is taken is an error of staging."""
    return FIRST_QUEUE + int(table.removeprefix("blackstart_")[:12], 16) % QUEUES


def _drained_ns(undo: Undo) -> int:
    return (number(undo, "longest_ms") + SPARE_MS) * cut.NANOSECONDS_PER_MS


def check_delay(kind: str, name: str, value: float, low: float) -> None:
    if not low <= value <= MAX_DELAY_MS:
        raise InvalidOrder(f"{kind}: {name} must be {low:g} to {MAX_DELAY_MS}, got {value:g}")


def _common(kind: str, spec: Any) -> dict[str, Any]:
    """Which packets are meant, of any message of this family."""
    return {
        "peers": tuple(spec.peers),
        "ports": tuple(spec.ports),
        "direction": direction_of(kind, spec),
        "all": spec.everybody,
        "protocol": protocol_of(kind, spec),
    }


@dataclass(frozen=True, slots=True)
class NetworkDelay(Shaped):
    """Packets arrive `delay_ms` (0.1 to 60,000) later, more or less by `jitter_ms`; in each direction.

    `distribution`: uniform within the jitter, normal with the jitter as its deviation, or pareto: never
    earlier than the delay, and later by the jitter on average. With jitter, packets may overtake each other.
    """

    kind: ClassVar[str] = "network.delay"
    delay_ms: float = 0.0
    jitter_ms: float = 0.0
    distribution: str = "uniform"

    def __post_init__(self) -> None:
        OnAnybody.__post_init__(self)
        check_delay(self.kind, "delay_ms", self.delay_ms, 0.1)
        check_delay(self.kind, "jitter_ms", self.jitter_ms, 0.0)

    @classmethod
    def of(cls, spec: pb.NetworkDelay) -> Self:
        distribution = word(cls.kind, spec, "distribution") or "uniform"
        later = {**_common(cls.kind, spec), "delay_ms": spec.delay_ms, "jitter_ms": spec.jitter_ms}
        return cls(**later, distribution=distribution)

    @property
    def longest_ms(self) -> int:
        return round(self.delay_ms + 10 * self.jitter_ms) + 1  # what would wait longer goes then

    @property
    def effect(self) -> str:
        jitter = f" ± {self.jitter_ms:g} ms ({self.distribution})" if self.jitter_ms else ""
        return f"{self.delay_ms:g} ms{jitter} later"

    def parameters(self) -> dict[str, int | str]:
        return {
            "delay_us": round(self.delay_ms * 1000),
            "jitter_us": round(self.jitter_ms * 1000),
            "distribution": self.distribution,
        }


@dataclass(frozen=True, slots=True)
class NetworkReorder(Shaped):
    """`percent` (0.001 to 100) of the packets overtake the others, which wait for `delay_ms`."""

    kind: ClassVar[str] = "network.reorder"
    percent: float = 0.0
    delay_ms: float = 0.0

    def __post_init__(self) -> None:
        OnAnybody.__post_init__(self)
        checked_share(self.kind, self.percent)
        check_delay(self.kind, "delay_ms", self.delay_ms, 0.1)

    @classmethod
    def of(cls, spec: pb.NetworkReorder) -> Self:
        return cls(**_common(cls.kind, spec), percent=spec.percent, delay_ms=spec.delay_ms)

    @property
    def longest_ms(self) -> int:
        return round(self.delay_ms) + 1

    @property
    def effect(self) -> str:
        return f"{self.percent:g} % overtake the others, which wait for {self.delay_ms:g} ms,"

    def parameters(self) -> dict[str, int | str]:
        early = checked_share(self.kind, self.percent)
        return {"delay_us": round(self.delay_ms * 1000), "early": early}


@dataclass(frozen=True, slots=True)
class NetworkCorrupt(Shaped):
    """One bit behind the IP header is flipped in `percent` (0.001 to 100) of the packets.

    No checksum is mended, as on a bad line: the receiver throws the packet away, or is fooled.
    """

    kind: ClassVar[str] = "network.corrupt"
    percent: float = 0.0

    def __post_init__(self) -> None:
        OnAnybody.__post_init__(self)
        checked_share(self.kind, self.percent)

    @classmethod
    def of(cls, spec: pb.NetworkCorrupt) -> Self:
        return cls(**_common(cls.kind, spec), percent=spec.percent)

    @property
    def longest_ms(self) -> int:
        return 1

    @property
    def effect(self) -> str:
        return f"{self.percent:g} % have a bit flipped,"

    def parameters(self) -> dict[str, int | str]:
        return {"corrupt": checked_share(self.kind, self.percent)}


@dataclass(frozen=True, slots=True)
class NetworkBandwidth(Shaped):
    """All these packets of one direction together get `bits_per_s` (8,000 to 100,000,000,000).

    Bits of IP packets are counted, headers included. What would have to wait for over a second is lost.
    """

    kind: ClassVar[str] = "network.bandwidth"
    bits_per_s: int = 0

    def __post_init__(self) -> None:
        OnAnybody.__post_init__(self)
        if not MIN_BITS_PER_S <= self.bits_per_s <= MAX_BITS_PER_S:
            raise InvalidOrder(
                f"{self.kind}: bits_per_s must be {MIN_BITS_PER_S} to {MAX_BITS_PER_S}, got {self.bits_per_s}"
            )

    @classmethod
    def of(cls, spec: pb.NetworkBandwidth) -> Self:
        return cls(**_common(cls.kind, spec), bits_per_s=spec.bits_per_s)

    @property
    def longest_ms(self) -> int:
        return LATEST_MS

    @property
    def effect(self) -> str:
        return f"at most {self.bits_per_s / 1e6:g} Mbit/s together"

    def parameters(self) -> dict[str, int | str]:
        return {"bits_per_s": self.bits_per_s, "latest_us": LATEST_MS * 1000}
