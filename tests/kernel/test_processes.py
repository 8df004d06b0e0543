"""process.kill and process.pause on real processes, in a process namespace of their own."""

from __future__ import annotations

import sys
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
