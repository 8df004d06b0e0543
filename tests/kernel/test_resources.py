"""resources.* on the real kernel, in a pid namespace of its own; each load is small."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from blackstart_proto.v1 import faults_pb2 as pb
from kernel.rig import Order, Rig, VictimError, marked, wait_until

MIB = 1 << 20


def cpu(percent: int = 20, cores: int = 1) -> pb.Fault:
    return pb.Fault(kind="resources.cpu", resources_cpu=pb.ResourcesCpu(percent=percent, cores=cores))


def memory(size: int) -> pb.Fault:
    return pb.Fault(kind="resources.memory", resources_memory=pb.ResourcesMemory(bytes=size))


def inject(net: Rig, fault: pb.Fault, lease_ms: int = 20_000) -> Order:
    order = net.victim.arm(fault)
    assert order.step("unproved") and net.victim.ask("workers", order.id) == 1, "ready, without effect"
    order.fire(lease_ms)
    order.step("finish")
    assert order.step("unproved") == []
    return order


def test_processors_are_busy_as_asked_and_idle_after_the_revert(net: Rig) -> None:
    order = inject(net, cpu(cores=2))
    assert net.victim.ask("workers", order.id) == 3
    order.revert()
    assert marked(order) == []
    order.revert()


def test_memory_is_taken_and_given_back(net: Rig) -> None:
    order = inject(net, memory(64 * MIB))
    assert net.victim.ask("status", order.id)["bytes"] >= 64 * MIB
    order.revert()
    assert marked(order) == []


def test_a_load_dies_first_when_memory_runs_out(net: Rig) -> None:
    order = inject(net, memory(16 * MIB))
    scores = {int(Path(f"/proc/{pid}/oom_score_adj").read_text()) for pid in marked(order)}
    assert 1000 in scores
    order.revert()


def test_more_memory_than_there_is_is_refused_with_the_numbers(net: Rig) -> None:
    with pytest.raises(VictimError, match=r"would leave less than .* MiB; of .* available to the agent"):
        net.victim.prepare(memory(1 << 50))


def test_a_load_ends_at_its_lease_with_the_guardian_frozen_and_renewal_moves_it(net: Rig) -> None:
    order = inject(net, cpu(), lease_ms=60_000)
    order.renew(600)
    guardian = net.victim.worker_pid()
    os.kill(guardian, signal.SIGSTOP)
    try:
        wait_until(lambda: marked(order) == [], "the kernel's timer has ended the worker", 10)
    finally:
        os.kill(guardian, signal.SIGCONT)
    assert order.step("leftovers") == []
    order.revert()


def test_a_load_goes_on_when_its_lease_is_renewed(net: Rig) -> None:
    order = inject(net, cpu(percent=50), lease_ms=1_500)
    order.renew(60_000)
    wait_until(lambda: net.victim.ask("status", order.id)["cpu_ms"] > 900, "busy for longer than the lease")
    order.revert()


def test_a_load_dies_with_the_guardian(net: Rig) -> None:
    order = inject(net, cpu(cores=2), lease_ms=60_000)
    assert len(marked(order)) == 3
    os.kill(net.victim.worker_pid(), signal.SIGKILL)
    wait_until(lambda: marked(order) == [], "nothing of the load is left", 5)


def test_a_frozen_load_is_reverted_all_the_same(net: Rig) -> None:
    order = inject(net, memory(16 * MIB))
    for pid in marked(order):
        os.kill(pid, signal.SIGSTOP)
    order.revert()
    assert marked(order) == []


def test_a_load_whose_process_was_killed_is_no_longer_proved(net: Rig) -> None:
    order = inject(net, memory(16 * MIB))
    child = max(marked(order))
    os.kill(child, signal.SIGKILL)
    gone = ["the process that takes memory does not run"]
    wait_until(lambda: order.step("unproved") == gone, "its worker has seen it end")
    order.revert()
