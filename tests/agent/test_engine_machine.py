"""Any sequence of orders, renewals, losses, crashes and late threads: no fault without record and lease."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import pytest
from blackstart_agent.guardian.life import LEASED
from blackstart_proto.v1 import faults_pb2
from guardian_world import BROKEN, MS, World, order_id
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

NUMBERS = st.integers(1, 4)
MODES = st.sampled_from([faults_pb2.MODE_TETHERED, faults_pb2.MODE_SEALED])
STEPS = st.sampled_from(["prepare", "stage", "fire", "finish", "unproved", "renew", "revert", "leftovers"])


class Guardian(RuleBasedStateMachine):
    @initialize()
    def begin(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="bs-machine-"))
        self.world = World(self.directory)
        self.taken: set[str] = set()

    @rule(
        number=NUMBERS,
        mode=MODES,
        kind=st.sampled_from(["test.cut", "test.stop"]),
        hold_ms=st.integers(1, 20_000),
    )
    def arm(self, number: int, mode: int, kind: str, hold_ms: int) -> None:
        self.world.engine.arm(1, self.world.order(number, mode=mode, kind=kind, hold_ms=hold_ms))

    @rule(number=NUMBERS, ahead_ms=st.integers(-400, 3_000))
    def inject(self, number: int, ahead_ms: int) -> None:
        self.world.engine.inject([order_id(number)], self.world.now + ahead_ms * MS)

    @rule(number=NUMBERS, mode=MODES, kind=st.sampled_from(["test.cut", "test.stop"]), settled=st.booleans())
    def arm_and_inject(self, number: int, mode: int, kind: str, settled: bool) -> None:
        self.arm(number, mode, kind, 20_000)
        self.world.settle()
        self.world.engine.inject([order_id(number)], self.world.now)
        if settled:
            self.world.settle()

    @rule(number=NUMBERS, lease_ms=st.integers(0, 70_000))
    def renew(self, number: int, lease_ms: int) -> None:
        self.world.engine.renew([order_id(number)], lease_ms)

    @rule(connected=st.booleans())
    def stream(self, connected: bool) -> None:
        self.world.engine.stream(connected=connected)

    @rule(number=NUMBERS)
    def revert(self, number: int) -> None:
        self.world.engine.revert([order_id(number)], "ordered")

    @rule()
    def all_threads_but_one_run(self) -> None:
        for queue in [queue for queue in self.world.queues if queue.jobs and queue.name != "doer"]:
            self.world.run_job(queue)
        self.the_loop_turns()

    @rule(at=st.integers(0, 50))
    def a_thread_runs_one_job(self, at: int) -> None:
        busy = [queue for queue in self.world.queues if queue.jobs]
        if busy:
            self.world.run_job(busy[at % len(busy)])

    @rule()
    def the_loop_turns(self) -> None:
        self.world.engine.run_posted()
        self.world.engine.tick()

    @rule()
    def the_firing_thread_fires(self) -> None:
        self.world.shoot()

    @rule(ms=st.integers(1, 3_000))
    def time_passes(self, ms: int) -> None:
        self.world.host.clock.advance(ms=ms)
        self.world.engine.tick()

    @rule(step=STEPS)
    def a_step_breaks(self, step: str) -> None:
        self.world.host.broken[step] = BROKEN

    @rule()
    def all_is_mended(self) -> None:
        self.world.host.broken.clear()

    @rule()
    def everything_settles(self) -> None:
        self.world.settle()

    @rule()
    def the_guardian_dies(self) -> None:
        self.world = self.world.crash()
        for entry in self.world.journal.load(quarantine=True).entries:
            self.world.engine.adopt(entry, "found at start")

    @invariant()
    def no_effect_without_a_record(self) -> None:
        touched = self.world.host.effects.keys() | self.world.host.staged
        assert touched <= self.world.records()

    @invariant()
    def no_effect_without_a_live_lease_or_a_revert(self) -> None:
        now = self.world.now
        for order in self.world.host.active():
            life = self.world.engine._lives[order]
            # the loop may not have turned since the lease ended; due_ns says that it is about to
            alive = life.phase in LEASED and (not life.lease.expired(now) or (life.due_ns() or 0) <= now)
            assert alive or life.phase.value == "reverting", life

    @invariant()
    def no_kernel_deadline_after_the_hold(self) -> None:
        for order, until in self.world.host.effects.items():
            life = self.world.engine._lives[order]
            assert until is None or life.phase not in LEASED or until <= life.lease.hold_end_ns

    def teardown(self) -> None:
        if not hasattr(self, "world"):
            return
        try:
            self.world.host.broken.clear()
            for _ in range(4):  # every hold ends, every back-off passes
                self.world.advance(61_000)
            self.world.assert_clean()
            self.every_revert_was_said()
        finally:
            shutil.rmtree(self.directory)

    def every_revert_was_said(self) -> None:
        for number in range(1, 5):
            events = self.world.events(number)
            if "INJECTED" in events:
                assert "REVERTED" in events[events.index("INJECTED") :], events


TestGuardian = Guardian.TestCase
TestGuardian.settings = settings(
    max_examples=int(os.environ.get("GUARDIAN_EXAMPLES", "100")), stateful_step_count=40, deadline=None
)
pytestmark = pytest.mark.timeout(120)
