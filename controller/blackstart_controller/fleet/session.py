"""One connected host: what is to be written to it, and what it has been asked."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeAlias

from blackstart_proto.v1 import agent_pb2, faults_pb2

from blackstart_controller.errors import BlackstartError, Unreachable
from blackstart_controller.fleet.clock import Exchange
from blackstart_controller.fleet.dispatch import Dispatcher

MAX_QUEUED = 1_024
STALL_S = 5.0  # a stream that takes nothing for so long is closed; its agent reverts on its own
Outgoing: TypeAlias = agent_pb2.ToAgent | Callable[[], agent_pb2.ToAgent]


class Stream(Protocol):
    """One agent's stream, as the controller sees it."""

    async def read(self) -> agent_pb2.FromAgent | None:
        """The next message; None at the end."""
        ...

    async def write(self, message: agent_pb2.ToAgent) -> None:
        """Raises Unreachable when the stream has ended."""
        ...


class HostSession:
    """Bounded and ordered towards the host. `end` is called once, with why the stream must go."""

    def __init__(
        self,
        hello: agent_pb2.Hello,
        stream: Stream,
        dispatcher: Dispatcher,
        end: Callable[[BlackstartError], None],
    ) -> None:
        self.host = hello.host
        self.hello = hello
        self.ended = False
        self.failed = False  # something of this stream could not be stored
        self.heard_ns = time.monotonic_ns()
        self._stream = stream
        self._dispatcher = dispatcher
        self._end = end
        self._queue: deque[Outgoing] = deque()
        self._scheduled = True  # until `release`: nothing goes before Welcome
        self._number = 0
        self._answers: dict[int, asyncio.Future[faults_pb2.Resolution]] = {}
        self._clocks: dict[int, tuple[int, asyncio.Future[Exchange]]] = {}
        self._reports: list[asyncio.Future[Sequence[agent_pb2.OpenFault]]] = []

    def post(self, message: Outgoing) -> None:
        """Queue a message behind the others. A callable is built at the moment of writing."""
        if self.ended:
            raise lost(self.host)
        if len(self._queue) >= MAX_QUEUED:
            error = Unreachable(f"agent {self.host}: {MAX_QUEUED} messages wait for it; its stream is closed")
            self.close(error)
            raise error
        self._queue.append(message)
        if not self._scheduled:
            self._scheduled = True
            self._dispatcher.ready(self)

    def release(self) -> None:
        """Welcome is written: what was queued meanwhile goes now."""
        self._dispatcher.ready(self)

    async def flush(self) -> None:
        """Everything queued is written, or the session is closed."""
        try:
            async with asyncio.timeout(STALL_S):
                while self._queue and not self.ended:
                    message = self._queue.popleft()
                    await self._stream.write(message() if callable(message) else message)
        except TimeoutError:
            self.close(Unreachable(f"agent {self.host}: took no message for {STALL_S} s; stream closed"))
        except Unreachable as error:
            self.close(error)
        finally:
            self._scheduled = False

    async def ask(
        self, request: Callable[[int], agent_pb2.ToAgent], *, timeout_s: float, on_silence: str
    ) -> faults_pb2.Resolution:
        """The agent's answer to one numbered request. `on_silence` says what a missing answer means."""
        self._number += 1
        number = self._number
        answer = asyncio.get_running_loop().create_future()
        self._answers[number] = answer
        try:
            self.post(request(number))
            return await asyncio.wait_for(answer, timeout_s)
        except TimeoutError:
            raise Unreachable(f"agent {self.host}: no answer in {timeout_s} s; {on_silence}") from None
        finally:
            del self._answers[number]

    async def exchange(self, *, timeout_s: float) -> Exchange:
        """One exchange of clocks; raises Unreachable."""
        self._number += 1
        number = self._number
        answered: asyncio.Future[Exchange] = asyncio.get_running_loop().create_future()

        def build() -> agent_pb2.ToAgent:
            probe = agent_pb2.ToAgent(clock=agent_pb2.ClockProbe(id=number))
            self._clocks[number] = (time.monotonic_ns(), answered)
            return probe

        try:
            self.post(build)
            return await asyncio.wait_for(answered, timeout_s)
        except TimeoutError:
            raise Unreachable(f"agent {self.host}: no clock answer in {timeout_s} s") from None
        finally:
            self._clocks.pop(number, None)

    async def report_faults(self, *, timeout_s: float) -> Sequence[agent_pb2.OpenFault]:
        report = asyncio.get_running_loop().create_future()
        self.post(agent_pb2.ToAgent(report_faults=agent_pb2.ReportFaults()))
        self._reports.append(report)
        try:
            return await asyncio.wait_for(report, timeout_s)
        except TimeoutError:
            raise Unreachable(f"agent {self.host}: no report of its faults in {timeout_s} s") from None

    def answered(self, answer: agent_pb2.Answer) -> None:
        waiting = self._answers.get(answer.request)
        if waiting is not None and not waiting.done():
            waiting.set_result(answer.resolution)

    def clock_answered(self, reply: agent_pb2.ClockReply, read_ns: int) -> None:
        sent_ns, waiting = self._clocks.get(reply.id, (0, None))
        if waiting is not None and not waiting.done():
            waiting.set_result(Exchange(sent_ns, reply.received_ns, reply.sent_ns, read_ns))

    def reported(self, faults: Sequence[agent_pb2.OpenFault]) -> None:
        reports, self._reports = self._reports, []
        for report in reports:
            if not report.done():
                report.set_result(faults)

    def fail(self, why: BlackstartError) -> None:
        """Something of this stream could not be dealt with: nothing after it may be, and the stream ends."""
        self.failed = True
        self.close(why)

    def close(self, why: BlackstartError) -> None:
        """Nothing is written any more; everybody who waits gets Unreachable."""
        if self.ended:
            return
        self.ended = True
        self._queue.clear()
        waiting: list[asyncio.Future[Any]] = [
            *self._answers.values(),
            *(entry[1] for entry in self._clocks.values()),
            *self._reports,
        ]
        for future in waiting:
            if not future.done():
                future.set_exception(lost(self.host))
                future.exception()  # it may have no one waiting any more: that is no error
        self._end(why)


def lost(host: str) -> Unreachable:
    return Unreachable(f"agent {host}: its stream was lost; it reverts on its own when its grace ends")


def not_connected(host: str) -> Unreachable:
    return Unreachable(f"agent {host}: not connected; start blackstart-agent there or leave the host out")
