"""network.loss and network.blackhole on the real kernel, both IP versions."""

from __future__ import annotations

import math
import os
import signal
import socket
from typing import Any

import pytest
from blackstart_proto.v1 import faults_pb2 as pb
from kernel.rig import NET, NET6, Rig, VictimError, hears, wait_until

SENT = 4_000
CONTROL_PORT = 8471


def loss(percent: float, *peers: str, **fields: Any) -> pb.Fault:
    fields.setdefault("everybody", not peers)
    return pb.Fault(kind="network.loss", network_loss=pb.NetworkLoss(peers=peers, percent=percent, **fields))


def blackhole(*peers: str, **fields: Any) -> pb.Fault:
    fields.setdefault("everybody", not peers)
    return pb.Fault(kind="network.blackhole", network_blackhole=pb.NetworkBlackhole(peers=peers, **fields))


def lost(sender: socket.socket, receiver: socket.socket) -> int:
    """How many of 4,000 datagrams do not arrive; the last one is asked for until it does."""
    receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 24)
    arrived = 0
    for _ in range(SENT // 50):
        for _ in range(50):
            sender.sendto(b"x", receiver.getsockname()[:2])
        arrived += _waiting(receiver)
    return SENT - arrived - _waiting(receiver, 0.1)


def _waiting(receiver: socket.socket, timeout_s: float = 0.002) -> int:
    """A switch of veths hands a packet over before the next is sent: what does not wait now never will."""
    count = 0
    receiver.settimeout(timeout_s)
    while True:
        try:
            receiver.recv(8)
        except TimeoutError:
            return count
        count += 1


@pytest.mark.parametrize("six", [False, True], ids=["v4", "v6"])
@pytest.mark.parametrize("percent", [1.0, 10.0, 50.0])
def test_so_many_packets_are_lost_as_were_asked_for(net: Rig, percent: float, six: bool) -> None:
    with net.victim.udp(six=six) as here, net.peer.udp(six=six) as there:
        assert hears(here, there) and lost(here, there) == 0
        order = net.victim.arm(loss(percent, f"{NET}.2", f"{NET6}2", direction=pb.DIRECTION_OUT))
        order.fire()
        share = percent / 100
        assert abs(lost(here, there) - SENT * share) <= 5 * math.sqrt(SENT * share * (1 - share))
        assert lost(there, here) == 0, "the other direction is whole"
        order.revert()
        assert lost(here, there) == 0 and net.victim.ask("tables") == []


def test_loss_ends_at_its_lease_with_the_guardian_frozen(net: Rig) -> None:
    with net.victim.udp() as here, net.peer.udp() as there:
        order = net.victim.arm(loss(100))
        order.fire(400)
        os.kill(net.victim.worker_pid(), signal.SIGSTOP)
        try:
            assert not hears(here, there, timeout_s=0.05)
            wait_until(lambda: hears(here, there), "the kernel has closed the gate", 5)
        finally:
            os.kill(net.victim.worker_pid(), signal.SIGCONT)
        order.revert()


def test_a_blackhole_of_everybody_spares_the_control_path(net: Rig) -> None:
    control = [net.controller.v4, CONTROL_PORT]
    with net.controller.listen(CONTROL_PORT), net.controller.listen(9000), net.victim.udp() as here:
        order = net.victim.arm(blackhole(), controller=control)
        order.fire()
        with net.peer.udp() as there:
            assert not hears(here, there) and not hears(there, here)
        net.victim.connect(net.controller.v4, CONTROL_PORT).close()
        with pytest.raises(TimeoutError):
            net.victim.connect(net.controller.v4, 9000)
        order.revert()
        net.victim.connect(net.controller.v4, 9000).close()


def test_a_blackhole_of_ports_leaves_the_others_alone(net: Rig) -> None:
    with net.peer.listen(7001), net.peer.listen(7002):
        order = net.victim.arm(blackhole(ports=[7001]))
        order.fire()
        with pytest.raises(TimeoutError):
            net.victim.connect(net.peer.v4, 7001)
        net.victim.connect(net.peer.v4, 7002).close()
        order.revert()


def test_no_peers_are_refused_unless_everybody_is_meant(net: Rig) -> None:
    with pytest.raises(VictimError, match=r"network\.loss: peers must be 1 to"):
        net.victim.prepare(loss(10, everybody=False))


@pytest.mark.parametrize("first", [0, 1, 2])
def test_cuts_add_up_and_end_in_any_order(net: Rig, first: int) -> None:
    with net.victim.udp() as here, net.peer.udp() as there:
        peer = f"{NET}.2"
        orders = [net.victim.arm(fault) for fault in (loss(100, peer), blackhole(peer), blackhole())]
        for order in orders:
            order.fire()
        for order in (orders[first], *(one for one in orders if one is not orders[first])):
            assert not hears(here, there, timeout_s=0.05)
            order.revert()
        assert net.victim.ask("tables") == []
        wait_until(lambda: hears(here, there), "ARP has found the peer again")
