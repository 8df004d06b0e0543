"""Packets wait in a queue of the kernel until they are due: late, in another order, slow, or corrupt."""

from __future__ import annotations

import heapq
import mmap
import random
import select
import struct
import time
from dataclasses import dataclass, field
from typing import Protocol

from blackstart_agent.worker import nfqueue
from blackstart_agent.worker.children import Children, sharpen

WHOLE = 100_000
SPIN_S = 0.001  # before a packet is due: epoll counts in milliseconds, select in microseconds
IDLE_S = 1.0
BATCH = 100
MAX_JITTERS = 10
IP6_HEADER = 40
_COUNT = struct.Struct("q")


@dataclass(frozen=True, slots=True)
class Judgement:
    """When a packet goes on, in seconds of CLOCK_MONOTONIC (None: never), and as what, if not as it is."""

    due: float | None
    payload: bytes = b""


class Judge(Protocol):
    @property
    def copy(self) -> int: ...

    def judge(self, packet: nfqueue.Packet, now: float) -> Judgement: ...


@dataclass(slots=True)
class Rules:
    """What becomes of a packet. Times in microseconds, shares of 100,000; 0: nothing of the sort."""

    delay_us: int = 0
    jitter_us: int = 0
    distribution: str = "uniform"
    early: int = 0  # so many do not wait
    corrupt: int = 0
    bits_per_s: int = 0
    latest_us: int = 0  # who would wait longer for bandwidth is lost
    chance: random.Random = field(default_factory=random.Random)
    _free_at: dict[int, float] = field(default_factory=dict)  # by hook, when its line is free again

    def due(self, now: float, hook: int, size: int) -> float | None:
        """When a packet that came now may go on, in seconds of the same clock; None: never."""
        if self.bits_per_s:
            begin = max(now, self._free_at.get(hook, 0.0))
            if begin - now > self.latest_us / 1e6:
                return None
            self._free_at[hook] = now = begin + size * 8 / self.bits_per_s
        if self.early and self.hit(self.early):
            return now
        return now + max(0.0, self.delay_us + self._jitter()) / 1e6

    @property
    def copy(self) -> int:
        """How many bytes of a packet must be looked at; 1: its size is enough."""
        return 0xFFFF if self.corrupt else 1 if self.bits_per_s else 0

    def judge(self, packet: nfqueue.Packet, now: float) -> Judgement:
        due = self.due(now, packet.hook, packet.size)
        corrupt = self.corrupt and self.hit(self.corrupt)
        return Judgement(due, flipped(packet.payload, self.chance) if corrupt else b"")

    def hit(self, share: int) -> bool:
        return self.chance.randrange(WHOLE) < share

    def _jitter(self) -> float:
        if not self.jitter_us:
            return 0.0
        if self.distribution == "normal":
            drawn = self.chance.gauss(0, self.jitter_us)
        elif self.distribution == "pareto":  # with shape 3 its mean is 1.5, so that this one's is the jitter
            drawn = (self.chance.paretovariate(3) - 1) * 2 * self.jitter_us
        else:
            drawn = self.chance.uniform(-self.jitter_us, self.jitter_us)
        return min(drawn, MAX_JITTERS * self.jitter_us)


def flipped(packet: bytes, chance: random.Random) -> bytes:
    """The packet with one bit flipped somewhere behind its IP header; an empty one as it is."""
    header = (packet[0] & 15) * 4 if packet[0] >> 4 == 4 else IP6_HEADER
    if len(packet) <= header:
        return packet
    changed = bytearray(packet)
    changed[chance.randrange(header, len(packet))] ^= 1 << chance.randrange(8)
    return bytes(changed)


class Shape:
    """Raises OSError when the queue cannot be had."""

    def __init__(self, queue: int, rules: Judge) -> None:
        self._rules = rules
        self._number = queue
        self._queue = nfqueue.Queue(queue, rules.copy)
        self._shared = mmap.mmap(-1, _COUNT.size)  # with the child
        self._waiting: list[tuple[float, int, int]] = []
        self._packets = 0

    def begin(self, children: Children) -> None:
        """The child alone has the queue then: with its end the queue is gone, and packets pass."""
        children.start(self._run)
        self._queue.close()

    def status(self, children: Children) -> dict[str, int]:
        """`held`: what the kernel keeps for us, whether we have looked at it yet or not."""
        (packets,) = _COUNT.unpack_from(self._shared)
        held = nfqueue.waiting(self._number)
        return {"running": children.running(), "packets": packets, "held": held}

    def _run(self) -> None:
        sharpen()
        poll = select.epoll()
        poll.register(self._queue.fileno(), select.EPOLLIN)
        while True:
            self._sleep(poll)
            for packet in self._queue.packets():
                self._take(packet)
            self._let_go(time.monotonic())
            _COUNT.pack_into(self._shared, 0, self._packets)

    def _sleep(self, poll: select.epoll) -> None:
        left_s = self._waiting[0][0] - time.monotonic() if self._waiting else IDLE_S
        if left_s > 2 * SPIN_S:
            poll.poll(left_s - SPIN_S)
        elif left_s > 0:
            select.select([self._queue], [], [], left_s)

    def _take(self, packet: nfqueue.Packet) -> None:
        self._packets += 1
        now = time.monotonic()
        judged = self._rules.judge(packet, now)
        if judged.due is None:
            self._queue.decide(packet.id, nfqueue.DROP)
        elif judged.due <= now or judged.payload:
            self._queue.decide(packet.id, nfqueue.ACCEPT, judged.payload)
        else:
            heapq.heappush(self._waiting, (judged.due, self._packets, packet.id))

    def _let_go(self, now: float) -> None:
        due: list[int] = []
        while self._waiting and self._waiting[0][0] <= now:
            due.append(heapq.heappop(self._waiting)[2])
        for start in range(0, len(due), BATCH):
            self._queue.release(due[start : start + BATCH])
