"""What an order becomes, and that nothing in it is ever silently dropped."""

from __future__ import annotations

import pytest
from blackstart_agent.errors import InvalidOrder
from blackstart_agent.faults import FAULTS
from blackstart_agent.faults.base import Fault
from blackstart_agent.faults.blackout import HostBlackout
from blackstart_agent.faults.crash_loop import UnitCrashLoop
from blackstart_agent.faults.decode import KNOWN_NAMES, decode
from blackstart_agent.faults.disk import DiskFill
from blackstart_agent.faults.dns import NetworkDns
from blackstart_agent.faults.network import (
    NetworkBlackhole,
    NetworkDuplicate,
    NetworkLoss,
    NetworkPartition,
    Verdict,
)
from blackstart_agent.faults.packets import Direction, Protocol
from blackstart_agent.faults.process import ProcessKill, ProcessPause
from blackstart_agent.faults.reset import NetworkReset
from blackstart_agent.faults.resources import ResourcesCpu, ResourcesIo, ResourcesMemory
from blackstart_agent.faults.restart import ProcessRestart, UnitRestart
from blackstart_agent.faults.select import Selector
from blackstart_agent.faults.shape import (
    NetworkBandwidth,
    NetworkCorrupt,
    NetworkDelay,
    NetworkReorder,
)
from blackstart_agent.faults.unit import UnitStop
from blackstart_proto.v1 import faults_pb2 as pb

SELECT = pb.ProcessSelector(unit="redis")
CASES: tuple[tuple[pb.Fault, Fault], ...] = (
    (
        pb.Fault(
            kind="network.partition",
            network_partition=pb.NetworkPartition(
                peers=["10.0.0.1"], ports=[80], direction=pb.DIRECTION_IN, verdict=pb.VERDICT_REJECT
            ),
        ),
        NetworkPartition(("10.0.0.1",), (80,), Direction.IN, Verdict.REJECT),
    ),
    (
        pb.Fault(
            kind="network.blackhole",
            network_blackhole=pb.NetworkBlackhole(peers=["10.0.0.1"], direction=pb.DIRECTION_OUT),
        ),
        NetworkBlackhole(("10.0.0.1",), direction=Direction.OUT),
    ),
    (
        pb.Fault(kind="network.loss", network_loss=pb.NetworkLoss(everybody=True, percent=2.5)),
        NetworkLoss((), all=True, percent=2.5),
    ),
    (
        pb.Fault(
            kind="network.partition",
            network_partition=pb.NetworkPartition(peers=["10.0.0.1"], protocol=pb.PROTOCOL_UDP),
        ),
        NetworkPartition(("10.0.0.1",), protocol=Protocol.UDP),
    ),
    (
        pb.Fault(kind="network.reset", network_reset=pb.NetworkReset(peers=["10.0.0.1"], ports=[80])),
        NetworkReset(("10.0.0.1",), (80,)),
    ),
    (
        pb.Fault(
            kind="network.delay",
            network_delay=pb.NetworkDelay(
                everybody=True, delay_ms=20, jitter_ms=2, distribution=pb.DISTRIBUTION_PARETO
            ),
        ),
        NetworkDelay((), all=True, delay_ms=20, jitter_ms=2, distribution="pareto"),
    ),
    (
        pb.Fault(
            kind="network.reorder",
            network_reorder=pb.NetworkReorder(
                peers=["10.0.0.1"], direction=pb.DIRECTION_IN, percent=25, delay_ms=3
            ),
        ),
        NetworkReorder(("10.0.0.1",), direction=Direction.IN, percent=25, delay_ms=3),
    ),
    (
        pb.Fault(kind="network.corrupt", network_corrupt=pb.NetworkCorrupt(everybody=True, percent=1)),
        NetworkCorrupt((), all=True, percent=1),
    ),
    (
        pb.Fault(
            kind="network.duplicate",
            network_duplicate=pb.NetworkDuplicate(
                everybody=True, percent=1, ports=[53], protocol=pb.PROTOCOL_UDP
            ),
        ),
        NetworkDuplicate((), (53,), all=True, percent=1, protocol=Protocol.UDP),
    ),
    (
        pb.Fault(
            kind="network.bandwidth",
            network_bandwidth=pb.NetworkBandwidth(everybody=True, bits_per_s=1_000_000),
        ),
        NetworkBandwidth((), all=True, bits_per_s=1_000_000),
    ),
    (
        pb.Fault(
            kind="network.dns",
            network_dns=pb.NetworkDns(names=["a.*"], failure=pb.DNS_FAILURE_SLOW, delay_ms=20),
        ),
        NetworkDns.asked(("a.*",), "slow", 20),
    ),
    (
        pb.Fault(kind="process.kill", process_kill=pb.ProcessKill(select=SELECT)),
        ProcessKill(Selector(unit="redis")),
    ),
    (
        pb.Fault(kind="process.pause", process_pause=pb.ProcessPause(select=SELECT)),
        ProcessPause(Selector("redis")),
    ),
    (
        pb.Fault(
            kind="process.kill",
            process_kill=pb.ProcessKill(
                select=pb.ProcessSelector(argv="* serve", percent=50, seed=9), signal="TERM"
            ),
        ),
        ProcessKill(Selector(argv="* serve", percent=50, seed=9), "TERM"),
    ),
    (
        pb.Fault(
            kind="process.restart",
            process_restart=pb.ProcessRestart(select=pb.ProcessSelector(port=80, count=2), grace_ms=5),
        ),
        ProcessRestart(Selector(port=80, count=2), 5),
    ),
    (pb.Fault(kind="unit.restart", unit_restart=pb.UnitRestart(units=["a"])), UnitRestart(("a",))),
    (
        pb.Fault(kind="unit.crash_loop", unit_crash_loop=pb.UnitCrashLoop(units=["a"], every_ms=700)),
        UnitCrashLoop(("a",), 700),
    ),
    (pb.Fault(kind="unit.stop", unit_stop=pb.UnitStop(units=["a", "b"])), UnitStop(("a", "b"))),
    (
        pb.Fault(kind="host.blackout", host_blackout=pb.HostBlackout(units_are=pb.UNITS_ARE_FROZEN)),
        HostBlackout(frozen=True),
    ),
    (pb.Fault(kind="host.blackout", host_blackout=pb.HostBlackout()), HostBlackout()),
    (
        pb.Fault(kind="resources.cpu", resources_cpu=pb.ResourcesCpu(percent=80, cores=2)),
        ResourcesCpu(80, 2),
    ),
    (
        pb.Fault(kind="resources.memory", resources_memory=pb.ResourcesMemory(bytes=1 << 30)),
        ResourcesMemory(bytes=1 << 30),
    ),
    (
        pb.Fault(kind="disk.fill", disk_fill=pb.DiskFill(volume="data", percent=95)),
        DiskFill("data", percent=95),
    ),
    (
        pb.Fault(kind="disk.fill", disk_fill=pb.DiskFill(volume="data", inodes=9)),
        DiskFill("data", inodes=9),
    ),
    (
        pb.Fault(kind="resources.io", resources_io=pb.ResourcesIo(volume="data", workers=2, bytes=1 << 20)),
        ResourcesIo("data", 2, 1 << 20),
    ),
)


def order(fault: pb.Fault, **more: object) -> pb.Order:
    made = pb.Order(id="0c9d6c1e", fault=fault, mode=pb.MODE_TETHERED)
    made.requires.extend(more.pop("requires", ()))  # type: ignore[arg-type]
    return made


@pytest.mark.parametrize(("sent", "meant"), CASES, ids=lambda one: getattr(one, "kind", ""))
def test_every_kind_is_read_as_it_was_meant(sent: pb.Fault, meant: Fault) -> None:
    assert decode(order(sent)) == meant


def test_there_is_a_case_for_every_kind() -> None:
    assert {sent.kind for sent, _ in CASES} == set(FAULTS)


def test_an_unknown_kind_is_refused_by_name() -> None:
    with pytest.raises(InvalidOrder, match=r'fault "disk.slow": not known to this agent .*; it knows disk'):
        decode(order(pb.Fault(kind="disk.slow")))


def test_a_required_name_that_is_not_known_is_refused_by_name() -> None:
    with pytest.raises(
        InvalidOrder, match=r"^network\.partition\.jitter: not known to this agent .*; upgrade"
    ):
        decode(order(CASES[0][0], requires=["network.partition.peers", "network.partition.jitter"]))


@pytest.mark.parametrize(
    "name",
    ["network.partition.ports", "process.kill.select.unit", "order.lease_ms", "host.blackout.units_are"],
)
def test_names_of_the_contract_are_known(name: str) -> None:
    assert name in KNOWN_NAMES


@pytest.mark.parametrize("depth", ["order", "fault", "spec", "select"])
def test_a_field_from_the_future_is_refused_at_any_depth(depth: str) -> None:
    made = order(CASES[1][0])
    spec = made.fault.process_kill
    at = {"order": made, "fault": made.fault, "spec": spec, "select": spec.select}[depth]
    at.MergeFromString(b"\xb8\x3e\x01")  # field 999, a number
    with pytest.raises(InvalidOrder, match=r"^order[a-z_.]*: field number 999: not known to this agent"):
        decode(made)


def test_a_choice_from_the_future_is_refused_by_number() -> None:
    sent = pb.Fault(kind="network.partition", network_partition=pb.NetworkPartition(peers=["10.0.0.1"]))
    sent.network_partition.verdict = 7  # type: ignore[assignment]
    with pytest.raises(InvalidOrder, match=r"network\.partition: verdict 7: not known to this agent"):
        decode(order(sent))


def test_parameters_of_another_kind_are_refused() -> None:
    sent = pb.Fault(kind="process.kill", unit_stop=pb.UnitStop(units=["a"]))
    with pytest.raises(InvalidOrder, match=r"process\.kill: the order's parameters are for unit_stop"):
        decode(order(sent))


@pytest.mark.parametrize(
    ("sent", "text"),
    [
        (
            pb.Fault(kind="network.partition", network_partition=pb.NetworkPartition()),
            "peers must be 1 to 65536",
        ),
        (
            pb.Fault(kind="network.partition", network_partition=pb.NetworkPartition(peers=["db-1"])),
            'peer "db-1" is no network',
        ),
        (
            pb.Fault(
                kind="network.partition", network_partition=pb.NetworkPartition(peers=["::/0"], ports=[0])
            ),
            "ports must be 1 to 65535, got 0",
        ),
        (pb.Fault(kind="unit.stop", unit_stop=pb.UnitStop()), "units must name at least one unit"),
        (
            pb.Fault(kind="process.pause", process_pause=pb.ProcessPause()),
            "exactly one of unit, executable, name, cgroup, argv, port and user must be set, got none",
        ),
        (
            pb.Fault(
                kind="process.pause",
                process_pause=pb.ProcessPause(select=pb.ProcessSelector(executable="redis")),
            ),
            'executable must be an absolute path, got "redis"',
        ),
    ],
)
def test_limits_are_checked_at_birth_and_named(sent: pb.Fault, text: str) -> None:
    with pytest.raises(InvalidOrder) as caught:
        decode(order(sent))
    assert text in str(caught.value)
