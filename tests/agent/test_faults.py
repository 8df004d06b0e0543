"""The contract that every fault keeps, over an example of each."""

from __future__ import annotations

import json

import pytest
from blackstart_agent.errors import HostError
from blackstart_agent.faults import FAULTS, sweep
from blackstart_agent.faults.base import NOTHING_HELD, Fault, Surroundings, Undo
from blackstart_agent.faults.blackout import HostBlackout
from blackstart_agent.faults.crash_loop import UnitCrashLoop
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
from blackstart_agent.policy import Volume
from blackstart_agent.testing import FakeHost

LEASE_NS = 5_000_000_000
AROUND = Surroundings(
    order_id="0c9d6c1e-6f43-4d0a-9a50-0d5e1f1f6b52",
    sealed=False,
    controller=("10.9.0.1", 8471),
    protected_ports=frozenset({22}),
    protected_units=frozenset({"ssh*"}),
    protected_names=frozenset({"sshd"}),
    own_pids=frozenset({90_000}),
    volumes={"data": Volume("/srv/data")},
)
EXAMPLES: tuple[Fault, ...] = (
    NetworkPartition(("10.2.0.0/16", "fd00:2::/32")),
    NetworkPartition(("10.2.0.7",), ports=(6379,), direction=Direction.IN),
    NetworkPartition(("10.2.0.0/16",), direction=Direction.OUT, verdict=Verdict.REJECT),
    NetworkBlackhole(("10.2.0.0/16",), ports=(80,)),
    NetworkBlackhole((), all=True),
    NetworkLoss((), direction=Direction.OUT, all=True, percent=12.5),
    NetworkPartition(("10.2.0.0/16",), protocol=Protocol.ICMP),
    NetworkDuplicate(("10.2.0.0/16",), percent=50),
    NetworkReset((), all=True),
    NetworkDelay((), all=True, delay_ms=20, jitter_ms=5),
    NetworkReorder(("10.2.0.0/16",), percent=25, delay_ms=10),
    NetworkCorrupt(("10.2.0.0/16",), percent=1, protocol=Protocol.UDP),
    NetworkBandwidth(("fd00:2::/32",), ports=(80,), bits_per_s=1_000_000),
    NetworkDns.asked(("*.example.com",), "nxdomain"),
    HostBlackout(),
    HostBlackout(frozen=True),
    ProcessKill(Selector(unit="redis")),
    ProcessKill(Selector(executable="/usr/bin/nginx")),
    ProcessKill(Selector(unit="redis", percent=50, seed=7), signal="HUP"),
    ProcessPause(Selector(name="cron")),
    ProcessPause(Selector(argv="*/nginx", count=1)),
    ProcessRestart(Selector(executable="/usr/bin/nginx"), grace_ms=0),
    UnitRestart(("redis",)),
    UnitCrashLoop(("redis",), every_ms=500),
    ProcessPause(Selector(unit="redis")),
    UnitStop(("redis", "nginx")),
    DiskFill("data", percent=95),
    DiskFill("data", inodes=5_000),
    ResourcesIo("data", workers=2, bytes=1 << 20),
    ResourcesCpu(percent=80),
    ResourcesMemory(percent=90),
)
CUTS = EXAMPLES[:16]
ENDS_AT_ONCE = {"process.kill", "process.restart", "unit.restart"}  # nothing of them lasts
STEPS = ("nothing", "stage", "fire", "finish")
every_fault = pytest.mark.parametrize("fault", EXAMPLES, ids=lambda fault: fault.kind)


def carry_out(fault: Fault, host: FakeHost, until: str = "finish") -> Undo:
    """Prepare, then every step up to `until`; the undo record as it would be read back from disk."""
    undo: Undo = json.loads(json.dumps(fault.prepare(host, AROUND).undo))
    steps = {
        "stage": lambda: fault.stage(host, undo),
        "fire": lambda: fault.fire(host, undo, host.clock.monotonic_ns() + LEASE_NS),
        "finish": lambda: fault.finish(host, undo),
    }
    for name in STEPS[1 : STEPS.index(until) + 1]:
        host.clock.advance(ms=20)
        steps[name]()
    return undo


def test_every_kind_in_the_table_has_an_example() -> None:
    assert {fault.kind for fault in EXAMPLES} == set(FAULTS)
    assert all(cls.kind == kind for kind, cls in FAULTS.items())


@every_fault
def test_preparing_touches_nothing(fault: Fault) -> None:
    host = FakeHost()
    prepared = fault.prepare(host, AROUND)
    assert prepared.hits and host == FakeHost() and not host.nft.transactions and not host.processes.signals


@every_fault
def test_the_rules_that_a_plan_shows_are_those_that_staging_loads(fault: Fault) -> None:
    host = FakeHost()
    shown = fault.prepare(host, AROUND).rules
    carry_out(fault, host, "stage")
    assert host.nft.transactions == ([shown] if shown else [])


@every_fault
def test_staging_has_no_effect_yet(fault: Fault) -> None:
    host = FakeHost()
    carry_out(fault, host, "stage")
    assert host.processes == FakeHost().processes and host.units == FakeHost().units
    assert not any(host.nft.open_elements(*table) for table in host.nft.tables(""))


@every_fault
def test_every_fault_proves_itself_once_it_is_finished(fault: Fault) -> None:
    host = FakeHost()
    undo = carry_out(fault, host)
    assert fault.unproved(host, undo) == []


@pytest.mark.parametrize(
    "fault", [e for e in EXAMPLES if e.kind not in ENDS_AT_ONCE], ids=lambda fault: fault.kind
)
def test_a_fault_in_effect_shows_up_as_leftovers_and_an_unfired_one_as_unproved(fault: Fault) -> None:
    host = FakeHost()
    assert fault.leftovers(host, carry_out(fault, host), NOTHING_HELD)
    host = FakeHost()
    assert fault.unproved(host, carry_out(fault, host, "stage"))


@pytest.mark.parametrize("until", STEPS)
@every_fault
def test_every_fault_leaves_no_trace_from_whichever_step_it_is_reverted(fault: Fault, until: str) -> None:
    host = FakeHost()
    undo = carry_out(fault, host, until)
    FAULTS[fault.kind].revert(host, undo, NOTHING_HELD)
    assert FAULTS[fault.kind].leftovers(host, undo, NOTHING_HELD) == [] and host == FakeHost()


@every_fault
def test_reverting_twice_is_the_same_as_once(fault: Fault) -> None:
    host = FakeHost()
    undo = carry_out(fault, host)
    fault.revert(host, undo, NOTHING_HELD)
    fault.revert(host, undo, NOTHING_HELD)
    assert host == FakeHost()


@every_fault
def test_after_a_reboot_there_is_nothing_left_and_revert_signals_nobody(fault: Fault) -> None:
    host = FakeHost()
    undo = carry_out(fault, host)
    host.reboot()
    host.processes.signals.clear()
    assert fault.leftovers(host, undo, NOTHING_HELD) == []
    fault.revert(host, undo, NOTHING_HELD)
    assert host == FakeHost() and not host.processes.signals


@pytest.mark.parametrize("fault", CUTS, ids=lambda fault: fault.kind)
def test_a_cut_ends_by_itself_at_its_lease_and_renewal_moves_the_lease(fault: Fault) -> None:
    host = FakeHost()
    undo = carry_out(fault, host, "fire")
    ((family, table),) = host.nft.tables("")
    host.clock.advance(ms=4_000)
    fault.renew(host, undo, host.clock.monotonic_ns() + LEASE_NS)
    host.clock.advance(ms=4_999)
    assert host.nft.open_elements(family, table)
    host.clock.advance(ms=1)
    assert not host.nft.open_elements(family, table)


@pytest.mark.parametrize("fault", CUTS, ids=lambda fault: fault.kind)
def test_a_deadline_that_has_passed_never_opens_a_gate(fault: Fault) -> None:
    host = FakeHost()
    undo = carry_out(fault, host, "stage")
    for late in (0, 999_999, -5):
        with pytest.raises(HostError, match=r"the gate stays closed: -?[0-9]+ ms are left"):
            fault.fire(host, undo, host.clock.monotonic_ns() + late)
    assert not any(host.nft.open_elements(*table) for table in host.nft.tables(""))


def test_a_table_that_cannot_be_deleted_is_an_error_and_not_a_revert() -> None:
    host = FakeHost()
    fault = EXAMPLES[0]
    undo = carry_out(fault, host)
    host.nft.fail = "Error: Could not process rule: Operation not permitted"
    with pytest.raises(HostError, match="not permitted"):
        fault.revert(host, undo, NOTHING_HELD)
    assert fault.leftovers(host, undo, NOTHING_HELD) == [
        "table netdev blackstart_0c9d6c1e6f434d0a9a500d5e1f1f6b52"
    ]


def test_sweeping_removes_our_forgotten_tables_and_nobody_elses() -> None:
    host = FakeHost()
    for name in ("blackstart_forgotten", "blackstart_known", "firewall"):
        host.nft.run(f"create table inet {name} {{\n}}")
    assert sweep(host, {"blackstart_known"}) == []
    assert host.nft.tables("") == [("inet", "blackstart_known"), ("inet", "firewall")]


def test_sweeping_tells_what_it_could_not_remove() -> None:
    host = FakeHost()
    host.nft.run("create table inet blackstart_a {\n}")
    host.nft.fail = "Error: Operation not permitted"
    assert sweep(host) == ["table inet blackstart_a stays: Error: Operation not permitted"]


def test_a_damaged_undo_record_is_named_and_nothing_is_done() -> None:
    host = FakeHost()
    with pytest.raises(HostError, match="undo record: table must be a text, got 7"):
        NetworkPartition.revert(host, {"family": "inet", "table": 7}, NOTHING_HELD)
