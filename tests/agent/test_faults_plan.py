"""What each fault says it would hit, and what it refuses; and the text of the tables, which is pure."""

from __future__ import annotations

import ipaddress
from dataclasses import replace
from typing import Any

import pytest
from blackstart_agent.errors import HostError, InvalidOrder, Refused
from blackstart_agent.faults import cut
from blackstart_agent.faults.base import Surroundings
from blackstart_agent.faults.blackout import HostBlackout
from blackstart_agent.faults.crash_loop import UnitCrashLoop
from blackstart_agent.faults.network import NetworkPartition
from blackstart_agent.faults.packets import Direction
from blackstart_agent.faults.process import ProcessKill, ProcessPause
from blackstart_agent.faults.restart import UnitRestart
from blackstart_agent.faults.select import Selector
from blackstart_agent.faults.unit import UnitStop
from blackstart_agent.host.ports import SIGKILL, SIGSTOP
from blackstart_agent.testing import FakeHost
from hypothesis import given
from hypothesis import strategies as st

ORDER = "0c9d6c1e-6f43-4d0a-9a50-0d5e1f1f6b52"
CONTROLLER = ("10.9.0.1", 8471)


def around(*, sealed: bool = False, own: int = 0, units: str = "", names: str = "") -> Surroundings:
    return Surroundings(
        ORDER,
        sealed,
        CONTROLLER,
        frozenset({22}),
        frozenset(units.split()),
        frozenset(names.split()),
        frozenset({own}),
    )


def reasons(call: object) -> tuple[str, ...]:
    with pytest.raises(Refused) as caught:
        call()  # type: ignore[operator]
    return caught.value.reasons


def test_overlapping_peers_are_joined() -> None:
    fault = NetworkPartition(("10.2.0.0/24", "10.2.1.0/24", "10.2.0.7", "fd00:2::1"))
    hits = fault.prepare(FakeHost(), around()).hits
    assert [hit.target for hit in hits] == ["10.2.0.0/23", "fd00:2::1/128"]
    assert hits[0].effect == "dropped both ways"


def test_a_cut_of_the_controller_says_that_the_control_path_stays_open() -> None:
    fault = NetworkPartition(("10.9.0.0/16",))
    kept = fault.prepare(FakeHost(), around()).hits[-1]
    assert kept.target == "10.9.0.1:8471" and kept.effect.startswith("kept open: the control path")
    assert len(fault.prepare(FakeHost(), around(sealed=True)).hits) == 1


def test_every_peer_that_is_the_host_itself_is_a_reason() -> None:
    fault = NetworkPartition(("10.1.0.3", "fd00:1::3/128", "10.2.0.0/16"))
    assert reasons(lambda: fault.prepare(FakeHost(), around())) == (
        "network.partition: peer 10.1.0.3/32 is this host itself; name its peers, or use host.blackout",
        "network.partition: peer fd00:1::3/128 is this host itself; name its peers, or use host.blackout",
    )


def test_every_unit_that_cannot_be_stopped_is_a_reason() -> None:
    host = FakeHost()
    host.units.add("idle", running=False)
    host.units.add("ssh")
    own = host.units.processes("nginx")[0].pid
    found = reasons(
        lambda: UnitStop(("idle", "ssh", "nginx", "nine", "redis")).prepare(
            host, around(own=own, units="ssh*")
        )
    )
    assert found == (
        "unit.stop: unit idle does not run",
        "unit.stop: policy.toml protects unit ssh",
        f"unit.stop: unit nginx is blackstart's own (process {own})",
        "unit.stop: no unit nine on this host; it has idle, nginx, redis, ssh",
    )


@pytest.mark.parametrize("fault", [ProcessKill(Selector(name="redis")), ProcessPause(Selector(name="redis"))])
def test_protected_processes_are_refused_however_they_are_selected(fault: ProcessKill | ProcessPause) -> None:
    host = FakeHost()
    (redis,) = host.units.processes("redis")
    label = f'{fault.kind}: name "redis" matches redis[{redis.pid}]: '
    ours = "it belongs to blackstart or to a protected unit"
    assert reasons(lambda: fault.prepare(host, around(own=redis.pid))) == (label + ours,)
    assert reasons(lambda: fault.prepare(host, around(units="red*"))) == (label + ours,)
    assert reasons(lambda: fault.prepare(host, around(names="redis"))) == (
        label + "policy.toml protects its name",
    )


def test_a_blackout_spares_protected_and_own_units_and_kills_behind_a_closed_network() -> None:
    host = FakeHost(units=("redis", "ssh", "blackstart-agent"))
    own = host.units.processes("blackstart-agent")[0].pid
    prepared = HostBlackout().prepare(host, around(own=own, units="ssh"))
    assert [hit.target for hit in prepared.hits if hit.what == "unit"] == ["redis"]
    HostBlackout.stage(host, prepared.undo)
    HostBlackout.fire(host, prepared.undo, host.clock.monotonic_ns() + 10**9)
    assert host.processes.signals == [], "the network is closed before anybody dies"
    HostBlackout.finish(host, prepared.undo)
    assert host.processes.signals == [(SIGKILL, "redis")]


def test_a_frozen_blackout_never_stops_a_protected_name() -> None:
    host = FakeHost()
    undo = HostBlackout(frozen=True).prepare(host, around(names="nginx")).undo
    HostBlackout.stage(host, undo)
    HostBlackout.fire(host, undo, host.clock.monotonic_ns() + 10**9)
    HostBlackout.finish(host, undo)
    assert host.processes.signals == [(SIGSTOP, "redis")]


def test_a_supervisor_that_is_faster_than_the_blackout_is_beaten_in_finish() -> None:
    host = FakeHost()
    undo = HostBlackout().prepare(host, around()).undo
    HostBlackout.stage(host, undo)
    HostBlackout.fire(host, undo, host.clock.monotonic_ns() + 10**9)
    host.processes.add("redis", unit="redis")
    HostBlackout.finish(host, undo)
    assert HostBlackout.unproved(host, undo) == []


def test_a_stubborn_unit_is_killed_in_finish() -> None:
    host = FakeHost()
    host.units.stubborn.add("redis")
    undo = UnitStop(("redis",)).prepare(host, around()).undo
    UnitStop.fire(host, undo, 0)
    assert UnitStop.unproved(host, undo) == ["unit redis still has a process"]
    UnitStop.finish(host, undo)
    assert UnitStop.unproved(host, undo) == []


def test_a_process_that_cannot_be_killed_is_unproved() -> None:
    host = FakeHost()
    host.processes.immortal.add("cron")
    undo = ProcessKill(Selector(name="cron")).prepare(host, around()).undo
    ProcessKill.fire(host, undo, 0)
    assert len(ProcessKill.unproved(host, undo)) == 1


@pytest.mark.parametrize(
    "selector",
    [
        {},
        {"unit": "a", "name": "b"},
        {"argv": "a", "user": "b"},
        {"executable": "redis"},
        {"cgroup": "system.slice"},
        {"unit": "../a"},
        {"port": 65_536},
        {"name": "a", "count": 1, "percent": 1},
        {"name": "a", "percent": 101},
    ],
)
def test_a_selector_names_exactly_one_thing(selector: dict[str, Any]) -> None:
    with pytest.raises(InvalidOrder, match=r"^select: "):
        Selector(**selector)


def test_the_sealed_cut_has_no_exception_but_protected_ports() -> None:
    undo = HostBlackout().prepare(FakeHost(), around(sealed=True)).undo
    assert "10.9.0.1" not in str(undo["stage"]) and "arp" not in str(undo["stage"])
    assert "th dport { 22 } accept" in str(undo["stage"])


def test_the_tethered_cut_spares_the_control_path_before_anything_is_dropped() -> None:
    stage = str(NetworkPartition(("10.9.0.0/16",)).prepare(FakeHost(), around()).undo["stage"])
    for spared in ("ip saddr 10.9.0.1 tcp sport 8471 accept", "arp saddr ip 10.1.0.1 accept"):
        assert 0 < stage.index(spared) < stage.index("ip saddr @peers4 drop")


@pytest.mark.parametrize(("direction", "hooks"), [(Direction.IN, ["ingress"]), (Direction.OUT, ["egress"])])
def test_a_one_way_cut_hooks_only_that_way(direction: Direction, hooks: list[str]) -> None:
    stage = str(
        NetworkPartition(("10.2.0.1",), direction=direction).prepare(FakeHost(), around()).undo["stage"]
    )
    assert [hook for hook in ("ingress", "egress") if f"hook {hook} " in stage] == hooks


@given(
    st.lists(st.ip_addresses(), min_size=1, max_size=50),
    st.lists(st.integers(0, 32), min_size=50, max_size=50),
)
def test_collapsing_keeps_every_address_and_never_overlaps(
    addresses: list[ipaddress.IPv4Address | ipaddress.IPv6Address], lengths: list[int]
) -> None:
    given_nets = [
        ipaddress.ip_network(f"{address}/{length}", strict=False)
        for address, length in zip(addresses, lengths, strict=False)
    ]
    made = cut.collapse(given_nets)
    assert all(any(address in net for net in made) for address in addresses)
    assert not any(
        one.version == other.version and one.overlaps(other)
        for index, one in enumerate(made)
        for other in made[index + 1 :]
    )


@given(st.integers(-(10**12), 10**17))
def test_a_lease_is_never_longer_than_what_is_left_and_never_for_ever(left_ns: int) -> None:
    try:
        lease = cut.lease_ms(5 + left_ns, 5)
    except HostError:
        assert left_ns < 1_000_000 or left_ns > cut.MAX_LEASE_MS * 1_000_000
    else:
        assert lease >= 1 and lease * 1_000_000 <= left_ns < (lease + 1) * 1_000_000


def test_ipv4_inside_ipv6_and_zones_are_read_as_the_kernel_sees_them() -> None:
    assert str(cut.address("::ffff:10.0.0.1")) == "10.0.0.1" and str(cut.address("fe80::1%eth0")) == "fe80::1"


def test_a_share_is_rounded_up_and_more_than_there_are_is_refused() -> None:
    host = FakeHost()
    for _ in range(3):
        host.processes.add("worker")
    assert len(ProcessKill(Selector(name="worker", percent=34)).prepare(host, around()).hits) == 2
    assert len(ProcessKill(Selector(name="worker", percent=1)).prepare(host, around()).hits) == 1
    with pytest.raises(Refused, match='4 processes are asked for, and 3 match name "worker"'):
        ProcessKill(Selector(name="worker", count=4)).prepare(host, around())


def test_of_a_share_nothing_that_is_forked_later_is_killed() -> None:
    host = FakeHost()
    host.processes.add("worker")
    undo = ProcessKill(Selector(name="worker", count=1)).prepare(host, around()).undo
    host.processes.add("worker")
    host.clock.advance(ms=50)
    ProcessKill.fire(host, undo, 0)
    assert len([one for one in host.processes.list() if one.name == "worker"]) == 1


def test_a_signal_that_would_need_an_end_is_refused() -> None:
    for name in ("STOP", "TSTP", "CONT", "CHLD", "SIGKILL", "kill", "9"):
        with pytest.raises(InvalidOrder, match=f'signal must be one of KILL, TERM, .*, got "{name}"'):
            ProcessKill(Selector(name="cron"), signal=name)


def test_a_unit_that_another_order_holds_down_cannot_be_restarted() -> None:
    host = FakeHost()
    undo = UnitStop(("redis",)).prepare(host, around()).undo
    UnitStop.fire(host, undo, 0)
    with pytest.raises(
        Refused, match="unit redis does not run; another order holds it down, wait for its end"
    ):
        UnitRestart(("redis",)).prepare(host, replace(around(), held=UnitStop.holds(undo)))


def test_a_unit_in_a_crash_loop_is_taken_into_the_dark_although_it_is_down_at_the_moment() -> None:
    host = FakeHost()
    crashing = UnitCrashLoop(("redis",), 500).prepare(host, around()).undo
    host.units.hold(["redis"], kill=True)
    host.units.held["redis"] = False
    assert "redis" not in {hit.target for hit in HostBlackout().prepare(host, around()).hits}
    held = replace(around(), held=UnitCrashLoop.holds(crashing))
    assert "redis" in {hit.target for hit in HostBlackout().prepare(host, held).hits}
