"""unit.* and host.blackout with a real runit and real services, in namespaces of their own."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from blackstart_proto.v1 import faults_pb2 as pb
from kernel.rig import NET, Rig, VictimError, hears, marked, wait_until

CONTROL_PORT = 8471
KILLED, FROZEN = pb.UNITS_ARE_KILLED, pb.UNITS_ARE_FROZEN


def stop(*units: str) -> pb.Fault:
    return pb.Fault(kind="unit.stop", unit_stop=pb.UnitStop(units=units))


def blackout(units_are: pb.UnitsAre.ValueType = KILLED) -> pb.Fault:
    return pb.Fault(kind="host.blackout", host_blackout=pb.HostBlackout(units_are=units_are))


def units(net: Rig) -> dict[str, dict[str, Any]]:
    return {unit["name"]: unit for unit in net.victim.ask("units")}


def serves(net: Rig) -> bool:
    try:
        net.peer.connect(net.victim.v4, 7100).close()
    except OSError:
        return False
    return True


def reaches(net: Rig) -> bool:
    """Whether the victim reaches the controller; failed ARP lookups end a while after the cut."""
    try:
        net.victim.connect(net.controller.v4, CONTROL_PORT).close()
    except OSError:
        return False
    return True


def test_units_are_seen_with_their_orphans_and_hidden_directories_are_no_units(supervised: Rig) -> None:
    assert {name: len(unit["pids"]) for name, unit in units(supervised).items()} == {
        "web": 2,
        "db": 1,
        "ssh": 1,
    }


def test_a_stopped_unit_stays_down_and_starts_again_on_revert(supervised: Rig) -> None:
    order = supervised.victim.arm(stop("web"))
    assert serves(supervised) and order.step("unproved")
    order.fire()
    order.step("finish")
    assert order.step("unproved") == [] and not serves(supervised)
    assert order.step("leftovers") == ["unit web is held down"]
    assert units(supervised)["db"]["pids"]
    order.revert()
    wait_until(lambda: serves(supervised), "the service is back")
    order.revert()


def test_a_unit_that_does_not_obey_is_killed_after_ten_seconds(supervised: Rig) -> None:
    order = supervised.victim.arm(stop("db"))
    order.fire()
    began = time.monotonic()
    order.step("finish")
    assert 9 < time.monotonic() - began < 13 and order.step("unproved") == []
    order.revert()
    wait_until(lambda: bool(units(supervised)["db"]["pids"]), "the unit is back")


def test_units_that_cannot_be_stopped_are_refused_with_every_reason(supervised: Rig) -> None:
    with pytest.raises(VictimError) as caught:
        supervised.victim.prepare(stop("nginx", "ssh", "web"), units=["ssh*"])
    assert "no unit nginx on this host" in str(caught.value) and "policy.toml protects unit ssh" in str(
        caught.value
    )
    order = supervised.victim.arm(stop("web"))
    order.fire()
    order.step("finish")
    with pytest.raises(VictimError, match="unit web does not run"):
        supervised.victim.prepare(stop("web"))


def test_a_blackout_leaves_only_the_control_path_and_protected_units(supervised: Rig) -> None:
    controller = (supervised.controller.v4, CONTROL_PORT)
    order = supervised.victim.arm(blackout(), controller=controller, units=["ssh"])
    assert ["unit", "web", "killed and held down, cold start on revert"] in order.hits
    assert not any(hit[1] == "ssh" for hit in order.hits)
    before = {name: unit["pids"] for name, unit in units(supervised).items()}
    order.fire()
    order.step("finish")
    assert order.step("unproved") == []
    after = units(supervised)
    assert after["web"]["pids"] == after["db"]["pids"] == [] and after["ssh"]["pids"] == before["ssh"]
    _only_the_control_path(supervised, controller)
    order.revert()
    wait_until(lambda: serves(supervised), "power is back")
    assert set(before["web"]).isdisjoint(units(supervised)["web"]["pids"]), "a cold start"
    assert units(supervised)["ssh"]["pids"] == before["ssh"] and supervised.victim.ask("tables") == []


def _only_the_control_path(net: Rig, controller: tuple[str, int]) -> None:
    net.victim.run("ip", "neigh", "flush", "dev", "eth0")
    net.controller.run("ip", "neigh", "flush", "dev", "eth0")
    with net.controller.listen(CONTROL_PORT), net.controller.listen(9000):
        net.victim.connect(*controller, timeout_s=3).close()
        with pytest.raises(TimeoutError):
            net.victim.connect(net.controller.v4, 9000)
    for other in (net.peer, net.controller):
        for six in (False, True):
            with net.victim.udp(six=six) as here, other.udp(six=six) as there:
                assert not hears(here, there) and not hears(there, here)


def test_a_sealed_blackout_leaves_nothing_and_ends_at_its_lease(supervised: Rig) -> None:
    order = supervised.victim.arm(
        blackout(), sealed=True, controller=(supervised.controller.v4, CONTROL_PORT)
    )
    deadline_ns = order.fire(2_500)
    order.step("finish")
    with supervised.controller.listen(CONTROL_PORT):
        with pytest.raises(TimeoutError):
            supervised.victim.connect(supervised.controller.v4, CONTROL_PORT)
        wait_until(lambda: time.monotonic_ns() > deadline_ns, "the lease is over")
        wait_until(lambda: reaches(supervised), "the control path is back")
    assert order.step("unproved") == [f"the gate of table netdev {order.table} is closed"]
    order.revert()


def test_nobody_outside_sees_a_connection_being_closed_by_a_blackout(supervised: Rig) -> None:
    client = supervised.peer.connect(supervised.victim.v4, 7150)
    client.sendall(b"x")
    order = supervised.victim.arm(blackout())
    order.fire()
    order.step("finish")
    client.settimeout(0.5)
    with pytest.raises(TimeoutError):  # the holder of the other end is dead, and no FIN or RST came out
        client.recv(1)
    client.close()


def test_a_frozen_host_goes_on_where_it_stood(supervised: Rig) -> None:
    before = {name: unit["pids"] for name, unit in units(supervised).items()}
    order = supervised.victim.arm(blackout(FROZEN))
    order.fire()
    order.step("finish")
    assert order.step("unproved") == [] and not serves(supervised)
    assert all(sorted(unit["stopped"]) == sorted(unit["pids"]) for unit in units(supervised).values())
    assert len(order.step("leftovers")) == 5
    order.revert()
    assert {name: unit["pids"] for name, unit in units(supervised).items()} == before
    wait_until(lambda: serves(supervised), "it answers again")


@pytest.mark.parametrize("until", ["nothing", "stage", "fire"])
def test_a_blackout_is_reverted_from_any_step(supervised: Rig, until: str) -> None:
    order = supervised.victim.prepare(blackout())
    if until != "nothing":
        order.step("stage")
    if until == "fire":
        order.fire()
    order.revert()
    wait_until(lambda: serves(supervised), "it serves")
    assert supervised.victim.ask("tables") == [] and not any(u["held"] for u in units(supervised).values())


def test_a_router_between_victim_and_controller_is_still_found_through_the_blackout(supervised: Rig) -> None:
    """The control path may lead through a gateway: its ARP entry must not die with the rest."""
    net = supervised
    net.peer.run("sysctl", "-qw", "net.ipv4.ip_forward=1")
    net.victim.run("ip", "route", "add", "10.88.0.1/32", "via", net.peer.v4)
    net.controller.run("ip", "addr", "add", "10.88.0.1/32", "dev", "lo")
    net.peer.run("ip", "route", "add", "10.88.0.1/32", "via", net.controller.v4)
    net.controller.run("ip", "route", "add", f"{NET}.1/32", "via", net.peer.v4)
    net.victim.arm(blackout(), controller=("10.88.0.1", CONTROL_PORT)).fire()
    net.victim.run("ip", "neigh", "flush", "dev", "eth0")
    net.peer.run("ip", "neigh", "flush", "dev", "eth0")
    with net.controller.listen(CONTROL_PORT, address="10.88.0.1"):
        net.victim.connect("10.88.0.1", CONTROL_PORT, timeout_s=3).close()


def test_a_restarted_unit_is_another_process_and_one_that_ignores_it_is_killed(supervised: Rig) -> None:
    before = {name: units(supervised)[name]["pids"] for name in ("web", "db")}
    fault = pb.Fault(kind="unit.restart", unit_restart=pb.UnitRestart(units=["web"]))
    order = supervised.victim.arm(fault)
    order.fire()
    order.step("finish")
    assert order.step("unproved") == []
    wait_until(lambda: serves(supervised), "it is back")
    assert not set(before["web"]) & set(units(supervised)["web"]["pids"])
    assert units(supervised)["db"]["pids"] == before["db"]
    order.revert()


def test_a_unit_that_is_down_after_a_restart_is_started_at_revert(supervised: Rig, services: Path) -> None:
    fault = pb.Fault(kind="unit.restart", unit_restart=pb.UnitRestart(units=["web"]))
    order = supervised.victim.arm(fault)
    order.fire()
    order.step("finish")
    supervised.victim.run("sv", "down", str(services / "web"))
    wait_until(lambda: not serves(supervised), "somebody has taken it down")
    order.revert()
    wait_until(lambda: serves(supervised), "it is back")


def crash_loop(every_ms: int, *names: str) -> pb.Fault:
    return pb.Fault(kind="unit.crash_loop", unit_crash_loop=pb.UnitCrashLoop(units=names, every_ms=every_ms))


def test_a_crash_loop_kills_again_after_each_start_and_ends_with_revert(supervised: Rig) -> None:
    order = supervised.victim.arm(crash_loop(300, "web"))
    assert order.step("unproved")
    order.fire()
    order.step("finish")
    assert order.step("unproved") == []
    wait_until(lambda: supervised.victim.ask("status", order.id)["kills"] >= 3, "it was killed thrice", 15)
    order.revert()
    wait_until(lambda: serves(supervised), "it is back")
    pids = units(supervised)["web"]["pids"]
    time.sleep(0.6)
    assert units(supervised)["web"]["pids"] == pids


def test_a_crash_loop_ends_at_its_lease_with_the_guardian_frozen(supervised: Rig) -> None:
    order = supervised.victim.arm(crash_loop(50, "web", "db"))
    order.fire(1_500)
    order.step("finish")
    guardian = supervised.victim.worker_pid()
    os.kill(guardian, signal.SIGSTOP)
    try:
        wait_until(lambda: marked(order) == [], "the kernel's timer has ended it")
        wait_until(lambda: serves(supervised), "and the unit stays up")
    finally:
        os.kill(guardian, signal.SIGCONT)
    order.revert()
