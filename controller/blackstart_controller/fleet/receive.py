"""One stream's life: who is it, Hello, Welcome, then every message to where it belongs."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from blackstart_proto.v1 import agent_pb2

from blackstart_controller.errors import BlackstartError, Refused, Unreachable, UsageError
from blackstart_controller.fleet import limits
from blackstart_controller.fleet.hub import FleetHub
from blackstart_controller.fleet.session import HostSession, Stream
from blackstart_controller.security.authority import Issued

log = logging.getLogger(__name__)
HELLO_TIMEOUT_S = 10.0
BEAT_MS = 30_000


class Gate(Protocol):
    """Who may connect, and new certificates for those who do. `security.Enrolment` is one."""

    async def is_known(self, host: str) -> bool: ...

    async def renew(self, host: str, csr_pem: bytes) -> Issued: ...


class _Ending:
    """Why a session must end, and the way to stop its reader: the task that called `reading`."""

    def __init__(self) -> None:
        self.why: BlackstartError | None = None
        self._reader: asyncio.Task[None] | None = None

    def end(self, why: BlackstartError) -> None:
        self.why = why
        if self._reader is not None and self._reader is not asyncio.current_task():
            self._reader.cancel()

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Raises `why` when the block ends because of it, or when there was a reason before."""
        if self.why is not None:
            raise self.why
        task = asyncio.current_task()
        assert task is not None
        self._reader = task
        try:
            yield
        except asyncio.CancelledError:
            if self.why is None:
                raise  # the RPC itself was cancelled: the agent is gone
            task.uncancel()
        finally:
            self._reader = None
        if self.why is not None:
            raise self.why


class Reception:
    """Serves streams for a hub."""

    def __init__(self, hub: FleetHub, gate: Gate, *, version: str) -> None:
        self._hub = hub
        self._gate = gate
        self._version = version

    async def serve(self, host: str, stream: Stream) -> None:
        """Deal with the stream of `host`, which its certificate has proved, until either end closes it."""
        if not await self._gate.is_known(host):
            raise Refused(f"host {host}: not enrolled here, or revoked; enrol it: blackstart-agent enroll")
        hello = await _read_hello(host, stream)
        ending = _Ending()
        session = HostSession(hello, stream, self._hub.dispatcher, ending.end)
        self._hub.attach(session)
        log.info("host %s connected", host)
        try:
            await self._welcome(session, stream)
            with ending.reading():
                await self._read_all(session, stream)
        finally:
            self._hub.detach(session)
            log.info("host %s lost: %s", host, ending.why)

    async def _welcome(self, session: HostSession, stream: Stream) -> None:
        # Not queued: gRPC cannot end a call while its very first write is under way.
        welcome = agent_pb2.Welcome(controller_version=self._version, beat_ms=BEAT_MS)
        await stream.write(agent_pb2.ToAgent(welcome=welcome))
        session.release()

    async def _read_all(self, session: HostSession, stream: Stream) -> None:
        pace = limits.Pace()
        while (message := await stream.read()) is not None:
            read_ns = time.monotonic_ns()
            if session.ended:
                return
            session.heard_ns = read_ns
            await self.receive(session, message, read_ns)
            if (wait_s := pace.wait_s(read_ns)) > 0:
                await asyncio.sleep(wait_s)

    async def receive(self, session: HostSession, message: agent_pb2.FromAgent, read_ns: int) -> None:
        """Give one message to whom it concerns. Unknown and repeated kinds are refused by name."""
        match message.WhichOneof("body"):
            case "clock":
                session.clock_answered(message.clock, read_ns)
            case "answer":
                session.answered(message.answer)
            case "event":
                await self._store_event(session, limits.bounded_event(message.event))
            case "samples":
                await self._store_samples(session, limits.bounded_samples(message.samples))
            case "beat":
                pass  # heard_ns says it all
            case "open_faults":
                limits.check_open_faults(message.open_faults)
                self._hub.roster.reported(session.host, message.open_faults.faults)
                session.reported(message.open_faults.faults)
            case "certificate_request":
                await self._renew(session, message.certificate_request.csr_pem)
            case "hello":
                raise UsageError(f"agent {session.host}: a second Hello on one stream; open a new stream")
            case _:
                raise UsageError(f"agent {session.host}: sent a message of a kind that is not known here")

    async def _store_event(self, session: HostSession, event: agent_pb2.HostEvent) -> None:
        async def store() -> None:
            await self._hub.listener.stored_event(session.host, event)
            self._hub.roster.happened(session.host, event)
            session.post(agent_pb2.ToAgent(ack=agent_pb2.Ack(spool=event.spool, seq=event.seq)))

        await self._in_order(session, store)

    async def _store_samples(self, session: HostSession, batch: agent_pb2.SampleBatch) -> None:
        async def store() -> None:
            await self._hub.listener.stored_samples(session.host, batch)
            session.post(agent_pb2.ToAgent(ack=agent_pb2.Ack(spool=batch.spool, seq=batch.seq)))

        await self._in_order(session, store)

    async def _renew(self, session: HostSession, csr_pem: bytes) -> None:
        async def renew() -> None:
            issued = await self._gate.renew(session.host, csr_pem)
            certificate = agent_pb2.Certificate(
                certificate_pem=issued.certificate_pem, authority_pem=issued.authority_pem
            )
            session.post(agent_pb2.ToAgent(certificate=certificate))

        await self._in_order(session, renew)

    async def _in_order(self, session: HostSession, job: Callable[[], Awaitable[None]]) -> None:
        """Run `job` after this host's earlier ones, in a task that no broken stream cancels."""

        async def guarded() -> None:
            if session.failed:
                return  # an acknowledgement covers all before it: nothing may be stored past a failure
            try:
                await job()
            except Unreachable:
                pass  # stored, but the stream is gone: it will be sent again and stored once
            except BlackstartError as error:
                session.fail(error)
            except Exception:  # the store may fail in any way; the agent keeps what is not acknowledged
                log.exception("host %s: a message could not be stored; its stream is closed", session.host)
                session.fail(Unreachable(f"agent {session.host}: not stored; send it again"))

        await self._hub.inbox(session.host).put(guarded)


async def _read_hello(host: str, stream: Stream) -> agent_pb2.Hello:
    try:
        async with asyncio.timeout(HELLO_TIMEOUT_S):
            first = await stream.read()
    except TimeoutError:
        raise UsageError(f"agent {host}: no Hello in {HELLO_TIMEOUT_S} s") from None
    if first is None or first.WhichOneof("body") != "hello":
        raise UsageError(f"agent {host}: the first message of a stream must be Hello")
    if first.hello.host != host:
        raise Refused(f"agent {host}: says it is host {first.hello.host[:64]!r}; its certificate says {host}")
    limits.check_hello(first.hello)
    return first.hello
