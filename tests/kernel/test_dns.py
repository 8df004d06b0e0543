"""network.dns with a real name server, on the real kernel."""

from __future__ import annotations

import shutil
import socket
import struct
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import pytest
from blackstart_proto.v1 import faults_pb2 as pb
from kernel.rig import Order, Rig, wait_until

A = 1
NAMES = {"www.example.com": "203.0.113.5", "db.example.org": "203.0.113.6"}


@pytest.fixture
def served(net: Rig) -> Iterator[Rig]:
    """The peer answers for two names."""
    if shutil.which("dnsmasq") is None:
        pytest.skip("needs the package dnsmasq-base")
    records = [f"--host-record={name},{address}" for name, address in NAMES.items()]
    server = subprocess.Popen(
        [
            *("nsenter", f"--net=/proc/{net.peer.keeper.pid}/ns/net", "dnsmasq", "--keep-in-foreground"),
            *("--no-resolv", "--no-hosts", "--conf-file=/dev/null", "--pid-file=", "--user=root"),
            *(f"--listen-address={net.peer.v4},{net.peer.v6}", "--bind-interfaces", *records),
        ]
    )
    try:
        wait_until(lambda: ask(net, "www.example.com", timeout_s=0.2) is not None, "it answers")
        yield net
    finally:
        server.terminate()
        server.wait(10)


def ask(net: Rig, name: str, *, six: bool = False, timeout_s: float = 0.6) -> tuple[int, list[str]] | None:
    """The code and the IPv4 addresses of the answer; None when there is none."""
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    asked = struct.pack(">HHHHHH", 7, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack(">HH", A, 1)
    with net.victim.udp(six=six) as here:
        here.settimeout(timeout_s)
        try:
            here.sendto(asked, (net.peer.v6 if six else net.peer.v4, 53))
            told = here.recv(2048)
        except OSError:
            return None
    flags, _, count = struct.unpack_from(">HHH", told, 2)
    return flags & 15, [socket.inet_ntoa(told[len(asked) + 16 * n + 12 :][:4]) for n in range(count)]


def fired(net: Rig, lease_ms: int = 30_000, **fields: Any) -> Order:
    order = net.victim.arm(pb.Fault(kind="network.dns", network_dns=pb.NetworkDns(**fields)))
    order.fire(lease_ms)
    order.step("finish")
    assert order.step("unproved") == []
    return order


@pytest.mark.parametrize("six", [False, True], ids=["v4", "v6"])
@pytest.mark.parametrize(
    ("failure", "told"),
    [
        (pb.DNS_FAILURE_SILENT, None),
        (pb.DNS_FAILURE_NXDOMAIN, (3, [])),
        (pb.DNS_FAILURE_SERVFAIL, (2, [])),
        (pb.DNS_FAILURE_WRONG, (0, ["192.0.2.1"])),
    ],
)
def test_only_the_names_that_are_meant_fail(
    served: Rig, failure: pb.DnsFailure.ValueType, told: tuple[int, list[str]] | None, six: bool
) -> None:
    addresses = ["192.0.2.1"] if failure == pb.DNS_FAILURE_WRONG else []
    right = {name: (0, [address]) for name, address in NAMES.items()}
    assert {name: ask(served, name, six=six) for name in NAMES} == right
    order = fired(served, names=["*.example.COM"], failure=failure, addresses=addresses)
    assert ask(served, "www.example.com", six=six) == told
    assert ask(served, "db.example.org", six=six) == right["db.example.org"]
    order.revert()
    assert {name: ask(served, name, six=six) for name in NAMES} == right


def test_a_slow_answer_is_right_and_late(served: Rig) -> None:
    order = fired(served, failure=pb.DNS_FAILURE_SLOW, delay_ms=300)
    began = time.monotonic()
    assert ask(served, "www.example.com", timeout_s=3) == (0, ["203.0.113.5"])
    assert time.monotonic() - began >= 0.3
    served.victim.connect(served.peer.v4, 53).close()  # over TCP, too, there are answers
    order.revert()


def test_over_tcp_there_is_none_and_it_ends_at_the_lease(served: Rig) -> None:
    order = fired(served, 800, failure=pb.DNS_FAILURE_NXDOMAIN)
    with pytest.raises(ConnectionRefusedError):
        served.victim.connect(served.peer.v4, 53)
    time.sleep(1.0)
    assert ask(served, "www.example.com") == (0, ["203.0.113.5"])
    served.victim.connect(served.peer.v4, 53).close()
    order.revert()
