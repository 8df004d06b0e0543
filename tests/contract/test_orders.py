"""What the controller encodes is what the agent decodes."""

from __future__ import annotations

from typing import get_args

import pytest
from blackstart_agent.faults.decode import decode, known_names
from blackstart_agent.faults.process import SIGNALS
from blackstart_agent.link.names import CONTROLLER_NAME as AGENTS_NAME
from blackstart_controller.fleet.encode import encode_order, encode_probe
from blackstart_controller.plan import model
from blackstart_controller.plan.faults import FaultData
from blackstart_controller.plan.faults.disk import DiskFill
from blackstart_controller.plan.faults.host import HostBlackout
from blackstart_controller.plan.faults.network import (
    NetworkBandwidth,
    NetworkBlackhole,
    NetworkCorrupt,
    NetworkDelay,
    NetworkDns,
    NetworkDuplicate,
    NetworkLoss,
    NetworkPartition,
    NetworkReorder,
    NetworkReset,
)
from blackstart_controller.plan.faults.process import (
    ProcessKill,
    ProcessPause,
    ProcessRestart,
    ProcessSelector,
)
from blackstart_controller.plan.faults.resources import ResourcesCpu, ResourcesIo, ResourcesMemory
from blackstart_controller.plan.faults.unit import UnitCrashLoop, UnitRestart, UnitStop
from blackstart_controller.security.identity import CONTROLLER_NAME
from blackstart_controller.spec.faults.process import Signal
from blackstart_proto.v1 import agent_pb2, faults_pb2

REDIS = ProcessSelector(unit="redis.service")
FAULTS: tuple[FaultData, ...] = (
    NetworkPartition(("10.0.0.0/8", "fd00::/8"), (6379,), "in", "reject"),
    NetworkPartition(("10.1.0.0/16",)),
    NetworkBlackhole((), everybody=True),
    NetworkLoss(("10.1.0.0/16",), direction="out", percent=2.5),
    NetworkPartition(("10.1.0.0/16",), protocol="icmp"),
    NetworkReset((), (80,), everybody=True),
    NetworkDelay((), everybody=True, delay_ms=20, jitter_ms=2, distribution="normal"),
    NetworkReorder(("10.1.0.0/16",), percent=25, delay_ms=5),
    NetworkCorrupt(("10.1.0.0/16",), percent=1, protocol="udp"),
    NetworkDuplicate(("10.1.0.0/16",), percent=1, protocol="udp"),
    NetworkBandwidth((), everybody=True, bits_per_s=1_000_000),
    NetworkDns(("*.example.com",), "wrong", addresses=("192.0.2.1",)),
    ProcessKill(REDIS),
    ProcessKill(ProcessSelector(executable="/usr/bin/redis-server")),
    ProcessPause(ProcessSelector(name="redis-server")),
    ProcessKill(ProcessSelector(user="www-data", percent=50, seed=7), "TERM"),
    ProcessRestart(ProcessSelector(port=80, count=2), 500),
    UnitRestart(("redis.service",)),
    UnitCrashLoop(("redis.service",), 500),
    UnitStop(("redis.service",)),
    HostBlackout("killed"),
    HostBlackout("frozen"),
    ResourcesCpu(80, 2),
    ResourcesMemory(percent=90),
    DiskFill("data", percent=95),
    DiskFill("data", inodes=9),
    ResourcesIo("data", 2, 1 << 20),
)
PROBES: tuple[model.ProbeSpec, ...] = (
    model.HttpProbe("http://w1:8080/", (200,), "ok"),
    model.TcpProbe("w1:80"),
    model.RedisProbe(("m1:26379",), "messenger", True),
    model.NatsProbe(("n1:4222",), "news.probe"),
    model.CommandProbe("check-login"),
)


def order(fault: FaultData, mode: model.Mode = model.Mode.TETHERED) -> faults_pb2.Order:
    return encode_order("run-1", model.HostOrder("o-1", "db-1", 0, fault, mode, 0.0, 10.0, 1.5))


@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_an_agent_decodes_every_fault_to_the_same_kind(fault: FaultData) -> None:
    encoded = order(fault)
    assert decode(encoded).kind == fault.kind
    assert set(encoded.requires) <= known_names()


def test_every_fault_of_the_contract_can_be_encoded() -> None:
    kinds = {field.name for field in faults_pb2.Fault.DESCRIPTOR.oneofs_by_name["spec"].fields}
    assert {order(fault).fault.WhichOneof("spec") for fault in FAULTS} == kinds


def test_requires_names_every_field_that_is_set_and_no_other() -> None:
    common = ["order.id", "order.run_id", "order.host", "order.fault", "order.mode"]
    common += ["order.lease_ms", "order.hold_ms"]
    assert list(order(ProcessKill(REDIS)).requires) == [
        *common,
        "process.kill.select",
        "process.kill.select.unit",
    ]
    assert "network.partition.ports" not in order(FAULTS[1]).requires
    assert "network.partition.ports" in order(FAULTS[0]).requires


def test_times_and_modes_are_what_the_plan_says() -> None:
    sealed = order(HostBlackout(), model.Mode.SEALED)
    assert (sealed.lease_ms, sealed.hold_ms, sealed.mode) == (1_500, 10_000, faults_pb2.MODE_SEALED)


def test_every_probe_of_the_contract_can_be_encoded() -> None:
    kinds = {field.name for field in agent_pb2.Probe.DESCRIPTOR.oneofs_by_name["spec"].fields}
    encoded = [encode_probe(model.PlannedProbe("s/0@h", "s", "h", 100, 1_000, spec)) for spec in PROBES]
    assert {probe.WhichOneof("spec") for probe in encoded} == kinds
    assert (encoded[0].id, encoded[0].every_ms, encoded[0].timeout_ms) == ("s/0@h", 100, 1_000)
    assert encoded[2].redis == agent_pb2.RedisProbe(
        addresses=["m1:26379"], sentinel_master="messenger", write=True
    )


def test_both_ends_mean_the_same_name_of_a_controller() -> None:
    assert AGENTS_NAME == CONTROLLER_NAME


def test_both_ends_know_the_same_signals() -> None:
    assert get_args(Signal) == SIGNALS
