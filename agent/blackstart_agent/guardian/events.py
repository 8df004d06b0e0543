"""What happened on this host, in order: on the disk first, then sent until it is acknowledged."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from blackstart_proto.v1 import agent_pb2 as pb

from blackstart_agent.host.ports import Clock
from blackstart_agent.spool import Spool, SpoolFull

MAX_DETAIL = 2_000


class EventLog:
    """Appending never fails: what the disk does not take waits in memory, and nothing overtakes it.

    `append`, `flush` and `ack` are called by one thread; `pending` by any. Without a spool, because the disk
    gives none, everything waits in memory.
    """

    def __init__(self, spool: Spool | None) -> None:
        self._spool = spool
        self._backlog: deque[bytes] = deque()
        self.failing = False  # the disk refused an event and has not taken it since

    def append(self, event: pb.HostEvent) -> bool:
        """Whether the event, and all before it, are on the disk."""
        self.remember(event)
        return self.flush()

    def remember(self, event: pb.HostEvent) -> None:
        """The event waits for the next `flush`."""
        self._backlog.append(event.SerializeToString())

    def flush(self) -> bool:
        """Whether everything appended so far is on the disk."""
        if self._spool is None:
            self.failing = True
            return False
        try:
            self._spool.append_many(list(self._backlog))
        except (OSError, SpoolFull):
            self.failing = True
            return False
        self._backlog.clear()
        self.failing = False
        return True

    def pending(self, after: int, limit: int = 100) -> Sequence[pb.HostEvent]:
        """The next unacknowledged events, ready to be sent."""
        if self._spool is None:
            return []
        found = []
        for record in self._spool.pending(after, limit):
            event = pb.HostEvent.FromString(record.payload)
            event.spool, event.seq = self._spool.id, record.seq
            found.append(event)
        return found

    def ack(self, spool: str, seq: int) -> None:
        """Stored by the controller; an acknowledgement of another spool says nothing about ours."""
        if self._spool is not None and spool == self._spool.id:
            self._spool.ack(seq)


def event(
    clock: Clock,
    kind: pb.EventKind.ValueType,
    *,
    order_id: str,
    run_id: str = "",
    fault_kind: str = "",
    detail: str = "",
    first_ns: int = 0,
    last_ns: int = 0,
) -> pb.HostEvent:
    """An event of this moment, without its number."""
    return pb.HostEvent(
        boot_id=clock.boot_id(),
        mono_ns=clock.monotonic_ns(),
        wall_ns=clock.wall_ns(),
        kind=kind,
        order_id=order_id,
        run_id=run_id,
        fault_kind=fault_kind,
        detail=detail[:MAX_DETAIL],
        first_ns=first_ns,
        last_ns=last_ns,
    )
