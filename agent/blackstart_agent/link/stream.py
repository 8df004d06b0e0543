"""Keeps a stream to the controller, and passes between it and the guardian. Decides nothing."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import grpc
from blackstart_proto.v1 import agent_pb2, faults_pb2, guardian_pb2

from blackstart_agent.errors import AgentError
from blackstart_agent.link.backoff import Backoff
from blackstart_agent.link.guardian_port import GuardianPort, PacketTooLarge
from blackstart_agent.link.relay import EventRelay
from blackstart_agent.link.renewal import Renewal
from blackstart_agent.link.samples import SampleOutbox
from blackstart_agent.link.session import Session, StreamLost, first_ended

log = logging.getLogger(__name__)
STEADY_S = 10.0  # a stream that lived so long was a good one: the next loss is a new one
REPORT_TIMEOUT_S = 0.5
RENEWAL_TIMEOUT_S = 60.0


class LinkUsedUp(AgentError):
    """This link has done what it can; the guardian starts another."""


class Prober(Protocol):
    """What the link needs of the sampler."""

    def start(
        self,
        run_id: str,
        probes: Sequence[agent_pb2.Probe],
        deliver: Callable[[str, list[agent_pb2.Sample]], None],
    ) -> None: ...

    def stop(self, run_id: str) -> None: ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class HostFacts:
    """What Hello says of this host beyond the guardian's About. `addresses` is asked for each stream anew."""

    name: str
    version: str
    site: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    probe_kinds: Sequence[str] = ()
    addresses: Callable[[], Sequence[str]] = tuple


class StreamClient:
    """The link without its process: `dial` makes a channel, `guardian` may be a fake. Run it once."""

    def __init__(
        self,
        facts: HostFacts,
        dial: Callable[[], grpc.aio.Channel],
        guardian: GuardianPort,
        *,
        samples: SampleOutbox | None = None,
        prober: Prober | None = None,
        renewal: Renewal | None = None,
        rng: random.Random | None = None,
    ) -> None:
        self._facts = facts
        self._dial = dial
        self._guardian = guardian
        self._samples = samples
        self._prober = prober
        self._renewal = renewal
        self._backoff = Backoff(rng or random.Random())  # noqa: S311 - jitter, no secret
        self._relay = EventRelay()
        self._session: Session | None = None
        self._about: guardian_pb2.About | None = None
        self._open: agent_pb2.OpenFaults = agent_pb2.OpenFaults()
        self._introduced = asyncio.Event()
        self._eventful = asyncio.Event()
        self._reported = asyncio.Event()
        self._certificates: asyncio.Queue[agent_pb2.Certificate] = asyncio.Queue()

    async def run(self) -> None:
        """Keep a stream until the guardian is gone."""
        works = [self._listen(), self._keep_connected()]
        if self._samples is not None:
            works.append(self._samples.keep())
        try:
            await first_ended(*works)
        finally:
            if self._prober is not None:
                self._prober.close()

    # ---- from the guardian ----

    async def _listen(self) -> None:
        while (message := await self._guardian.receive()) is not None:
            match message.WhichOneof("body"):
                case "about":
                    self._about, self._open = message.about, message.about.open
                    self._introduced.set()
                case "answer":
                    self._tell(agent_pb2.FromAgent(answer=message.answer))
                case "event":
                    self._relay.add(message.event)
                    self._eventful.set()
                case "open_faults":
                    self._open = message.open_faults
                    self._reported.set()
                    self._tell(agent_pb2.FromAgent(open_faults=message.open_faults))
                case _:
                    log.warning("the guardian sent a message of a kind that this link does not know")

    def _tell(self, message: agent_pb2.FromAgent) -> None:
        """Without a stream nothing waits: the controller asks again, and events are kept by the relay."""
        if self._session is not None:
            self._session.tell(message)

    # ---- the stream ----

    async def _keep_connected(self) -> None:
        await self._introduced.wait()
        while True:
            began_s = time.monotonic()
            wait_s = 0.0  # after a stream that we ended to use a new certificate
            try:
                await self._stream()
            except StreamLost as error:
                if time.monotonic() - began_s > STEADY_S:
                    self._backoff.reset()
                wait_s = self._backoff.next_s()
                log.warning("no stream to the controller (%s); dialling again in %.2f s", error, wait_s)
            await asyncio.sleep(wait_s)

    async def _stream(self) -> None:
        """One stream until it is lost (StreamLost) or a new certificate wants a new one (returns)."""
        async with self._dial() as channel:
            session = Session(channel)
            welcome = await session.open(await self._hello())
            self._connected(session)
            works = [
                self._read(session),
                session.write_all(),
                self._send_events(session),
                self._send_beats(session, welcome.beat_ms / 1000),
            ]
            if self._samples is not None:
                works.append(self._send_samples(session, self._samples))
            if self._renewal is not None:
                works.append(self._renew(session, self._renewal))
            try:
                await first_ended(*works)
            finally:
                self._lost()

    async def _read(self, session: Session) -> None:
        try:
            await session.read_all(self._receive)
        finally:
            self._lost()  # before anything else is tidied up: the guardian's grace begins now

    def _connected(self, session: Session) -> None:
        log.info("connected to the controller")
        self._relay.restart()
        if self._samples is not None:
            self._samples.restart()
        self._eventful.set()
        self._session = session
        self._pass(guardian_pb2.ToGuardian(stream=guardian_pb2.StreamState(connected=True)))

    def _lost(self) -> None:
        if self._session is not None:
            self._session = None
            self._pass(guardian_pb2.ToGuardian(stream=guardian_pb2.StreamState(connected=False)))

    async def _hello(self) -> agent_pb2.Hello:
        assert self._about is not None
        self._reported.clear()
        self._pass(guardian_pb2.ToGuardian(report_faults=agent_pb2.ReportFaults()))
        try:
            async with asyncio.timeout(REPORT_TIMEOUT_S):
                await self._reported.wait()
        except TimeoutError:
            pass  # a guardian that is busy reports later; what it said last is in Hello
        return agent_pb2.Hello(
            host=self._facts.name,
            site=self._facts.site,
            labels=self._facts.labels,
            version=self._facts.version,
            boot_id=self._about.boot_id,
            addresses=self._facts.addresses(),
            fault_kinds=self._about.fault_kinds,
            unsupported=self._about.unsupported,
            probe_kinds=self._facts.probe_kinds,
            policy_digest=self._about.policy_digest,
            open=self._open,
        )

    async def _send_events(self, session: Session) -> None:
        while True:
            await self._eventful.wait()
            self._eventful.clear()
            while (event := self._relay.next()) is not None:
                await session.write(agent_pb2.FromAgent(event=event))

    async def _send_samples(self, session: Session, samples: SampleOutbox) -> None:
        while True:
            for batch in await samples.next():
                await session.write(agent_pb2.FromAgent(samples=batch))

    async def _send_beats(self, session: Session, every_s: float) -> None:
        while True:
            await asyncio.sleep(every_s or 30.0)
            await session.write(agent_pb2.FromAgent(beat=agent_pb2.Beat(mono_ns=time.monotonic_ns())))

    async def _renew(self, session: Session, renewal: Renewal) -> None:
        """Returns when a new certificate is on the disk: gRPC cannot change that of an open channel."""
        while True:
            csr_pem = await renewal.due()
            request = agent_pb2.CertificateRequest(csr_pem=csr_pem)
            await session.write(agent_pb2.FromAgent(certificate_request=request))
            try:
                async with asyncio.timeout(RENEWAL_TIMEOUT_S):
                    if await renewal.accept(await self._certificates.get()):
                        return
            except TimeoutError:
                log.error("no new certificate from the controller in %s s; asking again", RENEWAL_TIMEOUT_S)
            await asyncio.sleep(RENEWAL_TIMEOUT_S)

    # ---- from the controller ----

    def _receive(self, message: agent_pb2.ToAgent) -> None:
        match message.WhichOneof("body"):
            case "resolve":
                self._ask(message.resolve, guardian_pb2.ToGuardian(resolve=message.resolve))
            case "arm":
                self._ask(message.arm, guardian_pb2.ToGuardian(arm=message.arm))
            case "inject":
                self._pass(guardian_pb2.ToGuardian(inject=message.inject))
            case "renew":
                self._pass(guardian_pb2.ToGuardian(renew=message.renew))
            case "revert":
                self._pass(guardian_pb2.ToGuardian(revert=message.revert))
            case "revert_all":
                self._pass(guardian_pb2.ToGuardian(revert_all=message.revert_all))
            case "report_faults":
                self._pass(guardian_pb2.ToGuardian(report_faults=message.report_faults))
            case "ack":
                self._acked(message.ack)
            case _:
                self._receive_own(message)

    def _receive_own(self, message: agent_pb2.ToAgent) -> None:
        """Messages that are for the link itself."""
        match message.WhichOneof("body"):
            case "start_probes":
                if self._prober is not None and self._samples is not None:
                    start = message.start_probes
                    self._prober.start(start.run_id, start.probes, self._samples.add)
            case "stop_probes":
                if self._prober is not None:
                    self._prober.stop(message.stop_probes.run_id)
            case "certificate":
                self._certificates.put_nowait(message.certificate)
            case "welcome":
                pass  # a repeated one says nothing new
            case _:
                log.error("the controller sent a message of a kind that this agent does not know; update it")

    def _acked(self, ack: agent_pb2.Ack) -> None:
        if self._samples is not None and ack.spool == self._samples.spool_id:
            self._samples.acked(ack)
        else:
            self._relay.acked(ack)
            self._pass(guardian_pb2.ToGuardian(ack=ack))
            if self._relay.exhausted:
                raise LinkUsedUp(
                    "more events wait with the guardian than a link can hold; a new link takes them"
                )

    def _ask(self, asked: agent_pb2.Resolve | agent_pb2.Arm, message: guardian_pb2.ToGuardian) -> None:
        """Pass a request on; one that no packet can hold is refused here, so that nobody waits for it."""
        try:
            self._guardian.send(message)
        except PacketTooLarge as error:
            refusal = faults_pb2.Resolution(order_id=asked.order.id, refusals=[f"order too large: {error}"])
            answer = agent_pb2.Answer(request=asked.request, resolution=refusal)
            self._tell(agent_pb2.FromAgent(answer=answer))

    def _pass(self, message: guardian_pb2.ToGuardian) -> None:
        try:
            self._guardian.send(message)
        except PacketTooLarge as error:
            log.error("a message of the controller was not passed on: %s", error)
