"""Every order on this host. One thread calls it; what may take long runs on workers and posts its result."""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterable
from dataclasses import InitVar, dataclass, field

from blackstart_proto.v1 import agent_pb2 as pb
from blackstart_proto.v1 import faults_pb2

from blackstart_agent.faults.base import Held
from blackstart_agent.guardian import leases, orders
from blackstart_agent.guardian.chronicle import Chronicle
from blackstart_agent.guardian.course import Course
from blackstart_agent.guardian.firing import Schedule
from blackstart_agent.guardian.journal import Entry
from blackstart_agent.guardian.leases import Lease
from blackstart_agent.guardian.life import LEASED, STATES, Life, Phase
from blackstart_agent.guardian.steps import Examined, Others, Steps
from blackstart_agent.guardian.workers import Worker

MAX_ENDED = 10_000
MAX_LIVES = 1_000  # whoever asks: each has two threads
MAX_QUESTIONS = 100  # resolves that wait for their answer
MAX_NOT_ARMED = 200  # so many events about injects of orders that are not armed, in a window of
NOT_ARMED_WINDOW_NS = 10_000_000_000


@dataclass(slots=True)
class Engine:
    """`wake` makes the engine's thread call `run_posted` soon; it is called on any thread."""

    host_name: str
    steps: Steps
    chronicle: Chronicle
    schedule: InitVar[Schedule]
    open_worker: Callable[[str], Worker]
    answer: Callable[[pb.Answer], None]
    wake: Callable[[], None]
    grace_ms: int
    _lives: dict[str, Life] = field(default_factory=dict)
    _ended: dict[str, None] = field(default_factory=dict)
    _posted: queue.SimpleQueue[Callable[[], None]] = field(default_factory=queue.SimpleQueue)
    _resolver: Worker | None = None
    _questions: int = 0
    _not_armed_ns: int = 0
    _not_armed_said: int = 0
    _connected: bool = False
    _stopping: bool = False
    course: Course = field(init=False)

    def __post_init__(self, schedule: Schedule) -> None:
        self.course = Course(self.steps, self.chronicle, schedule, self.post, self._forget, self._kept)

    # ---- what the controller asks ----

    def resolve(self, request: int, order: faults_pb2.Order) -> None:
        """Answers with what the order would hit here. Nothing is touched."""
        reasons = orders.refused(order, self.host_name)
        if self._questions >= MAX_QUESTIONS:
            reasons = [f"{MAX_QUESTIONS} questions wait for an answer here already; ask again later"]
        if reasons:
            self._answer([request], orders.resolution(order.id, reasons))
            return
        if self._resolver is None:
            self._resolver = self.open_worker("resolver")
        others = self._others(order.id)
        self._questions += 1

        def job() -> None:
            examined = self.steps.resolve(order, others)
            self.post(lambda: self._resolved(request, examined))

        self._resolver.submit(job)

    def arm(self, request: int, order: faults_pb2.Order) -> None:
        """Answers when the order is recorded and staged, or with every reason why not.

        Asking again changes nothing.
        """
        life = self._lives.get(order.id)
        if life is not None and life.phase is Phase.ARMING:
            life.requests.append(request)
            return
        if life is not None and life.resolution is not None and life.phase in LEASED:
            self._answer([request], life.resolution)
            return
        reasons = orders.refused(order, self.host_name) + self._not_now(order.id)
        if reasons:
            self._answer([request], orders.resolution(order.id, reasons))
            return
        self._begin_arming(request, order)

    def inject(self, order_ids: Iterable[str], t0_ns: int) -> None:
        """Every armed one of these orders is fired at `t0_ns`. Asking again changes nothing."""
        refused = leases.instant_refused(self._now(), t0_ns)
        for order_id in order_ids:
            life = self._lives.get(order_id)
            if life is None or life.phase in (Phase.ARMING, Phase.REVERTING, Phase.CLEAN):
                self._not_armed(order_id, life)
            elif life.phase is Phase.ARMED and refused:
                self.course.inject_failed(life, refused)
            elif life.phase is Phase.ARMED:
                self.course.inject(life, t0_ns)

    def renew(self, order_ids: Iterable[str], lease_ms: int) -> None:
        """Each of these orders that has not ended lasts `lease_ms` from now, within its hold."""
        now = self._now()
        for life in self._known(order_ids):
            if life.phase is Phase.ARMED and not life.lease.expired(now):
                life.lease, life.trouble = leases.armed(now, life.lease_ms), ""
            elif life.phase in LEASED:
                self.course.set_lease(life, life.lease.renewed(now, lease_ms))

    def revert(self, order_ids: Iterable[str], reason: str) -> None:
        for life in self._known(order_ids):
            self.course.end(life, reason or "ordered")

    def revert_all(self, reason: str) -> None:
        self.revert(list(self._lives), reason or "all ordered")

    def stream(self, *, connected: bool) -> None:
        """Without a stream every tethered order, and every armed one, ends within the grace."""
        lost = self._connected and not connected
        self._connected = connected
        if not lost:
            return
        now = self._now()
        for life in self._known(list(self._lives)):
            shorter = life.lease.shortened(now, self.grace_ms)
            if life.phase in LEASED and shorter != life.lease:
                self.course.set_lease(life, shorter)
                life.trouble = "stream lost"

    def stop(self, reason: str) -> None:
        """No order is armed any more, and all that are open end."""
        self._stopping = True
        self.revert_all(reason)

    # ---- the guardian's own questions ----

    def adopt(self, entry: Entry, reason: str) -> None:
        """An order that an earlier guardian left behind is reverted."""
        record = entry.record
        life = Life(
            record.order_id,
            record.run_id,
            record.kind,
            Lease(False, 0, 0),
            doer=self.open_worker("doer"),
            undoer=self.open_worker("undoer"),
            undo=record.undo,
            phase=Phase.ARMED,
            may_be_in_effect=entry.progress.state != "armed",
        )
        self._lives[life.order_id] = life
        self.course.end(life, reason)

    def post(self, what: Callable[[], None]) -> None:
        """`what` runs on the engine's thread. Any thread may call this."""
        self._posted.put(what)
        self.wake()

    def run_posted(self) -> None:
        """Everything that was posted so far has been done."""
        for _ in range(self._posted.qsize()):
            self._posted.get()()

    def tick(self) -> None:
        """What is due by now has begun: leases that ended, attempts to repeat, events to write again."""
        now = self._now()
        for life in list(self._lives.values()):
            due = life.due_ns()
            if due is None or due > now:
                continue
            if life.phase is Phase.REVERTING:
                self.course.attempt(life)
            else:
                self.course.end(life, life.why_expired())
        self.chronicle.retry()

    def due_ns(self) -> int | None:
        """When `tick` must be called next."""
        found = [due for life in self._lives.values() if (due := life.due_ns()) is not None]
        return min(found, default=None)

    def deadline_ns(self) -> int:
        """When the next lease ends; 0 when none is open. What has begun to end has none."""
        leased = (life.due_ns() for life in self._lives.values() if life.phase in LEASED)
        return min((due for due in leased if due is not None), default=0)

    @property
    def clean(self) -> bool:
        """Nothing of ours is left on the host."""
        return all(life.phase is Phase.CLEAN for life in self._lives.values())

    @property
    def idle(self) -> bool:
        """Clean, and every event is on the disk."""
        return not self._lives

    def open_faults(self) -> pb.OpenFaults:
        return pb.OpenFaults(
            faults=[life.open_fault() for life in self._lives.values() if life.phase in STATES]
        )

    # ---- arming ----

    def _resolved(self, request: int, examined: Examined) -> None:
        self._questions -= 1
        self._answer([request], examined.resolution)

    def _begin_arming(self, request: int, order: faults_pb2.Order) -> None:
        try:
            doer = self.open_worker("doer")
            undoer = self.open_worker("undoer")
        except RuntimeError as error:
            self._answer(
                [request], orders.resolution(order.id, [f"{order.fault.kind}: no thread for it: {error}"])
            )
            return
        life = Life(
            order.id,
            order.run_id,
            order.fault.kind,
            leases.armed(self._now(), order.lease_ms),
            doer,
            undoer,
            sealed=order.mode == faults_pb2.MODE_SEALED,
            lease_ms=order.lease_ms,
            hold_ms=order.hold_ms,
            requests=[request],
        )
        others = self._others(order.id)
        self._lives[life.order_id] = life
        progress = life.progress("armed")

        def job() -> None:
            examined = self.steps.arm(order, others, progress)
            self.post(lambda: self._armed(life, examined))

        doer.submit(job)

    def _armed(self, life: Life, examined: Examined) -> None:
        requests, life.requests = life.requests, []
        life.undo = examined.undo
        refusals = list(examined.resolution.refusals)
        if not refusals and life.reason:
            refusals = [f"{life.kind}: taken away while it was being armed: {life.reason}"]
        life.resolution = faults_pb2.Resolution()
        life.resolution.CopyFrom(examined.resolution)
        del life.resolution.refusals[:]
        life.resolution.refusals.extend(refusals)
        if not examined.recorded:
            self._forget(life)
        elif refusals:
            life.phase = Phase.ARMED
            self.course.end(life, refusals[0])
        else:
            life.phase = Phase.ARMED
            self.course.say(life, pb.EVENT_KIND_ARMED)
        self._answer(requests, life.resolution)

    def _not_now(self, order_id: str) -> list[str]:
        """Why no order can be armed at this moment."""
        reasons: list[str] = []
        if order_id in self._lives or order_id in self._ended:
            reasons.append(f"order {order_id} has ended here already; an order is carried out once")
        if len(self._lives) >= MAX_LIVES:
            reasons.append(f"{MAX_LIVES} orders are open here already")
        if self._stopping:
            reasons.append("the agent is stopping")
        if self.chronicle.failing:
            reasons.append("this host cannot record events; make room on the disk of the agent's state_dir")
        stuck = [life for life in self._lives.values() if life.phase is Phase.REVERTING and life.failures]
        reasons += [f"order {life.order_id} ({life.kind}) could not be reverted here yet" for life in stuck]
        return reasons

    # ---- injecting ----

    def _not_armed(self, order_id: str, life: Life | None) -> None:
        """Said, so that a run is not left waiting; not without bound, for each costs a write to the disk."""
        if not self._may_say_not_armed():
            return
        why = "is not known here" if life is None else f"is {life.phase.value}, not armed"
        self.chronicle.say(
            pb.EVENT_KIND_INJECT_FAILED,
            order_id=order_id,
            run_id="" if life is None else life.run_id,
            fault_kind="" if life is None else life.kind,
            detail=f"order {order_id} {why}",
        )

    def _may_say_not_armed(self) -> bool:
        now = self._now()
        if now - self._not_armed_ns >= NOT_ARMED_WINDOW_NS:
            self._not_armed_ns, self._not_armed_said = now, 0
        self._not_armed_said += 1
        return self._not_armed_said <= MAX_NOT_ARMED

    # ---- small ----

    def _forget(self, life: Life) -> None:
        if self._lives.pop(life.order_id, None) is None:
            return
        self.steps.claims.give_back(life.order_id)
        life.doer.close()
        life.undoer.close()
        if life.phase is Phase.CLEAN:
            self._ended[life.order_id] = None
            if len(self._ended) > MAX_ENDED:
                del self._ended[next(iter(self._ended))]

    def _answer(self, requests: Iterable[int], resolution: faults_pb2.Resolution) -> None:
        for request in requests:
            self.answer(pb.Answer(request=request, resolution=resolution))

    def _known(self, order_ids: Iterable[str]) -> list[Life]:
        return [self._lives[order_id] for order_id in order_ids if order_id in self._lives]

    def _others(self, order_id: str) -> Others:
        others = [life for life in self._lives.values() if life.order_id != order_id]
        return Others(sum(life.phase is not Phase.CLEAN for life in others), self._held_by(others))

    def _kept(self, life: Life) -> Held:
        """What stays as it is when this order is reverted: others hold it."""
        return self._held_by(other for other in self._lives.values() if other is not life)

    def _held_by(self, lives: Iterable[Life]) -> Held:
        now = self._now()
        holding = (life for life in lives if life.holds_at(now))
        return frozenset().union(*(self.steps.holds(life.kind, life.undo) for life in holding))

    def _now(self) -> int:
        return self.steps.host.clock.monotonic_ns()
