"""How one order walks from armed to gone. On the engine's thread only; what takes long runs on workers.

A result that arrives for an order that is being reverted never brings it back: reverting is final.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from blackstart_proto.v1 import agent_pb2 as pb

from blackstart_agent.faults.base import Held
from blackstart_agent.guardian import leases
from blackstart_agent.guardian.chronicle import Chronicle
from blackstart_agent.guardian.firing import Schedule
from blackstart_agent.guardian.leases import Lease
from blackstart_agent.guardian.life import FAILURES_PER_EVENT, IN_EFFECT, LEASED, Life, Phase, backoff_ns
from blackstart_agent.guardian.steps import Steps, problem_of

BUSY_RETRY_NS = 200_000_000
BUSY_LIMIT_NS = 5_000_000_000


@dataclass(frozen=True, slots=True)
class Course:
    """`post` runs something on the engine's thread; `gone` is told when an order has left no trace.

    `kept` says what other orders still hold.
    """

    steps: Steps
    chronicle: Chronicle
    schedule: Schedule
    post: Callable[[Callable[[], None]], None]
    gone: Callable[[Life], None]
    kept: Callable[[Life], Held]

    # ---- injecting ----

    def inject(self, life: Life, t0_ns: int) -> None:
        life.phase, life.t0_ns = Phase.SCHEDULED, t0_ns
        life.lease = leases.injected(t0_ns, sealed=life.sealed, lease_ms=life.lease_ms, hold_ms=life.hold_ms)
        self.chronicle.progress(
            life.order_id,
            life.progress("injecting"),
            lambda problem: self.post(lambda: self._recorded(life, problem)),
        )

    def _recorded(self, life: Life, problem: str) -> None:
        if life.phase is not Phase.SCHEDULED:
            return
        if problem:
            self.inject_failed(life, f"this host cannot record it, so it is not injected: {problem}")
            return
        life.doing = True
        self.schedule.schedule(life.order_id, life.t0_ns, lambda start_ns: self._fire(life, start_ns))

    def _fire(self, life: Life, start_ns: int) -> None:
        """Runs on the firing thread."""
        lease = life.lease
        refused = leases.instant_refused(start_ns, life.t0_ns)
        if not refused and lease.expired(start_ns):
            refused = "its lease ended before T0"
        if refused:
            self.post(lambda: self._fired(life, 0, 0, refused))
            return
        fault = self.steps.faults[life.kind]
        problem = problem_of(lambda: fault.fire(self.steps.host, life.undo, lease.expires_ns))
        first_ns = self._now()
        self.post(lambda: self._fired(life, lease.expires_ns, first_ns, problem))

    def _fired(self, life: Life, kernel_ns: int, first_ns: int, problem: str) -> None:
        life.doing = False
        life.first_ns, life.kernel_ns = first_ns, kernel_ns
        life.may_be_in_effect = life.may_be_in_effect or first_ns > 0
        if life.phase is not Phase.SCHEDULED:
            self.attempt(life)
            return
        if problem:
            self.inject_failed(life, problem)
            return
        life.phase, life.doing = Phase.FINISHING, True
        if life.lease.expires_ns != kernel_ns and not self._move_kernel(life, life.lease):
            life.lease = replace(life.lease, expires_ns=min(life.lease.expires_ns, kernel_ns))

        def job() -> None:
            fault = self.steps.faults[life.kind]
            trouble = problem_of(lambda: fault.finish(self.steps.host, life.undo))
            last_ns = self._now()
            self.post(lambda: self._finished(life, last_ns, trouble))

        life.doer.submit(job)

    def _finished(self, life: Life, last_ns: int, problem: str) -> None:
        life.doing = False
        if life.phase is not Phase.FINISHING:
            self.attempt(life)
            return
        if problem:
            self.inject_failed(life, problem)
            return
        life.phase, life.outcome_said = Phase.INJECTED, True
        late_us = (life.first_ns - life.t0_ns) / 1e3
        self.say(
            life,
            pb.EVENT_KIND_INJECTED,
            f"{late_us:.0f} us after T0",
            first_ns=life.first_ns,
            last_ns=last_ns,
        )
        self.chronicle.progress(life.order_id, life.progress("injected"))

        def job() -> None:
            missing = self.steps.unproved(life.kind, life.undo)
            self.post(lambda: self._proved(life, missing))

        life.doer.submit(job)

    def _proved(self, life: Life, missing: tuple[str, ...]) -> None:
        if life.phase is not Phase.INJECTED:
            return
        kind = pb.EVENT_KIND_NOT_PROVED if missing else pb.EVENT_KIND_PROVED
        self.say(life, kind, "; ".join(missing))

    def inject_failed(self, life: Life, why: str) -> None:
        self.say(life, pb.EVENT_KIND_INJECT_FAILED, why)
        life.outcome_said = True
        self.end(life, f"inject failed: {why}")

    # ---- leases ----

    def set_lease(self, life: Life, lease: Lease) -> None:
        """The kernel's own timer first, then ours: a renewal that the kernel did not take is none."""
        longer = lease.expires_ns > life.lease.expires_ns
        if lease == life.lease:
            return
        if life.phase in IN_EFFECT and not self._move_kernel(life, lease) and longer:
            return
        life.lease = lease
        life.trouble = "" if longer else life.trouble
        if life.phase is not Phase.ARMING:
            state = life.phase.value if life.phase in (Phase.ARMED, Phase.INJECTED) else "injecting"
            self.chronicle.progress(life.order_id, life.progress(state))

    def _move_kernel(self, life: Life, lease: Lease) -> bool:
        fault = self.steps.faults[life.kind]
        problem = problem_of(lambda: fault.renew(self.steps.host, life.undo, lease.expires_ns))
        life.trouble = problem and f"could not be renewed: {problem}"
        if not problem:
            life.kernel_ns = lease.expires_ns
        return not problem

    # ---- reverting ----

    def end(self, life: Life, reason: str) -> None:
        """Its revert has begun; it cannot be stopped, only repeated until nothing is left."""
        if life.phase not in LEASED:
            return
        life.reason = life.reason or reason
        if life.phase is Phase.ARMING:
            return  # the end of arming, whenever it comes, sees the reason
        if life.phase is Phase.SCHEDULED and life.doing and self.schedule.cancel(life.order_id):
            life.doing = False
        life.may_be_in_effect = life.may_be_in_effect or life.doing or life.phase in IN_EFFECT
        if life.may_be_in_effect and life.t0_ns and not life.outcome_said:
            self.say(life, pb.EVENT_KIND_INJECT_FAILED, f"ended before it was confirmed: {life.reason}")
        life.phase, life.ending_ns = Phase.REVERTING, self._now()
        if life.may_be_in_effect:
            self.say(life, pb.EVENT_KIND_REVERTING, life.reason)
        self.chronicle.progress(life.order_id, life.progress("reverting"))
        self.attempt(life)

    def attempt(self, life: Life) -> None:
        """One more attempt is under way. It proves nothing while fire or finish still run."""
        if life.phase is not Phase.REVERTING or life.attempting:
            return
        life.attempting = True
        alone = not life.doing
        kept = self.kept(life)

        def job() -> None:
            problems = self.steps.revert(life.kind, life.undo, kept)
            self.post(lambda: self._attempted(life, problems, alone))

        life.undoer.submit(job)

    def _attempted(self, life: Life, problems: tuple[str, ...], alone: bool) -> None:
        life.attempting = False
        if not problems and alone:
            self._gone(life)
            return
        now = self._now()
        if not problems and now - life.ending_ns < BUSY_LIMIT_NS:
            life.retry_ns = now + BUSY_RETRY_NS
            return
        life.retry_ns = now + backoff_ns(life.failures)
        if life.failures % FAILURES_PER_EVENT == 0:
            self.say(
                life, pb.EVENT_KIND_REVERT_FAILED, "; ".join(problems) or "injecting has not returned yet"
            )
        life.failures += 1

    def _gone(self, life: Life) -> None:
        life.phase = Phase.CLEAN
        kind = pb.EVENT_KIND_REVERTED if life.may_be_in_effect else pb.EVENT_KIND_DISARMED
        self.say(life, kind, life.reason)
        self.chronicle.close(life.order_id, lambda: self.post(lambda: self.gone(life)))

    def say(
        self,
        life: Life,
        kind: pb.EventKind.ValueType,
        detail: str = "",
        *,
        first_ns: int = 0,
        last_ns: int = 0,
    ) -> None:
        self.chronicle.say(
            kind,
            order_id=life.order_id,
            run_id=life.run_id,
            fault_kind=life.kind,
            detail=detail,
            first_ns=first_ns,
            last_ns=last_ns,
        )

    def _now(self) -> int:
        return self.steps.host.clock.monotonic_ns()
