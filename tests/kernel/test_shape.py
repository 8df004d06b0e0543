"""network.delay, reorder, corrupt, duplicate and bandwidth on the real kernel, both IP versions."""

from __future__ import annotations

import math
import os
import signal
import socket
import statistics
import struct
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from blackstart_proto.v1 import faults_pb2 as pb
from kernel.rig import NET, NET6, Order, Rig, VictimError, marked, wait_until

PEER = (f"{NET}.2", f"{NET6}2")
SENT = 2_000
STAMP = struct.Struct("d")


def delay(delay_ms: float, *peers: str, **fields: Any) -> pb.Fault:
    fields.setdefault("everybody", not peers)
    return pb.Fault(
        kind="network.delay", network_delay=pb.NetworkDelay(peers=peers, delay_ms=delay_ms, **fields)
    )


def one_way_ms(sender: socket.socket, receiver: socket.socket, count: int = 60) -> list[float]:
    """How long each datagram takes; one every 5 ms. One that never comes is not in it."""
    receiver.settimeout(1.5)
    took: list[float] = []

    def listen() -> None:
        try:
            for _ in range(count):
                (sent,) = STAMP.unpack(receiver.recv(64))
                took.append((time.monotonic() - sent) * 1000)
        except TimeoutError:
            return

    thread = threading.Thread(target=listen)
    thread.start()
    for _ in range(count):
        sender.sendto(STAMP.pack(time.monotonic()), receiver.getsockname()[:2])
        time.sleep(0.005)
    thread.join()
    return took


def fired(net: Rig, fault: pb.Fault, lease_ms: int = 30_000) -> Order:
    order = net.victim.arm(fault)
    order.fire(lease_ms)
    order.step("finish")
    assert order.step("unproved") == []
    return order


@pytest.mark.parametrize("six", [False, True], ids=["v4", "v6"])
@pytest.mark.parametrize("asked_ms", [20, 100, 500])
def test_packets_are_as_late_as_was_asked_for(net: Rig, asked_ms: int, six: bool) -> None:
    with net.victim.udp(six=six) as here, net.peer.udp(six=six) as there:
        plain = statistics.median(one_way_ms(here, there))
        order = fired(net, delay(asked_ms, *PEER, direction=pb.DIRECTION_OUT))
        took = one_way_ms(here, there)
        assert len(took) == 60 and statistics.median(one_way_ms(there, here)) < plain + 2, "one way only"
        assert abs(statistics.median(took) - plain - asked_ms) <= 2 + 0.02 * asked_ms
        assert min(took) >= asked_ms, "none is early"
        order.revert()
        assert statistics.median(one_way_ms(here, there)) < plain + 2


def test_both_ways_means_each_of_them(net: Rig) -> None:
    with net.victim.udp() as here, net.peer.udp() as there:
        order = fired(net, delay(30))
        assert statistics.median(one_way_ms(here, there)) >= 30
        assert statistics.median(one_way_ms(there, here)) >= 30
        order.revert()


@pytest.mark.parametrize(
    ("distribution", "low", "high"),
    [(pb.DISTRIBUTION_UNIFORM, 20, 60), (pb.DISTRIBUTION_NORMAL, 0, 120), (pb.DISTRIBUTION_PARETO, 40, 240)],
)
def test_jitter_spreads_as_its_distribution_says(
    net: Rig, distribution: pb.Distribution.ValueType, low: float, high: float
) -> None:
    with net.victim.udp() as here, net.peer.udp() as there:
        fault = delay(40, *PEER, jitter_ms=20, distribution=distribution, direction=pb.DIRECTION_OUT)
        order = fired(net, fault)
        took = one_way_ms(here, there, 200)
        order.revert()
    spread = {pb.DISTRIBUTION_UNIFORM: 20 / math.sqrt(3), pb.DISTRIBUTION_NORMAL: 20.0}.get(distribution)
    assert len(took) == 200 and min(took) >= low
    assert sum(one > high for one in took) <= 4, "but for a busy machine"
    if spread is not None:
        assert abs(statistics.stdev(took) - spread) <= 0.3 * spread
        assert abs(statistics.median(took) - 40) <= 6
    else:
        assert 45 <= statistics.mean(took) <= 75


def test_a_frozen_worker_holds_packets_up_to_the_lease_and_no_longer(net: Rig) -> None:
    with net.victim.udp() as here, net.peer.udp() as there:
        order = fired(net, delay(20, direction=pb.DIRECTION_OUT), 1_500)
        frozen = [*marked(order), net.victim.worker_pid()]
        for pid in frozen:
            os.kill(pid, signal.SIGSTOP)
        try:
            assert one_way_ms(here, there, 5) == [], "held up"
            time.sleep(1.0)
            assert max(one_way_ms(here, there, 5)) < 20, "the lease is over, and all of us frozen"
        finally:
            for pid in frozen:
                os.kill(pid, signal.SIGCONT)
        order.revert()


@pytest.mark.parametrize("which", [min, max], ids=["the worker", "its child"])
def test_a_frozen_worker_is_reverted_all_the_same(net: Rig, which: Callable[[list[int]], int]) -> None:
    with net.victim.udp() as here, net.peer.udp() as there, net.peer.udp() as waited_for:
        order = fired(net, delay(50, direction=pb.DIRECTION_OUT))
        os.kill(which(marked(order)), signal.SIGSTOP)
        here.sendto(b"x", waited_for.getsockname()[:2])
        order.revert()
        assert marked(order) == [] and max(one_way_ms(here, there, 5)) < 50


def test_packets_pass_at_once_when_the_worker_is_killed(net: Rig) -> None:
    with net.victim.udp() as here, net.peer.udp() as there:
        order = fired(net, delay(400))
        for pid in marked(order):
            os.kill(pid, signal.SIGKILL)
        wait_until(lambda: marked(order) == [], "it is gone")
        assert max(one_way_ms(here, there, 10)) < 300
        assert order.step("unproved") == ["the worker that holds packets does not run"]
        order.revert()


def test_nothing_that_waits_is_lost_by_a_revert(net: Rig) -> None:
    with net.victim.udp() as here, net.peer.udp() as there:
        order = fired(net, delay(300, direction=pb.DIRECTION_OUT))
        for number in range(50):
            here.sendto(bytes([number]), there.getsockname()[:2])
        order.revert()
        assert [there.recv(8)[0] for _ in range(50)] == list(range(50))


def test_a_renewed_delay_goes_on_and_the_control_path_is_never_late(net: Rig) -> None:
    control = (net.controller.v4, 8471)
    with net.controller.listen(control[1]), net.victim.udp() as here, net.peer.udp() as there:
        order = net.victim.arm(delay(200), controller=control)
        order.fire(600)
        order.renew(30_000)
        time.sleep(0.8)
        assert min(one_way_ms(here, there, 5)) >= 200
        began = time.monotonic()
        net.victim.connect(*control).close()
        assert time.monotonic() - began < 0.2
        order.revert()


def test_so_many_overtake_as_were_asked_for(net: Rig) -> None:
    fault = pb.NetworkReorder(peers=PEER, percent=25, delay_ms=60, direction=pb.DIRECTION_OUT)
    with net.victim.udp() as here, net.peer.udp() as there:
        order = fired(net, pb.Fault(kind="network.reorder", network_reorder=fault))
        took = one_way_ms(here, there, 300)
        order.revert()
    early = sum(one < 30 for one in took)
    assert len(took) == 300 and abs(early - 75) <= 5 * math.sqrt(300 * 0.25 * 0.75)


@pytest.mark.parametrize("six", [False, True], ids=["v4", "v6"])
@pytest.mark.parametrize("way", [pb.DIRECTION_OUT, pb.DIRECTION_IN])
def test_so_many_have_a_bit_flipped_as_were_asked_for(
    net: Rig, six: bool, way: pb.Direction.ValueType
) -> None:
    """A datagram with a wrong checksum is thrown away; one whose port was hit goes elsewhere."""
    fault = pb.NetworkCorrupt(peers=PEER, percent=10, direction=way)
    with net.victim.udp(six=six) as here, net.peer.udp(six=six) as there:
        ends = (here, there) if way == pb.DIRECTION_OUT else (there, here)
        assert lost(*ends) == 0
        order = fired(net, pb.Fault(kind="network.corrupt", network_corrupt=fault))
        assert abs(lost(*ends) - SENT * 0.1) <= 5 * math.sqrt(SENT * 0.1 * 0.9)
        order.revert()
        assert lost(*ends) == 0


def lost(sender: socket.socket, receiver: socket.socket) -> int:
    """How many of 2,000 datagrams do not arrive (and how many more, below 0)."""
    receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 24)
    receiver.settimeout(0.3)
    for number in range(SENT):
        sender.sendto(bytes(64), receiver.getsockname()[:2])
        if number % 50 == 0:
            time.sleep(0.002)
    arrived = 0
    try:
        while True:
            receiver.recv(128)
            arrived += 1
    except TimeoutError:
        return SENT - arrived


@pytest.mark.parametrize("six", [False, True], ids=["v4", "v6"])
@pytest.mark.parametrize("percent", [10.0, 100.0])
def test_so_many_are_sent_twice_as_were_asked_for(net: Rig, percent: float, six: bool) -> None:
    fault = pb.NetworkDuplicate(peers=PEER, percent=percent)
    with net.victim.udp(six=six) as here, net.peer.udp(six=six) as there:
        order = fired(net, pb.Fault(kind="network.duplicate", network_duplicate=fault))
        share = percent / 100
        assert abs(-lost(here, there) - SENT * share) <= 5 * math.sqrt(SENT * share * (1 - share))
        assert lost(there, here) == 0
        order.revert()
        assert lost(here, there) == 0


@pytest.mark.parametrize("mbit_s", [1, 10])
def test_a_thin_line_carries_what_was_asked_for(net: Rig, mbit_s: int) -> None:
    """What a TCP connection gets through in the steady state, its headers (52 of 1500 bytes) counted."""
    fault = pb.NetworkBandwidth(peers=PEER, bits_per_s=mbit_s * 1_000_000, direction=pb.DIRECTION_OUT)
    with net.peer.listen(7500) as listening:
        order = fired(net, pb.Fault(kind="network.bandwidth", network_bandwidth=fault))
        client = net.victim.connect(net.peer.v4, 7500, timeout_s=5)
        accepted, _ = listening.accept()
        stop = threading.Event()
        sender = threading.Thread(target=_send_all, args=(client, stop))
        sender.start()
        time.sleep(1.5)
        _received(accepted, 0.1)
        begin = time.monotonic()
        got = _received(accepted, 4.0)
        took = time.monotonic() - begin
        stop.set()
        accepted.close()
        client.close()
        sender.join()
        order.revert()
    rate = got * 8 * 1500 / 1448 / took
    assert abs(rate / (mbit_s * 1e6) - 1) <= 0.05


def _send_all(client: socket.socket, stop: threading.Event) -> None:
    try:
        while not stop.is_set():
            client.send(bytes(65_536))
    except OSError:
        return


def _received(accepted: socket.socket, seconds: float) -> int:
    until = time.monotonic() + seconds
    got = 0
    accepted.settimeout(0.5)
    while time.monotonic() < until:
        got += len(accepted.recv(65_536))
    return got


def test_established_connections_break_and_new_ones_are_refused(net: Rig) -> None:
    reset = pb.Fault(kind="network.reset", network_reset=pb.NetworkReset(peers=PEER, ports=[7600]))
    with net.peer.listen(7600) as listening, net.peer.listen(7601) as other:
        hit, spared = net.victim.connect(net.peer.v4, 7600), net.victim.connect(net.peer.v4, 7601)
        there, _ = listening.accept()
        neighbour, _ = other.accept()
        order = net.victim.arm(reset)
        assert len(order.step("unproved")) == 2, "its gate is closed, and the connection stands"
        order.fire()
        order.step("finish")
        assert order.step("unproved") == []
        there.settimeout(2)
        with pytest.raises(ConnectionResetError):
            there.recv(1)
        with pytest.raises(ConnectionAbortedError):
            hit.send(b"x")
        with pytest.raises(ConnectionRefusedError):
            net.victim.connect(net.peer.v4, 7600)
        spared.send(b"y")
        assert neighbour.recv(1) == b"y"
        order.revert()
        net.victim.connect(net.peer.v4, 7600).close()
        for one in (hit, spared, there, neighbour):
            one.close()


def test_connections_with_this_host_are_reset_from_both_sides(net: Rig) -> None:
    reset = pb.Fault(kind="network.reset", network_reset=pb.NetworkReset(everybody=True))
    with net.victim.listen(7602) as listening:
        clients, accepted = [], []
        for _ in range(300):
            clients.append(net.peer.connect(net.victim.v4, 7602))
            accepted.append(listening.accept()[0])
        order = fired(net, reset)
        for client in clients:
            client.settimeout(2)
            with pytest.raises(ConnectionResetError):
                client.recv(1)
        with pytest.raises(ConnectionRefusedError):
            net.peer.connect(net.victim.v4, 7602)
        order.revert()
        for one in (*clients, *accepted):
            one.close()


def test_only_one_protocol_is_hit(net: Rig) -> None:
    cut = pb.NetworkPartition(peers=PEER, protocol=pb.PROTOCOL_UDP)
    with net.victim.udp() as here, net.peer.udp() as there, net.peer.listen(7603):
        order = fired(net, pb.Fault(kind="network.partition", network_partition=cut))
        assert one_way_ms(here, there, 3) == []
        net.victim.connect(net.peer.v4, 7603).close()
        order.revert()
        assert len(one_way_ms(here, there, 3)) == 3


@pytest.mark.parametrize("six", [False, True], ids=["v4", "v6"])
def test_icmp_alone_is_hit_and_neighbours_are_still_found(net: Rig, six: bool) -> None:
    cut = pb.NetworkPartition(peers=PEER, protocol=pb.PROTOCOL_ICMP)
    address = net.peer.v6 if six else net.peer.v4
    ping = ("ping", "-c", "1", "-W", "1", address)
    assert "1 received" in net.victim.run(*ping)
    order = fired(net, pb.Fault(kind="network.partition", network_partition=cut))
    net.victim.run("ip", "neigh", "flush", "dev", "eth0")
    assert "0 received" in net.victim.run(*ping, check=False)
    with net.victim.udp(six=six) as here, net.peer.udp(six=six) as there:
        assert len(one_way_ms(here, there, 3)) == 3
    order.revert()
    assert "1 received" in net.victim.run(*ping)


def test_what_cannot_be_is_refused(net: Rig) -> None:
    for fault, text in (
        (delay(0), "delay_ms must be 0.1 to 60000, got 0"),
        (delay(61_000), "delay_ms must be"),
        (delay(10, jitter_ms=-1), "jitter_ms must be 0 to 60000"),
        (
            pb.Fault(
                kind="network.bandwidth",
                network_bandwidth=pb.NetworkBandwidth(everybody=True, bits_per_s=100),
            ),
            "bits_per_s must be 8000 to",
        ),
    ):
        with pytest.raises(VictimError, match=text):
            net.victim.prepare(fault)


def test_the_commands_for_doing_it_by_hand_leave_nothing(net: Rig) -> None:
    order = fired(net, delay(300))
    try:
        for command in order.manual:
            if not command.startswith("nft"):  # our own table is the agent's alone while that lives
                net.victim.run("sh", "-c", command)
        assert "NFQUEUE" not in net.victim.run("sh", "-c", "iptables-legacy-save 2>/dev/null || true")
    finally:
        order.revert()
