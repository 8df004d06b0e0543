"""process.* on real processes, in a process namespace of their own."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from blackstart_proto.v1 import faults_pb2 as pb
from kernel.rig import Rig, VictimError, wait_until

FORKER = """
import os, time
open("/proc/self/comm", "w").write("forker")
while True:
    if os.fork() == 0:
        time.sleep(0.3)
        os._exit(0)
    time.sleep(0.01)
"""


def kill(**select: Any) -> pb.Fault:
    return pb.Fault(kind="process.kill", process_kill=pb.ProcessKill(select=pb.ProcessSelector(**select)))


def pause(**select: Any) -> pb.Fault:
    return pb.Fault(kind="process.pause", process_pause=pb.ProcessPause(select=pb.ProcessSelector(**select)))


def units(net: Rig) -> dict[str, dict[str, Any]]:
    return {unit["name"]: unit for unit in net.victim.ask("units")}


def test_a_killed_process_is_gone_and_proved(net: Rig) -> None:
    pids = [net.victim.ask("spawn", ["sleep", "600"]) for _ in range(3)]
    order = net.victim.arm(kill(name="sleep"))
    assert sorted(order.hits) == sorted(["process", f"sleep[{pid}]", "SIGKILL"] for pid in pids)
    assert len(order.step("unproved")) == 3
    order.fire()
    order.step("finish")
    assert order.step("unproved") == [] and [net.victim.ask("state", pid) for pid in pids] == ["", "", ""]
    order.revert()


def test_a_process_that_came_after_arming_is_killed_and_its_restart_is_not(supervised: Rig) -> None:
    order = supervised.victim.arm(kill(unit="ssh"))
    before = units(supervised)["ssh"]["pids"]
    order.fire()
    order.step("finish")
    assert order.step("unproved") == []
    wait_until(lambda: len(units(supervised)["ssh"]["pids"]) == 1, "runit starts it again")
    assert units(supervised)["ssh"]["pids"] != before


def test_a_unit_is_killed_with_its_orphans(supervised: Rig) -> None:
    order = supervised.victim.arm(kill(unit="web"))
    assert len(order.hits) == 2
    order.fire()
    order.step("finish")
    assert order.step("unproved") == []


def test_a_paused_process_stands_still_until_revert(net: Rig) -> None:
    pid = net.victim.ask("spawn", ["sleep", "600"])
    order = net.victim.arm(pause(executable=_executable(net, pid)))
    assert order.manual == [f"kill -CONT {pid}"]
    order.fire()
    order.step("finish")
    assert net.victim.ask("state", pid) == "T" and order.step("unproved") == []
    assert order.step("leftovers") == [f"sleep[{pid}] is stopped"]
    order.revert()
    assert net.victim.ask("state", pid) == "S"


def _executable(net: Rig, pid: int) -> str:
    return net.victim.run("readlink", "-f", "/bin/sleep").strip()


def test_a_process_that_was_stopped_before_stays_stopped(net: Rig) -> None:
    pids = [net.victim.ask("spawn", ["sleep", "600"]) for _ in range(2)]
    net.victim.ask("signal", pids[0], 19)
    wait_until(lambda: net.victim.ask("state", pids[0]) == "T", "it is stopped")
    order = net.victim.arm(pause(name="sleep"))
    assert len(order.hits) == 1
    order.fire()
    order.step("finish")
    order.revert()
    assert [net.victim.ask("state", pid) for pid in pids] == ["T", "S"]


def test_children_that_are_forked_while_pausing_are_caught_and_freed(net: Rig) -> None:
    net.victim.ask("spawn", [sys.executable, "-S", "-c", FORKER])
    wait_until(lambda: net.victim.ask("named", "forker") > 5, "it forks")
    order = net.victim.arm(pause(name="forker"))
    wait_until(lambda: order.step("unproved") != [], "the children at arm time are gone")
    order.fire()
    order.step("finish")
    frozen = order.step("leftovers")
    assert len(frozen) > 1 and net.victim.ask("named", "forker") == len(frozen)
    order.revert()


def test_what_must_not_be_touched_is_refused_with_every_reason(net: Rig) -> None:
    net.victim.ask("spawn", ["sleep", "600"])
    with pytest.raises(
        VictimError, match=r'name "sleep" matches sleep\[\d+\]: policy.toml protects its name'
    ):
        net.victim.prepare(pause(name="sleep"), names=["sleep"])


def test_nothing_that_matches_is_a_refusal(net: Rig) -> None:
    with pytest.raises(VictimError, match=r'process\.kill: no process matches name "no-such-thing"'):
        net.victim.prepare(kill(name="no-such-thing"))


def spawned(net: Rig, *argv: str) -> int:
    pid: int = net.victim.ask("spawn", list(argv))
    wait_until(lambda: net.victim.ask("state", pid) == "S", "it sleeps")
    return pid


def hit(net: Rig, **select: Any) -> set[int]:
    """The pids that a pause with this selector would stop."""
    hits = net.victim.prepare(pause(**select)).hits
    return {int(target.rpartition("[")[2].rstrip("]")) for _, target, _ in hits}


def test_processes_are_found_by_their_command_line(net: Rig) -> None:
    short, _ = spawned(net, "sleep", "601"), spawned(net, "sleep", "602")
    assert hit(net, argv="sleep 60[13]") == {short}


def test_processes_are_found_by_their_user_by_name_and_by_number(net: Rig) -> None:
    spawned(net, "sleep", "600")
    theirs = spawned(net, "setpriv", "--reuid=65534", "--clear-groups", "sleep", "600")
    wait_until(lambda: net.victim.ask("named", "sleep") == 2, "both are sleep")
    assert hit(net, user="nobody") == {theirs} == hit(net, user="65534")
    with pytest.raises(VictimError, match='no user "nobody-at-all" on this host'):
        net.victim.prepare(pause(user="nobody-at-all"))


@pytest.mark.parametrize("proto", ["tcp", "udp"])
@pytest.mark.parametrize("host", ["0.0.0.0", "::1"])
def test_processes_are_found_by_the_port_that_they_listen_on(net: Rig, proto: str, host: str) -> None:
    kind = "SOCK_STREAM" if proto == "tcp" else "SOCK_DGRAM"
    family = "AF_INET6" if ":" in host else "AF_INET"
    program = (
        f"import socket, time; s = socket.socket(socket.{family}, socket.{kind}); s.bind(('{host}', 7777))\n"
        f"if '{proto}' == 'tcp': s.listen()\n"
        "time.sleep(600)"
    )
    pid = spawned(net, sys.executable, "-S", "-c", program)
    wait_until(lambda: "7777" in net.victim.run("ss", "-Hanut"), "it listens")
    assert hit(net, port=7777) == {pid}
    with pytest.raises(VictimError, match='no process matches port "7778"'):
        net.victim.prepare(pause(port=7778))


def test_processes_are_found_by_their_control_group(net: Rig, control_group: Path) -> None:
    inside, _ = spawned(net, "sleep", "600"), spawned(net, "sleep", "600")
    seen_outside = str(net.victim.pid_outside(inside))
    (control_group / "cgroup.procs").write_text(seen_outside, encoding="ascii")
    groups = Path(f"/proc/{seen_outside}/cgroup").read_text(encoding="ascii").splitlines()
    path = next(line.split(":", 2)[2] for line in groups if line.endswith(control_group.name))
    assert hit(net, cgroup=path) == {inside}
    with pytest.raises(VictimError, match="no process matches cgroup"):
        net.victim.prepare(pause(cgroup=path[:-1]))  # only whole names count


@pytest.mark.parametrize(("some", "size"), [({"count": 2}, 2), ({"percent": 50}, 3), ({"percent": 1}, 1)])
def test_so_many_of_them_are_chosen_by_the_seed(net: Rig, some: dict[str, int], size: int) -> None:
    for _ in range(5):
        spawned(net, "sleep", "600")
    chosen = [hit(net, name="sleep", seed=seed, **some) for seed in (1, 1, 2, 3, 4, 5, 6)]
    assert {len(one) for one in chosen} == {size}
    assert chosen[0] == chosen[1] and len({frozenset(one) for one in chosen}) > 1
    with pytest.raises(VictimError, match=r"6 processes are asked for, and 5 match"):
        net.victim.prepare(pause(name="sleep", count=6))


def test_of_a_share_nobody_else_is_hit_and_all_go_on(net: Rig) -> None:
    pids = [spawned(net, "sleep", "600") for _ in range(4)]
    order = net.victim.arm(pause(name="sleep", percent=50, seed=3))
    order.fire()
    order.step("finish")
    assert sorted(net.victim.ask("state", pid) for pid in pids) == ["S", "S", "T", "T"]
    assert order.step("unproved") == []
    order.revert()
    assert {net.victim.ask("state", pid) for pid in pids} == {"S"}


def test_another_signal_is_delivered_once(net: Rig, tmp_path: Path) -> None:
    told = tmp_path / "told"
    program = f"""
import signal, time
signal.signal(signal.SIGHUP, lambda *_: open({str(told)!r}, "a").write("hup "))
open({str(told)!r}, "w").write("ready ")
while True:
    time.sleep(600)
"""
    pid = net.victim.ask("spawn", [sys.executable, "-S", "-c", program])
    wait_until(lambda: told.exists() and told.read_text() == "ready ", "it is ready")
    fault = kill(argv="*SIGHUP*")
    fault.process_kill.signal = "HUP"
    order = net.victim.arm(fault)
    assert [effect for _, _, effect in order.hits] == ["SIGHUP"]
    order.fire()
    order.step("finish")
    wait_until(lambda: told.read_text() == "ready hup ", "it was told")
    assert order.step("unproved") == [] and net.victim.ask("state", pid) == "S"
    order.revert()


def restart(grace_ms: int = 200, **select: Any) -> pb.Fault:
    selector = pb.ProcessSelector(**select)
    return pb.Fault(
        kind="process.restart", process_restart=pb.ProcessRestart(select=selector, grace_ms=grace_ms)
    )


def test_a_restarted_process_is_killed_after_its_grace_and_started_by_its_supervisor(supervised: Rig) -> None:
    before = units(supervised)["db"]["pids"]
    order = supervised.victim.arm(restart(port=7150))  # it ignores SIGTERM
    assert len(order.step("unproved")) == 1
    order.fire()
    order.step("finish")
    assert order.step("unproved") == []
    wait_until(lambda: len(units(supervised)["db"]["pids"]) == 1, "runit starts it again")
    assert units(supervised)["db"]["pids"] != before
    order.revert()


def test_a_process_of_no_unit_is_not_restarted(supervised: Rig) -> None:
    spawned(supervised, "sleep", "600")
    with pytest.raises(VictimError, match=r"sleep\[\d+\] belongs to no unit, so nobody would start it again"):
        supervised.victim.prepare(restart(name="sleep"))
