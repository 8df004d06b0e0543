"""The guardian's end of the socketpair to its link. Nothing that comes over it is trusted."""

from __future__ import annotations

import errno
import socket
from collections import deque
from collections.abc import Callable, Sequence

from blackstart_proto.v1 import agent_pb2 as pb
from blackstart_proto.v1 import faults_pb2
from blackstart_proto.v1.guardian_pb2 import FromGuardian, ToGuardian
from google.protobuf.message import DecodeError

MAX_PACKET_BYTES = 1 << 20
MAX_QUEUED = 10_000
PACKETS_PER_TURN = 100
SHOWN_HITS = 100
EVENTS_AHEAD = 1_000  # unsent events wait in the spool, not in memory


class Wire:
    """One link's connection. `closed` once either end is gone; a new link gets a new one."""

    def __init__(self, sock: socket.socket, pending: Callable[[int], Sequence[pb.HostEvent]]) -> None:
        self.socket = sock
        self.closed = False
        self._pending = pending
        self._queue: deque[bytes] = deque()
        self._sent_seq = 0

    @property
    def wants_to_write(self) -> bool:
        return bool(self._queue) and not self.closed

    def send(self, message: FromGuardian) -> None:
        """Queued in order. A link that reads nothing loses its connection, not our memory."""
        if len(self._queue) >= MAX_QUEUED:
            self.closed = True
        if not self.closed:
            self._queue.append(message.SerializeToString())
            self.flush()

    def answer(self, answer: pb.Answer) -> None:
        self.send(FromGuardian(answer=_bounded(answer)))

    def send_events(self) -> None:
        """Every event that this link has not been given is on its way."""
        while not self.closed and len(self._queue) < EVENTS_AHEAD:
            events = self._pending(self._sent_seq)
            if not events:
                return
            for event in events:
                self.send(FromGuardian(event=event))
            self._sent_seq = events[-1].seq

    def flush(self) -> None:
        while self._queue and not self.closed:
            try:
                self.socket.send(self._queue[0])
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno == errno.EMSGSIZE:
                    self._queue.popleft()  # nothing of ours is that large but a listing; the link asks again
                    continue
                self.closed = True
                return
            self._queue.popleft()

    def receive(self) -> list[ToGuardian]:
        """What has arrived, up to a bound; `closed` at the end of it."""
        found: list[ToGuardian] = []
        for _ in range(PACKETS_PER_TURN):
            try:
                data = self.socket.recv(MAX_PACKET_BYTES)
            except BlockingIOError:
                break
            except OSError:
                data = b""
            if not data:
                self.closed = True
                break
            try:
                found.append(ToGuardian.FromString(data))
            except DecodeError:
                continue
        return found


def _bounded(answer: pb.Answer) -> pb.Answer:
    """An answer that fits a packet: of very many hits the first are listed, and how many more there are."""
    more = len(answer.resolution.hits) - SHOWN_HITS
    if more <= 0:
        return answer
    short = pb.Answer()
    short.CopyFrom(answer)
    del short.resolution.hits[SHOWN_HITS:]
    short.resolution.hits.append(faults_pb2.Hit(what="more", target=f"{more} more", effect="as above"))
    return short
