"""Both ends of the control plane over real gRPC on loopback."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from blackstart_agent.link import relay
from blackstart_agent.link.stream import LinkUsedUp
from blackstart_controller.errors import Refused, Unreachable
from blackstart_controller.fleet.clock import error_ns_at
from blackstart_controller.plan import model
from blackstart_controller.plan.faults.network import NetworkPartition
from blackstart_controller.plan.faults.unit import UnitStop
from blackstart_controller.plan.fleet import HostView
from blackstart_proto.v1 import agent_pb2, guardian_pb2
from support.control_plane import BOOT, Controller, linked, until

RUN = "00000000-0000-4000-8000-000000000001"


@pytest.fixture
async def controller(tmp_path: Path) -> AsyncIterator[Controller]:
    made = Controller(tmp_path / "controller")
    await made.start()
    yield made
    await made.stop()


def order(host: str = "db-1") -> model.HostOrder:
    return model.HostOrder(
        id="o-1",
        host=host,
        step=0,
        fault=UnitStop(units=("redis",)),
        mode=model.Mode.TETHERED,
        at_s=0.0,
        hold_s=10.0,
        lease_s=15.0,
    )


async def test_a_host_that_said_hello_is_in_the_snapshot(controller: Controller, tmp_path: Path) -> None:
    async with linked(controller, "db-1", tmp_path) as agent:
        await until(lambda: agent.guardian.streams() == [True])
        (host,) = controller.hub.snapshot().hosts
        assert host == HostView(
            name="db-1",
            site="busan",
            labels={"role": "db", "host": "db-1", "site": "busan"},
            addresses=("10.0.0.1",),
            connected=True,
            fault_kinds=("unit.stop",),
            unsupported={"network.partition": "no nft"},
            probe_kinds=("tcp",),
        )
    await until(lambda: not controller.hub.connected("db-1"))
    assert controller.hub.snapshot().hosts[0].connected is False
    await until(lambda: controller.recorder.told == ["connected db-1 0", "lost db-1"])


async def test_hello_tells_the_faults_that_are_open(controller: Controller, tmp_path: Path) -> None:
    async with linked(controller, "db-1", tmp_path) as agent:
        agent.guardian.open.append(agent_pb2.OpenFault(order_id="o-9", state=agent_pb2.FAULT_STATE_INJECTED))
        await until(lambda: controller.recorder.told == ["connected db-1 1"])
        assert controller.hub.snapshot().hosts[0].open_faults == 1
        assert [fault.order_id for fault in await controller.hub.report_faults("db-1")] == ["o-9"]


async def test_resolve_and_arm_bring_the_guardians_own_answer(controller: Controller, tmp_path: Path) -> None:
    async with linked(controller, "db-1", tmp_path) as agent:
        await until(lambda: controller.hub.connected("db-1"))
        resolved = await controller.hub.resolve(RUN, order())
        armed = await controller.hub.arm(RUN, order())
        assert [hit.effect for hit in (*resolved.hits, *armed.hits)] == ["resolve", "arm"]
        arm = next(message.arm for message in agent.guardian.got if message.WhichOneof("body") == "arm")
        assert (arm.order.run_id, arm.order.host, arm.order.lease_ms) == (RUN, "db-1", 15_000)


async def test_an_answer_that_does_not_come_is_unreachable(controller: Controller, tmp_path: Path) -> None:
    async with linked(controller, "db-1", tmp_path) as agent:
        await until(lambda: controller.hub.connected("db-1"))
        agent.guardian.answering = False
        with pytest.raises(
            Unreachable, match=r"agent db-1: no answer in 2\.0 s; the order may be armed there"
        ):
            await controller.hub.arm(RUN, order())


async def test_who_waits_hears_of_a_lost_stream_at_once(controller: Controller, tmp_path: Path) -> None:
    async with linked(controller, "db-1", tmp_path) as agent:
        await until(lambda: controller.hub.connected("db-1"))
        agent.guardian.answering = False
        arming = asyncio.create_task(controller.hub.arm(RUN, order()))
        await until(lambda: "arm" in agent.guardian.kinds())
    with pytest.raises(Unreachable, match="agent db-1: its stream was lost"):
        await arming
    with pytest.raises(Unreachable, match="agent db-1: not connected; start blackstart-agent there"):
        await controller.hub.renew("db-1", ["o-1"], 5_000)


async def test_orders_reach_the_guardian_in_order(controller: Controller, tmp_path: Path) -> None:
    async with linked(controller, "db-1", tmp_path) as agent:
        await until(lambda: controller.hub.connected("db-1"))
        hub = controller.hub
        (estimate,) = (await hub.measure_clocks(["db-1", "nobody"])).values()
        await hub.inject("db-1", ["o-1"], at_ns=estimate.offset_ns + 1_000_000)
        await hub.renew("db-1", ["o-1"], 5_000)
        await hub.revert("db-1", ["o-1"], "done")
        await hub.revert_all("halt")
        await until(lambda: "revert_all" in agent.guardian.kinds())
        said = [message for message in agent.guardian.got if message.WhichOneof("body") in ORDERS]
        assert [message.WhichOneof("body") for message in said] == list(ORDERS)
        assert said[0].inject.at_mono_ns == 1_000_000  # on the host's clock
        assert said[1].renew.lease_ms == 5_000
        assert said[2].revert.reason == "done"


ORDERS = ("inject", "renew", "revert", "revert_all")


async def test_inject_needs_a_clock_measured_in_this_boot(controller: Controller, tmp_path: Path) -> None:
    async with linked(controller, "db-1", tmp_path):
        await until(lambda: controller.hub.connected("db-1"))
        controller.hub._clocks._estimates.clear()
        with pytest.raises(Unreachable, match="agent db-1: its clock is not measured yet"):
            await controller.hub.inject("db-1", ["o-1"], at_ns=1)


async def test_a_measured_offset_is_right_within_its_error(controller: Controller, tmp_path: Path) -> None:
    async with linked(controller, "db-1", tmp_path):
        await until(lambda: controller.hub.connected("db-1"))
        estimate = (await controller.hub.measure_clocks(["db-1"]))["db-1"]
        # One machine has one monotonic clock: the true offset is 0.
        assert abs(estimate.offset_ns) <= estimate.error_ns < 50_000_000
        assert estimate.boot_id == BOOT
        assert error_ns_at(estimate, estimate.at_ns + 10 * 10**9) == estimate.error_ns + 500_000
        assert estimate in controller.recorder.clocks


async def test_events_are_stored_before_they_are_acknowledged(controller: Controller, tmp_path: Path) -> None:
    async with linked(controller, "db-1", tmp_path) as agent:
        await until(lambda: controller.hub.connected("db-1"))
        controller.recorder.gate.clear()
        agent.guardian.event(1)
        await controller.hub.measure_clocks(["db-1"])  # a round trip later there is still no acknowledgement
        assert agent.guardian.acks() == []
        controller.recorder.gate.set()
        await until(lambda: agent.guardian.acks() == [1])
        assert list(controller.recorder.events) == [("g-1", 1)]
        assert controller.hub.snapshot().hosts[0].open_faults == 1


async def test_events_of_a_time_without_controller_arrive_once_and_in_order(
    controller: Controller, tmp_path: Path
) -> None:
    async with linked(controller, "db-1", tmp_path) as agent:
        await until(lambda: agent.guardian.streams() == [True])
        agent.guardian.event(1)
        await until(lambda: agent.guardian.acks() == [1])
        await controller.stop()
        await until(lambda: agent.guardian.streams() == [True, False])
        for seq in (4, 2, 3, 2):  # as if newer ones overtook those that the guardian sends again
            agent.guardian.event(seq)
        await controller.start()
        await until(lambda: bool(agent.guardian.acks()) and agent.guardian.acks()[-1] == 4)
        assert list(controller.recorder.events) == [("g-1", seq) for seq in (1, 2, 3, 4)]
        assert agent.guardian.acks() == [1, 2, 3, 4]


async def test_nothing_is_stored_past_a_failure(controller: Controller, tmp_path: Path) -> None:
    async with linked(controller, "db-1", tmp_path) as agent:
        await until(lambda: agent.guardian.streams() == [True])
        controller.recorder.failing = OSError("disk full")
        agent.guardian.event(1)
        agent.guardian.event(2)
        await until(lambda: agent.guardian.streams()[:2] == [True, False])
        assert controller.recorder.events == {}
        controller.recorder.failing = None
        await until(lambda: len(controller.recorder.events) == 2)
        assert list(controller.recorder.events) == [("g-1", 1), ("g-1", 2)]


async def test_a_lost_controller_is_told_to_the_guardian_at_once(
    controller: Controller, tmp_path: Path
) -> None:
    async with linked(controller, "db-1", tmp_path) as agent:
        await until(lambda: agent.guardian.streams() == [True])
        before = time.monotonic()
        await controller.stop()
        await until(lambda: agent.guardian.streams() == [True, False])
        assert time.monotonic() - before < 1.0
        await controller.start()
        await until(lambda: agent.guardian.streams() == [True, False, True])


async def test_samples_are_kept_while_the_controller_is_away(controller: Controller, tmp_path: Path) -> None:
    probe = model.PlannedProbe("web/0@db-1", "web", "db-1", 100, 1_000, model.TcpProbe("w1:80"))
    async with linked(controller, "db-1", tmp_path) as agent:
        await until(lambda: controller.hub.connected("db-1"))
        await controller.hub.start_probes("db-1", RUN, [probe])
        await until(lambda: RUN in agent.prober.running)
        assert agent.prober.running[RUN][0].tcp.address == "w1:80"
        agent.prober.deliver(RUN, [agent_pb2.Sample(probe_id=probe.id, k=0)])
        await until(lambda: len(controller.recorder.samples) == 1)
        await controller.stop()
        await until(lambda: agent.guardian.streams() == [True, False])
        agent.prober.deliver(RUN, [agent_pb2.Sample(probe_id=probe.id, k=k) for k in range(1, 451)])
        await controller.start()
        await until(lambda: len(stored_ks(controller)) == 451)
        assert stored_ks(controller) == list(range(451))
        assert [key[1] for key in controller.recorder.samples] == [1, 2, 3, 4]
        await controller.hub.stop_probes("db-1", RUN)
        await until(lambda: not agent.prober.running)


def stored_ks(controller: Controller) -> list[int]:
    return [sample.k for batch in controller.recorder.samples.values() for sample in batch.samples]


async def test_a_newer_stream_of_a_host_replaces_the_older(controller: Controller, tmp_path: Path) -> None:
    identity = controller.identity("db-1")
    async with linked(controller, "db-1", tmp_path / "a", identity=identity) as first:
        await until(lambda: first.guardian.streams() == [True])
        async with linked(controller, "db-1", tmp_path / "b", identity=identity) as second:
            await until(lambda: second.guardian.streams()[:1] == [True])
            await until(lambda: first.guardian.streams()[:2] == [True, False])
            assert controller.hub.connected("db-1")


async def test_a_revoked_host_is_refused_by_name(controller: Controller, tmp_path: Path) -> None:
    async with linked(controller, "db-1", tmp_path) as agent:
        await until(lambda: controller.hub.connected("db-1"))
        controller.hosts.revoke("db-1")
        controller.hub.disconnect("db-1", "revoked")
        await until(lambda: agent.guardian.streams() == [True, False])
        assert not controller.hub.connected("db-1")


async def test_a_link_whose_guardian_is_gone_ends(controller: Controller, tmp_path: Path) -> None:
    async with linked(controller, "db-1", tmp_path) as agent:
        await until(lambda: controller.hub.connected("db-1"))
        await agent.guardian.close()
        await asyncio.wait_for(agent.running, 5)
        await until(lambda: not controller.hub.connected("db-1"))


async def test_an_order_that_no_packet_holds_is_refused(controller: Controller, tmp_path: Path) -> None:
    async with linked(controller, "db-1", tmp_path) as agent:
        agent.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16_384)
        await until(lambda: controller.hub.connected("db-1"))
        answer = await controller.hub.arm(RUN, partition_of(40_000))
        assert len(answer.refusals) == 1 and answer.refusals[0].startswith("order too large: ")


async def test_an_order_that_no_message_holds_is_refused(controller: Controller, tmp_path: Path) -> None:
    async with linked(controller, "db-1", tmp_path):
        await until(lambda: controller.hub.connected("db-1"))
        with pytest.raises(Refused, match=r"order o-1 for host db-1: [0-9]+ bytes; the most is 1000000"):
            await controller.hub.arm(RUN, partition_of(100_000))
        assert controller.hub.connected("db-1")


def partition_of(peers: int) -> model.HostOrder:
    networks = tuple(f"10.{number >> 8}.{number & 255}.0/24" for number in range(peers))
    fault = NetworkPartition(peers=networks)
    return model.HostOrder("o-1", "db-1", 0, fault, model.Mode.TETHERED, 0.0, 10.0, 15.0)


async def test_every_message_to_an_agent_is_dealt_with(
    controller: Controller, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with linked(controller, "db-1", tmp_path) as agent:
        await until(lambda: agent.guardian.streams() == [True])
        session = controller.hub._session("db-1")
        for name in agent_pb2.ToAgent.DESCRIPTOR.fields_by_name:
            message = agent_pb2.ToAgent()
            getattr(message, name).SetInParent()
            session.post(message)
        passed_on = set(guardian_pb2.ToGuardian.DESCRIPTOR.fields_by_name)
        await until(lambda: passed_on <= set(agent.guardian.kinds()))
        assert controller.hub.connected("db-1")
        assert "of a kind" not in caplog.text


async def test_every_message_to_a_link_is_dealt_with(
    controller: Controller, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with linked(controller, "db-1", tmp_path) as agent:
        await until(lambda: agent.guardian.streams() == [True])
        for name in guardian_pb2.FromGuardian.DESCRIPTOR.fields_by_name:
            message = guardian_pb2.FromGuardian()
            getattr(message, name).SetInParent()
            if name == "event":
                message.event.spool, message.event.seq = "g-1", 1
            agent.guardian.send(message)
        await until(lambda: agent.guardian.acks() == [1])
        assert "of a kind" not in caplog.text


async def test_a_hub_that_stops_has_told_of_every_loss(controller: Controller, tmp_path: Path) -> None:
    async with linked(controller, "db-1", tmp_path) as agent:
        await until(lambda: agent.guardian.streams() == [True])
        await controller.hub.stop()
        assert controller.recorder.told == ["connected db-1 0", "lost db-1"]
        await until(lambda: agent.guardian.streams()[:2] == [True, False])


async def test_a_link_that_cannot_hold_all_events_makes_room_for_a_new_one(
    controller: Controller, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay, "MAX_KEPT", 3)
    async with linked(controller, "db-1", tmp_path) as agent:
        controller.recorder.gate.clear()
        await until(lambda: agent.guardian.streams() == [True])
        for seq in range(1, 6):
            agent.guardian.event(seq)
        await controller.hub.measure_clocks(["db-1"])
        controller.recorder.gate.set()
        with pytest.raises(LinkUsedUp):
            await asyncio.wait_for(asyncio.shield(agent.running), 5)
        assert agent.guardian.acks()[-1] <= 3
        assert list(controller.recorder.events) == [("g-1", seq) for seq in (1, 2, 3)]
