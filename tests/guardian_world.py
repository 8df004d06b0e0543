"""A guardian whose threads are lists of jobs and whose time stands still: any interleaving can be chosen."""

from __future__ import annotations

import resource
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Self

from blackstart_agent.errors import HostError, InvalidOrder, Refused
from blackstart_agent.faults.base import Fault, Held, Hit, Prepared, Rung, Surroundings, Undo
from blackstart_agent.guardian.chronicle import Chronicle
from blackstart_agent.guardian.engine import Engine
from blackstart_agent.guardian.events import EventLog
from blackstart_agent.guardian.firing import Action
from blackstart_agent.guardian.journal import Journal
from blackstart_agent.guardian.steps import Steps
from blackstart_agent.guardian.workers import Job
from blackstart_agent.host.ports import Host
from blackstart_agent.policy import Policy
from blackstart_agent.spool import Spool
from blackstart_agent.testing import FakeHost
from blackstart_proto.v1 import agent_pb2 as pb
from blackstart_proto.v1 import faults_pb2

ALLOW_ALL = Policy("policy.toml", faults=("*",), max_faults=100)
MS = 1_000_000
KINDS = {value: name.removeprefix("EVENT_KIND_") for name, value in pb.EventKind.items()}


def order_id(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012d}"


class WorldHost(FakeHost):
    """`effects`: order -> the kernel's deadline, None when only a revert ends it. `broken`: step -> error."""

    def __init__(self) -> None:
        super().__init__()
        self.effects: dict[str, int | None] = {}
        self.staged: set[str] = set()
        self.broken: dict[str, Exception] = {}
        self.calls: list[str] = []

    def step(self, name: str) -> None:
        self.calls.append(name)
        if name in self.broken:
            raise self.broken[name]

    def active(self) -> set[str]:
        now = self.clock.monotonic_ns()
        return {order for order, until in self.effects.items() if until is None or until > now}


def world(host: Host) -> WorldHost:
    assert isinstance(host, WorldHost)
    return host


@dataclass(frozen=True, slots=True)
class Cut(Fault):
    """A fault that the kernel ends at its deadline."""

    kind: ClassVar[str] = "test.cut"
    rung: ClassVar[Rung] = "kernel"

    @classmethod
    def of(cls, spec: Any) -> Self:
        return cls()

    @classmethod
    def try_out(cls, host: Host) -> None:
        world(host).step("try_out")

    def prepare(self, host: Host, around: Surroundings) -> Prepared:
        world(host).step("prepare")
        undo = {"order": around.order_id}
        return Prepared((Hit("network", "all", "cut"),), undo, (f"undo {around.order_id}",))

    @classmethod
    def stage(cls, host: Host, undo: Undo) -> None:
        world(host).staged.add(str(undo["order"]))
        world(host).step("stage")

    @classmethod
    def fire(cls, host: Host, undo: Undo, deadline_ns: int) -> None:
        world(host).effects[str(undo["order"])] = deadline_ns
        world(host).step("fire")

    @classmethod
    def finish(cls, host: Host, undo: Undo) -> None:
        world(host).step("finish")

    @classmethod
    def unproved(cls, host: Host, undo: Undo) -> Sequence[str]:
        world(host).step("unproved")
        return [] if str(undo["order"]) in world(host).active() else ["not cut"]

    @classmethod
    def renew(cls, host: Host, undo: Undo, deadline_ns: int) -> None:
        world(host).step("renew")
        assert str(undo["order"]) in world(host).effects, "renewed what is not there"
        world(host).effects[str(undo["order"])] = deadline_ns

    @classmethod
    def revert(cls, host: Host, undo: Undo, kept: Held) -> None:
        world(host).step("revert")
        world(host).effects.pop(str(undo["order"]), None)
        world(host).staged.discard(str(undo["order"]))

    @classmethod
    def leftovers(cls, host: Host, undo: Undo, kept: Held) -> Sequence[str]:
        world(host).step("leftovers")
        order = str(undo["order"])
        left = world(host).effects.keys() | world(host).staged
        return [f"{order} is there"] if order in left else []


@dataclass(frozen=True, slots=True)
class Stop(Cut):
    """A fault that lasts until it is reverted."""

    kind: ClassVar[str] = "test.stop"
    rung: ClassVar[Rung] = "guardian"

    @classmethod
    def fire(cls, host: Host, undo: Undo, deadline_ns: int) -> None:
        world(host).effects[str(undo["order"])] = None
        world(host).step("fire")

    @classmethod
    def finish(cls, host: Host, undo: Undo) -> None:
        world(host).step("finish")
        world(host).effects[str(undo["order"])] = None

    @classmethod
    def renew(cls, host: Host, undo: Undo, deadline_ns: int) -> None:
        world(host).step("renew")


FAULTS: dict[str, type[Fault]] = {Cut.kind: Cut, Stop.kind: Stop}


def decode(order: faults_pb2.Order) -> Fault:
    if order.fault.kind not in FAULTS:
        raise InvalidOrder(f"unknown fault {order.fault.kind}")
    return Cut() if order.fault.kind == Cut.kind else Stop()


@dataclass
class Queue:
    """One worker: its jobs run when the test says so."""

    name: str
    jobs: list[Job] = field(default_factory=list)
    closed: bool = False

    def submit(self, job: Job) -> None:
        assert not self.closed
        self.jobs.append(job)

    def close(self) -> None:
        self.closed = True


@dataclass
class Shots:
    waiting: dict[str, tuple[int, Action]] = field(default_factory=dict)

    def schedule(self, key: str, at_ns: int, action: Action) -> None:
        self.waiting[key] = (at_ns, action)

    def cancel(self, key: str) -> bool:
        return self.waiting.pop(key, None) is not None


class World:
    """`kinds`: test faults, or those of an agent with what decodes them."""

    def __init__(
        self,
        directory: Path,
        host: WorldHost | None = None,
        policy: Policy = ALLOW_ALL,
        kinds: tuple[Mapping[str, type[Fault]], Callable[[faults_pb2.Order], Fault]] | None = None,
    ) -> None:
        self.kinds = kinds or (FAULTS, decode)
        self.directory = directory
        self.host = host or WorldHost()
        self.policy = policy
        self.queues: list[Queue] = []
        self.shots = Shots()
        self.answers: list[pb.Answer] = []
        self.journal = Journal(directory / "journal")
        self.spool = Spool(directory / "events")
        self.engine = self._engine()
        self.engine.stream(connected=True)

    def _engine(self) -> Engine:
        clock = self.host.clock
        steps = Steps(self.host, *self.kinds, lambda: self.policy, self._around, self.journal)
        log = EventLog(self.spool)
        chronicle = Chronicle(log, self.journal, clock, self._open("disk"), lambda: None)
        return Engine(
            "h", steps, chronicle, self.shots, self._open, self.answers.append, lambda: None, grace_ms=1_000
        )

    def _open(self, name: str) -> Queue:
        self.queues.append(Queue(name))
        return self.queues[-1]

    def _around(self, order: str, sealed: bool, policy: Policy) -> Surroundings:
        return Surroundings(order, sealed, None, volumes=policy.volumes)

    # ---- what a test does ----

    @property
    def now(self) -> int:
        return self.host.clock.monotonic_ns()

    def order(self, number: int, **changes: object) -> faults_pb2.Order:
        values: dict[str, object] = {
            "id": order_id(number),
            "run_id": "run",
            "host": "h",
            "mode": faults_pb2.MODE_TETHERED,
            "lease_ms": 5_000,
            "hold_ms": 20_000,
        }
        values.update(changes)
        fault = values.pop("fault", faults_pb2.Fault(kind=str(values.pop("kind", "test.cut"))))
        return faults_pb2.Order(fault=fault, **values)  # type: ignore[arg-type]

    def run_job(self, queue: Queue) -> None:
        queue.jobs.pop(0)()

    def shoot(self) -> None:
        """What is due fires."""
        for key, (at_ns, action) in list(self.shots.waiting.items()):
            if at_ns <= self.now:
                del self.shots.waiting[key]
                action(self.now)

    def settle(self) -> None:
        """Everything that can happen without time passing has happened."""
        for _ in range(10_000):
            self.shoot()
            self.engine.run_posted()
            self.engine.tick()
            busy = [queue for queue in self.queues if queue.jobs]
            due = any(at_ns <= self.now for at_ns, _ in self.shots.waiting.values())
            if not busy and not due and self.engine._posted.empty():
                return
            for queue in busy:
                self.run_job(queue)
        raise AssertionError("it never settles")

    def advance(self, ms: float) -> None:
        self.host.clock.advance(ms=ms)
        self.settle()

    def arm(self, number: int = 1, **changes: object) -> faults_pb2.Resolution:
        self.engine.arm(number, self.order(number, **changes))
        self.settle()
        return self.answers[-1].resolution

    def inject(self, number: int = 1, **changes: object) -> None:
        """Armed, injected and proved."""
        assert not self.arm(number, **changes).refusals
        self.engine.inject([order_id(number)], self.now)
        self.settle()

    def crash(self) -> World:
        """The guardian died; the same host, the same disk, a new guardian that knows only these."""
        self.spool.close()
        self.journal.close()
        return World(self.directory, self.host, self.policy, self.kinds)

    def recover(self) -> World:
        fresh = self.crash()
        for entry in fresh.journal.load(quarantine=True).entries:
            fresh.engine.adopt(entry, "found at start")
        fresh.settle()
        return fresh

    def events(self, number: int | None = None) -> list[str]:
        log = EventLog(self.spool).pending(0, 10_000)
        return [KINDS[event.kind] for event in log if number is None or event.order_id == order_id(number)]

    def details(self, kind: str) -> list[str]:
        log = EventLog(self.spool).pending(0, 10_000)
        return [event.detail for event in log if KINDS[event.kind] == kind]

    def records(self) -> set[str]:
        return {entry.record.order_id for entry in self.journal.load().entries}

    def assert_clean(self) -> None:
        assert self.host.effects == {}
        assert self.host.staged == set()
        assert self.records() == set()
        assert self.engine.idle


FULL = ["ARMED", "INJECTED", "PROVED", "REVERTING", "REVERTED"]  # the events of a whole life
BROKEN = HostError("it did not work")
REFUSED = Refused(["no such process", "no such unit"])
Check = Callable[[World], None]


@contextmanager
def full_disk() -> Iterator[None]:
    """No file grows or is written any more: the kernel refuses it, to root too."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
