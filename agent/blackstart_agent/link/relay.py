"""The guardian's events on their way to the controller: in order on every stream. Pure."""

from __future__ import annotations

import heapq

from blackstart_proto.v1 import agent_pb2

MAX_KEPT = 10_000


class EventRelay:
    """Unacknowledged events, which the guardian has on its disk.

    An acknowledgement covers all events before it. So a stream must begin with the lowest unacknowledged one,
    even when the guardian has just sent a newer: everything it has sent is kept here and sorted.
    """

    def __init__(self) -> None:
        self._spool = ""
        self._events: dict[int, agent_pb2.HostEvent] = {}
        self._unsent: list[int] = []
        self._left_out = False

    def add(self, event: agent_pb2.HostEvent) -> None:
        """Keep an event; one that is on its way already changes nothing."""
        if event.spool != self._spool:  # a new journal: the old one's events exist nowhere any more
            self._spool = event.spool
            self._events.clear()
            self._unsent.clear()
            self._left_out = False
        if event.seq in self._events:
            return
        if self._left_out or len(self._events) >= MAX_KEPT:
            self._left_out = True  # and everything after it: a hole would be acknowledged over
            return
        self._events[event.seq] = event
        heapq.heappush(self._unsent, event.seq)

    def restart(self) -> None:
        """A new stream: everything that is not acknowledged is sent again."""
        self._unsent = sorted(self._events)

    def next(self) -> agent_pb2.HostEvent | None:
        """The next event for this stream, which counts as sent now."""
        while self._unsent:
            event = self._events.get(heapq.heappop(self._unsent))
            if event is not None:
                return event
        return None

    def acked(self, ack: agent_pb2.Ack) -> None:
        if ack.spool == self._spool:
            for seq in [seq for seq in self._events if seq <= ack.seq]:
                del self._events[seq]

    @property
    def exhausted(self) -> bool:
        """What is kept is acknowledged, and more was left out. The guardian sends that to a new link only."""
        return self._left_out and not self._events
