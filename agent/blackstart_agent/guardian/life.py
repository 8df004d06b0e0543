"""One order on this host, from arm to gone. Only the engine's own thread changes it."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field

from blackstart_proto.v1 import agent_pb2 as pb
from blackstart_proto.v1 import faults_pb2

from blackstart_agent.faults.base import Undo
from blackstart_agent.guardian.journal import Progress
from blackstart_agent.guardian.leases import Lease
from blackstart_agent.guardian.workers import Worker

RETRY_FIRST_NS = 20_000_000
RETRY_MOST_NS = 5_000_000_000
FAILURES_PER_EVENT = 10


class Phase(enum.Enum):
    ARMING = "arming"
    ARMED = "armed"
    SCHEDULED = "scheduled"  # recorded as injecting; the firing thread has it, or is about to
    FINISHING = "finishing"  # fired; the rest is being done
    INJECTED = "injected"
    REVERTING = "reverting"
    CLEAN = "clean"  # seen to be gone; the last event is on its way to the disk


LEASED = (Phase.ARMING, Phase.ARMED, Phase.SCHEDULED, Phase.FINISHING, Phase.INJECTED)
IN_EFFECT = (Phase.FINISHING, Phase.INJECTED)
STATES: Mapping[Phase, pb.FaultState.ValueType] = {
    Phase.ARMING: pb.FAULT_STATE_ARMED,  # it may be on the host already
    Phase.ARMED: pb.FAULT_STATE_ARMED,
    Phase.SCHEDULED: pb.FAULT_STATE_ARMED,
    Phase.FINISHING: pb.FAULT_STATE_INJECTED,
    Phase.INJECTED: pb.FAULT_STATE_INJECTED,
    Phase.REVERTING: pb.FAULT_STATE_REVERTING,
}


@dataclass(slots=True)
class Life:
    """`doing`: fire or finish is under way on another thread. `may_be_in_effect`: it may have been fired."""

    order_id: str
    run_id: str
    kind: str
    lease: Lease
    doer: Worker
    undoer: Worker
    sealed: bool = False
    lease_ms: int = 0
    hold_ms: int = 0
    phase: Phase = Phase.ARMING
    undo: Undo = field(default_factory=dict)
    requests: list[int] = field(default_factory=list)
    resolution: faults_pb2.Resolution | None = None
    t0_ns: int = 0
    kernel_ns: int = 0  # the deadline that the kernel has
    first_ns: int = 0
    doing: bool = False
    may_be_in_effect: bool = False
    outcome_said: bool = False  # INJECTED or INJECT_FAILED
    attempting: bool = False
    failures: int = 0
    retry_ns: int = 0
    ending_ns: int = 0  # when the revert began
    reason: str = ""  # why it ends
    trouble: str = ""  # why the last renewal failed

    def progress(self, state: str) -> Progress:
        return Progress(state, self.lease.expires_ns, self.lease.hold_end_ns)

    def holds_at(self, now_ns: int) -> bool:
        """Whether it is, or may be, in effect and goes on to be. One that is being reverted holds nothing."""
        return self.phase in IN_EFFECT or (self.phase is Phase.SCHEDULED and self.t0_ns <= now_ns)

    def why_expired(self) -> str:
        if self.phase in (Phase.ARMING, Phase.ARMED):
            return self.trouble or "armed and never injected"
        if self.lease.expires_ns >= self.lease.hold_end_ns:
            return "held as long as ordered"
        return self.trouble or "lease expired"

    def open_fault(self) -> pb.OpenFault:
        state = STATES[self.phase]
        if self.phase is Phase.REVERTING and self.failures:
            state = pb.FAULT_STATE_REVERT_FAILED
        return pb.OpenFault(
            order_id=self.order_id,
            run_id=self.run_id,
            kind=self.kind,
            state=state,
            expires_mono_ns=self.lease.expires_ns,
        )

    def due_ns(self) -> int | None:
        """When the engine must look at it next; None: only when something happens."""
        if self.phase in LEASED:
            return None if self.phase is Phase.ARMING and self.reason else self.lease.expires_ns
        if self.phase is Phase.REVERTING and not self.attempting:
            return self.retry_ns
        return None


def backoff_ns(failures: int) -> int:
    """How long to wait after so many failures: 20 ms, doubling up to 5 s, for ever."""
    return int(min(RETRY_MOST_NS, RETRY_FIRST_NS << min(failures, 10)))
