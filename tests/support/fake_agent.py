"""An agent without a kernel: leases, journal, spool and probes as the real one's, on the loop's time."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from blackstart_controller.plan.model import HostOrder, Mode, PlannedProbe
from blackstart_proto.v1 import agent_pb2, faults_pb2

GRACE_S = 1.0
MIN_ARM_LEASE_S, MAX_ARM_LEASE_S = 2.0, 15.0
BATCH_S = 0.2


@dataclass(slots=True)
class Held:
    """An order on a host."""

    order: HostOrder
    run_id: str
    state: agent_pb2.FaultState.ValueType = agent_pb2.FAULT_STATE_ARMED
    fires_s: float | None = None
    lease_s: float = 0.0  # when it ends by itself, loop time
    timers: list[asyncio.TimerHandle] = field(default_factory=list)

    def reverting(self) -> bool:
        return self.state == agent_pb2.FAULT_STATE_REVERTING


class FakeAgent:
    """`offset_s`: the host's monotonic clock minus the loop's."""

    def __init__(self, name: str, site: str = "site", *, offset_s: float = 0.0, **labels: str) -> None:
        self.name = name
        self.site = site
        self.labels = {"host": name, "site": site, **labels}
        self.offset_s = offset_s
        self.boot_id = f"boot-of-{name}"
        self.orders: dict[str, Held] = {}
        self.history: list[tuple[float, str, str]] = []  # (loop time, what, order)
        self.events: dict[int, agent_pb2.HostEvent] = {}  # spooled, not acknowledged
        self.batches: dict[int, agent_pb2.SampleBatch] = {}
        self.refuses: tuple[str, ...] = ()
        self.refuses_arm: tuple[str, ...] = ()
        self.never_reverts = False
        self.never_fires = False
        self.not_proved = ""
        self.revert_s = 0.05
        self.told: Callable[[], None] = lambda: None  # something is in the spool
        self.up: Callable[[PlannedProbe], bool] = lambda _probe: True
        self._event_seq = 0
        self._batch_seq = 0
        self._probes: dict[str, asyncio.Task[None]] = {}

    # ---- time ----

    def now_s(self) -> float:
        return asyncio.get_running_loop().time()

    def host_ns(self, loop_s: float) -> int:
        return round((loop_s + self.offset_s) * 1e9)

    # ---- orders ----

    def resolve(self, order: HostOrder) -> faults_pb2.Resolution:
        hit = faults_pb2.Hit(what="process", target=f"{order.fault.kind} on {self.name}", effect="hit")
        return faults_pb2.Resolution(order_id=order.id, hits=[hit], refusals=self.refuses)

    def arm(self, run_id: str, order: HostOrder) -> faults_pb2.Resolution:
        resolution = self.resolve(order)
        resolution.refusals.extend(self.refuses_arm)
        if not resolution.refusals and order.id not in self.orders:
            held = self.orders[order.id] = Held(order, run_id)
            self._lease(held, self.now_s() + _arm_lease_s(order))
            self._tell(order.id, agent_pb2.EVENT_KIND_ARMED)
        return resolution

    def inject(self, order_ids: Sequence[str], at_mono_ns: int) -> None:
        for order_id in order_ids:
            held = self.orders.get(order_id)
            if held is None or held.state != agent_pb2.FAULT_STATE_ARMED or held.fires_s is not None:
                continue  # a duplicate, or it was taken away meanwhile
            held.fires_s = at_mono_ns / 1e9 - self.offset_s
            if not self.never_fires:
                self._at(held, held.fires_s, partial(self._fire, order_id))

    def renew(self, order_ids: Sequence[str], lease_ms: int) -> None:
        for order_id in order_ids:
            held = self.orders.get(order_id)
            if held is None or held.state == agent_pb2.FAULT_STATE_REVERTING:
                continue
            armed = held.state == agent_pb2.FAULT_STATE_ARMED
            if held.order.mode == Mode.TETHERED or armed:
                self._lease(held, self.now_s() + (_arm_lease_s(held.order) if armed else lease_ms / 1000))

    def revert(self, order_ids: Sequence[str], reason: str) -> None:
        for order_id in order_ids:
            self._revert(order_id, reason)

    def revert_all(self, reason: str) -> None:
        self.revert(list(self.orders), reason)

    def stream_lost(self) -> None:
        """Tethered faults end after the grace unless the stream is back."""
        for held in self.orders.values():
            armed = held.state == agent_pb2.FAULT_STATE_ARMED
            if held.order.mode == Mode.TETHERED or armed:
                self._lease(held, min(held.lease_s, self.now_s() + GRACE_S))

    def open_faults(self) -> list[agent_pb2.OpenFault]:
        return [
            agent_pb2.OpenFault(
                order_id=order_id, run_id=held.run_id, kind=held.order.fault.kind, state=held.state
            )
            for order_id, held in self.orders.items()
        ]

    def active(self) -> list[Held]:
        """Faults that are in effect at this moment."""
        broken = (agent_pb2.FAULT_STATE_INJECTED, agent_pb2.FAULT_STATE_REVERTING)
        return [held for held in self.orders.values() if held.state in broken]

    def crash(self) -> None:
        """Guardian and link die; the sentry reverts everything, and a new agent finds only its spool."""
        self.stop_all_probes()
        for order_id in list(self.orders):
            self._revert(order_id, "guardian died")

    def _fire(self, order_id: str) -> None:
        held = self.orders[order_id]
        held.state = agent_pb2.FAULT_STATE_INJECTED
        now_s = self.now_s()
        self.history.append((now_s, "injected", order_id))
        self._tell(order_id, agent_pb2.EVENT_KIND_INJECTED, first_s=now_s - 0.0001, last_s=now_s)
        kind = agent_pb2.EVENT_KIND_NOT_PROVED if self.not_proved else agent_pb2.EVENT_KIND_PROVED
        self._tell(order_id, kind, detail=self.not_proved)
        hold_end_s = now_s + held.order.hold_s
        self._at(held, hold_end_s, lambda: self._revert(order_id, "expired"))
        self._lease(
            held, now_s + (held.order.lease_s if held.order.mode == Mode.TETHERED else held.order.hold_s)
        )

    def _lease(self, held: Held, until_s: float) -> None:
        held.lease_s = until_s
        self._at(held, until_s, lambda: self._expire(held, until_s))

    def _expire(self, held: Held, until_s: float) -> None:
        if held.lease_s == until_s and (held.fires_s is None or self.now_s() >= held.fires_s):
            self._revert(held.order.id, "lease expired")

    def _revert(self, order_id: str, reason: str) -> None:
        held = self.orders.get(order_id)
        if held is None or held.state == agent_pb2.FAULT_STATE_REVERTING:
            return
        for timer in held.timers:
            timer.cancel()
        if held.state == agent_pb2.FAULT_STATE_ARMED:
            del self.orders[order_id]
            self._tell(order_id, agent_pb2.EVENT_KIND_DISARMED, detail=reason, run_id=held.run_id)
            return
        held.state = agent_pb2.FAULT_STATE_REVERTING
        self._tell(order_id, agent_pb2.EVENT_KIND_REVERTING, detail=reason)
        if self.never_reverts:
            self._tell(order_id, agent_pb2.EVENT_KIND_REVERT_FAILED, detail="still there")
        else:
            self._at(held, self.now_s() + self.revert_s, lambda: self._reverted(order_id))

    def mend(self) -> None:
        """A host that could not revert now can."""
        self.never_reverts = False
        for order_id, held in list(self.orders.items()):
            if held.state == agent_pb2.FAULT_STATE_REVERTING:
                self._reverted(order_id)

    def _reverted(self, order_id: str) -> None:
        held = self.orders.pop(order_id, None)
        if held is not None:
            self.history.append((self.now_s(), "reverted", order_id))
            self._tell(order_id, agent_pb2.EVENT_KIND_REVERTED, run_id=held.run_id)

    def _at(self, held: Held, moment_s: float, work: Callable[[], None]) -> None:
        held.timers.append(asyncio.get_running_loop().call_at(moment_s, work))

    def _tell(
        self,
        order_id: str,
        kind: agent_pb2.EventKind.ValueType,
        *,
        detail: str = "",
        first_s: float = 0.0,
        last_s: float = 0.0,
        run_id: str = "",
    ) -> None:
        self._event_seq += 1
        held = self.orders.get(order_id)
        self.events[self._event_seq] = agent_pb2.HostEvent(
            spool=f"events-of-{self.name}",
            seq=self._event_seq,
            boot_id=self.boot_id,
            mono_ns=self.host_ns(self.now_s()),
            kind=kind,
            order_id=order_id,
            run_id=run_id or (held.run_id if held else ""),
            fault_kind=held.order.fault.kind if held else "",
            detail=detail,
            first_ns=self.host_ns(first_s) if first_s else 0,
            last_ns=self.host_ns(last_s) if last_s else 0,
        )
        self.told()

    # ---- probes ----

    def start_probes(self, run_id: str, probes: Sequence[PlannedProbe]) -> None:
        if run_id not in self._probes:
            self._probes[run_id] = asyncio.create_task(self._probe(run_id, list(probes)))

    def stop_probes(self, run_id: str) -> None:
        if (task := self._probes.pop(run_id, None)) is not None:
            task.cancel()

    def probing(self) -> bool:
        return bool(self._probes)

    def stop_all_probes(self) -> None:
        for run_id in list(self._probes):
            self.stop_probes(run_id)

    async def _probe(self, run_id: str, probes: Sequence[PlannedProbe]) -> None:
        started_s = self.now_s()
        samples: list[agent_pb2.Sample] = []
        due = [(started_s, 0, index) for index in range(len(probes))]
        sent_s = started_s
        try:
            while True:
                due_s, k, index = heapq.heappop(due)
                await asyncio.sleep(due_s - self.now_s())
                probe = probes[index]
                samples.append(self._sample(probe, k, due_s))
                heapq.heappush(due, (started_s + (k + 1) * probe.every_ms / 1000, k + 1, index))
                if self.now_s() - sent_s >= BATCH_S:
                    self._spool_samples(run_id, samples)
                    samples, sent_s = [], self.now_s()
        finally:
            self._spool_samples(run_id, samples)

    def _sample(self, probe: PlannedProbe, k: int, due_s: float) -> agent_pb2.Sample:
        ok = self.up(probe)
        return agent_pb2.Sample(
            probe_id=probe.id,
            k=k,
            due_ns=self.host_ns(due_s),
            started_ns=self.host_ns(due_s) + 10_000,
            ended_ns=self.host_ns(due_s) + 1_010_000,
            outcome=agent_pb2.OUTCOME_OK if ok else agent_pb2.OUTCOME_FAIL,
            detail="" if ok else "refused",
        )

    def _spool_samples(self, run_id: str, samples: Sequence[agent_pb2.Sample]) -> None:
        if samples:
            self._batch_seq += 1
            self.batches[self._batch_seq] = agent_pb2.SampleBatch(
                spool=f"samples-of-{self.name}",
                seq=self._batch_seq,
                boot_id=self.boot_id,
                run_id=run_id,
                samples=samples,
            )
            self.told()


def _arm_lease_s(order: HostOrder) -> float:
    return min(max(order.lease_s, MIN_ARM_LEASE_S), MAX_ARM_LEASE_S)
