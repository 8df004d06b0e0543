"""What one agent may send. It is not trusted: it may be broken, newer than we are, or taken over. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from blackstart_proto.v1 import agent_pb2

from blackstart_controller.errors import UsageError

MAX_MESSAGE_BYTES = 1 << 20
MAX_NAME = 64
MAX_TEXT = 4_096
MAX_LABELS = 64
MAX_LIST = 256
MAX_SAMPLES = 1_000
MAX_OPEN_FAULTS = 1_000


def check_hello(hello: agent_pb2.Hello) -> None:
    """Raise UsageError when a Hello is larger than any honest one."""
    _at_most("labels", len(hello.labels), MAX_LABELS)
    for key, value in hello.labels.items():
        _at_most("a label's length", len(key) + len(value), 2 * MAX_NAME)
    for name in ("addresses", "fault_kinds", "probe_kinds"):
        values = getattr(hello, name)
        _at_most(name, len(values), MAX_LIST)
        _at_most(f"the length of one of {name}", max(map(len, values), default=0), MAX_NAME)
    _at_most("unsupported", len(hello.unsupported), MAX_LIST)
    for kind, why in hello.unsupported.items():
        _at_most("the length of an unsupported kind", len(kind), MAX_NAME)
        _at_most("the length of a reason", len(why), MAX_TEXT)
    for name in ("site", "version", "boot_id", "policy_digest"):
        _at_most(f"the length of {name}", len(getattr(hello, name)), 2 * MAX_NAME)
    check_open_faults(hello.open)


def check_open_faults(open_faults: agent_pb2.OpenFaults) -> None:
    _at_most("open faults", len(open_faults.faults), MAX_OPEN_FAULTS)


def bounded_event(event: agent_pb2.HostEvent) -> agent_pb2.HostEvent:
    """The event, its detail cut to MAX_TEXT characters; ids that are too long raise UsageError."""
    _check_numbered(event.spool, event.seq)
    _at_most("the length of an id", max(len(event.order_id), len(event.run_id), len(event.boot_id)), MAX_NAME)
    _at_most("the length of fault_kind", len(event.fault_kind), MAX_NAME)
    if len(event.detail) > MAX_TEXT:
        event.detail = (
            event.detail[: MAX_TEXT - 1] + "…"
        )  # refusing it would only make the agent send it again
    return event


def bounded_samples(batch: agent_pb2.SampleBatch) -> agent_pb2.SampleBatch:
    _check_numbered(batch.spool, batch.seq)
    _at_most("samples in a batch", len(batch.samples), MAX_SAMPLES)
    _at_most("the length of an id", max(len(batch.run_id), len(batch.boot_id)), MAX_NAME)
    for sample in batch.samples:
        _at_most("the length of probe_id", len(sample.probe_id), 4 * MAX_NAME)
        if len(sample.detail) > MAX_TEXT:
            sample.detail = sample.detail[: MAX_TEXT - 1] + "…"
    return batch


@dataclass(slots=True)
class Pace:
    """How long to wait before the next message is read: in the long run no agent sends more than `per_s`."""

    per_s: float = 500.0
    burst: float = 1_000.0
    _allowance: float = 1_000.0
    _last_ns: int = 0

    def wait_s(self, now_ns: int) -> float:
        """Count one message; 0.0 when it is within the pace."""
        gained = (now_ns - self._last_ns) * self.per_s / 1e9
        self._allowance = min(self.burst, self._allowance + gained) - 1
        self._last_ns = now_ns
        return max(0.0, -self._allowance / self.per_s)


def _check_numbered(spool: str, seq: int) -> None:
    _at_most("the length of a spool's id", len(spool), MAX_NAME)
    if not spool or seq < 1:
        raise UsageError(f"a spooled message needs a spool id and a seq from 1, got {spool!r} and {seq}")


def _at_most(what: str, number: int, limit: int) -> None:
    if number > limit:
        raise UsageError(f"agent message refused: {what}: {number}, the most is {limit}")
