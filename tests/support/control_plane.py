"""Both ends of the control plane on loopback, with real certificates and a fake guardian."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from blackstart_agent.link import openssl
from blackstart_agent.link.dial import secure_dial
from blackstart_agent.link.guardian_port import SocketPort
from blackstart_agent.link.keystore import Identity
from blackstart_agent.link.samples import SampleOutbox
from blackstart_agent.link.stream import HostFacts, StreamClient
from blackstart_agent.spool import Spool
from blackstart_controller.fleet.hub import FleetHub
from blackstart_controller.fleet.receive import Reception
from blackstart_controller.fleet.server import FleetServer
from blackstart_controller.runs.ports import ClockEstimate
from blackstart_controller.security.authority import Authority
from blackstart_controller.security.enrolment import Enrolment
from blackstart_controller.security.memory import MemoryHosts, MemoryTokens
from blackstart_controller.security.tokens import Tokens
from blackstart_proto.v1 import agent_pb2, faults_pb2, guardian_pb2

BOOT = "boot-1"
PATIENCE_S = 10.0


async def until(condition: Callable[[], bool]) -> None:
    """The condition holds. Looked at again whenever the event loop has done something."""
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110 - conditions of many kinds, in both ends
            await asyncio.sleep(0.002)


class Recorder:
    """A FleetListener that stores once: (spool, seq) is its key, as in the real store."""

    def __init__(self) -> None:
        self.events: dict[tuple[str, int], agent_pb2.HostEvent] = {}
        self.samples: dict[tuple[str, int], agent_pb2.SampleBatch] = {}
        self.told: list[str] = []
        self.clocks: list[ClockEstimate] = []
        self.failing: Exception | None = None
        self.gate = asyncio.Event()
        self.gate.set()

    async def stored_event(self, host: str, event: agent_pb2.HostEvent) -> None:
        await self.gate.wait()
        if self.failing is not None:
            raise self.failing
        self.events.setdefault((event.spool, event.seq), event)

    async def stored_samples(self, host: str, batch: agent_pb2.SampleBatch) -> None:
        self.samples.setdefault((batch.spool, batch.seq), batch)

    async def clock_measured(self, estimate: ClockEstimate) -> None:
        self.clocks.append(estimate)

    async def host_connected(self, host: str, open_faults: Sequence[agent_pb2.OpenFault]) -> None:
        self.told.append(f"connected {host} {len(open_faults)}")

    async def host_lost(self, host: str) -> None:
        self.told.append(f"lost {host}")


class Controller:
    """Authority, tokens, hub and server, as `serve` wires them. `stop` and `start` are a restart."""

    def __init__(self, folder: Path) -> None:
        self.authority = Authority.open(folder / "ca")
        self.hosts = MemoryHosts()
        self.tokens = Tokens(MemoryTokens(), self.authority.pin)
        self.enrolment = Enrolment(self.authority, self.tokens, self.hosts)
        self.recorder = Recorder()
        self.port = 0
        self.hub = FleetHub()
        self.server: FleetServer | None = None

    async def start(self) -> None:
        self.hub = FleetHub(answer_timeout_s=2.0)
        await self.hub.start(self.recorder)
        pair = self.authority.issue_server(["127.0.0.1"])
        reception = Reception(self.hub, self.enrolment, version="test")
        self.server = FleetServer(reception, pair, self.authority.certificate_pem)
        self.port = await self.server.start(f"127.0.0.1:{self.port}")

    async def stop(self) -> None:
        assert self.server is not None
        await self.server.stop()
        await self.hub.stop()

    def identity(self, host: str) -> Identity:
        """A host that is enrolled."""
        self.hosts.hosts.add(host)
        key_pem = openssl.new_key_pem()
        issued = self.authority.sign_host_csr(openssl.request_pem(key_pem, host), host)
        return Identity(key_pem, issued.certificate_pem, issued.authority_pem)


class FakeGuardian:
    """The guardian's end of the socketpair. What the link sent is in `got`."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._socket = sock
        self.got: list[guardian_pb2.ToGuardian] = []
        self.open: list[agent_pb2.OpenFault] = []
        self.answering = True
        self._reader = asyncio.create_task(self._read())
        about = guardian_pb2.About(
            boot_id=BOOT, fault_kinds=["unit.stop"], unsupported={"network.partition": "no nft"}
        )
        self.send(guardian_pb2.FromGuardian(about=about))

    def send(self, message: guardian_pb2.FromGuardian) -> None:
        self._socket.send(message.SerializeToString())

    def event(self, seq: int, *, spool: str = "g-1") -> None:
        event = agent_pb2.HostEvent(
            spool=spool, seq=seq, boot_id=BOOT, kind=agent_pb2.EVENT_KIND_ARMED, order_id=f"o-{seq}"
        )
        self.send(guardian_pb2.FromGuardian(event=event))

    def kinds(self) -> list[str]:
        return [str(message.WhichOneof("body")) for message in self.got]

    def streams(self) -> list[bool]:
        return [message.stream.connected for message in self.got if message.WhichOneof("body") == "stream"]

    def acks(self) -> list[int]:
        return [message.ack.seq for message in self.got if message.WhichOneof("body") == "ack"]

    async def close(self) -> None:
        self._reader.cancel()
        await asyncio.gather(self._reader, return_exceptions=True)
        self._socket.close()

    async def _read(self) -> None:
        loop = asyncio.get_running_loop()
        while data := await loop.sock_recv(self._socket, 1 << 20):
            message = guardian_pb2.ToGuardian.FromString(data)
            self.got.append(message)
            self._answer(message)

    def _answer(self, message: guardian_pb2.ToGuardian) -> None:
        kind = message.WhichOneof("body")
        if kind == "report_faults":
            open_faults = agent_pb2.OpenFaults(faults=self.open)
            self.send(guardian_pb2.FromGuardian(open_faults=open_faults))
        elif kind in ("resolve", "arm") and self.answering:
            asked = message.resolve if kind == "resolve" else message.arm
            hit = faults_pb2.Hit(what="unit", target="redis", effect=kind)
            resolution = faults_pb2.Resolution(order_id=asked.order.id, hits=[hit])
            answer = agent_pb2.Answer(request=asked.request, resolution=resolution)
            self.send(guardian_pb2.FromGuardian(answer=answer))


class FakeProber:
    def __init__(self) -> None:
        self.running: dict[str, list[agent_pb2.Probe]] = {}
        self.deliver: Callable[[str, list[agent_pb2.Sample]], None] = lambda _run, _samples: None

    def start(
        self,
        run_id: str,
        probes: Sequence[agent_pb2.Probe],
        deliver: Callable[[str, list[agent_pb2.Sample]], None],
    ) -> None:
        self.running[run_id] = list(probes)
        self.deliver = deliver

    def stop(self, run_id: str) -> None:
        self.running.pop(run_id, None)

    def close(self) -> None:
        self.running.clear()


@dataclass
class Agent:
    """A real link in this process, between a fake guardian and the controller."""

    name: str
    guardian: FakeGuardian
    prober: FakeProber
    running: asyncio.Task[None]
    socket: socket.socket


@contextlib.asynccontextmanager
async def linked(
    controller: Controller, name: str, folder: Path, *, identity: Identity | None = None
) -> AsyncIterator[Agent]:
    """An agent that keeps a stream to the controller; gone afterwards."""
    present = identity or controller.identity(name)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    guardian, prober = FakeGuardian(ours), FakeProber()
    port = SocketPort(theirs)
    spool = Spool(folder / f"{name}-samples")
    client = StreamClient(
        HostFacts(name, "0", "busan", {"role": "db"}, ["tcp"], lambda: ["10.0.0.1"]),
        secure_dial(f"127.0.0.1:{controller.port}", lambda: present),
        port,
        samples=SampleOutbox(spool, BOOT),
        prober=prober,
        rng=random.Random(1),
    )
    running = asyncio.create_task(client.run())
    try:
        yield Agent(name, guardian, prober, running, theirs)
    finally:
        await guardian.close()  # its end is the link's end
        await asyncio.gather(running, return_exceptions=True)
        port.close()
        spool.close()
