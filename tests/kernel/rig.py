"""Hosts made of namespaces for the kernel tests: a victim that carries out faults, peers, and a switch.

Nothing has a name outside the test, so nothing can be left behind: every namespace is kept by a process that
ends with its stdin, which is a pipe of the test.
"""

from __future__ import annotations

import ctypes
import json
import os
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from blackstart_proto.v1 import faults_pb2 as pb

T = TypeVar("T")
MS = 1_000_000
CLONE_NEWNET = 0x40000000
NET = "10.77.0"
NET6 = "fd77::"
_libc = ctypes.CDLL(None, use_errno=True)


def own_namespace(pid: int | str = "self") -> str:
    return str(Path(f"/proc/{pid}/ns/net").readlink())


def _pid_namespace(pid: int | str) -> str:
    return str(Path(f"/proc/{pid}/ns/pid").readlink())


def forbidden_namespaces() -> set[str]:
    """Where no fault may run: the namespace that the tests were started in, and that of pid 1."""
    found = {own_namespace()}
    with suppress(PermissionError):  # a container's root may not look at pid 1; then the first one must do
        found.add(own_namespace(1))
    return found


@dataclass
class Node:
    """One network namespace, with the process that keeps it."""

    number: int
    keeper: subprocess.Popen[bytes]

    @property
    def v4(self) -> str:
        return f"{NET}.{self.number}"

    @property
    def v6(self) -> str:
        return f"{NET6}{self.number}"

    def run(self, *words: str, check: bool = True) -> str:
        argv = ("nsenter", f"--net=/proc/{self.keeper.pid}/ns/net", *words)
        done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=20)
        if check and done.returncode:
            raise AssertionError(f"{words}: {done.stderr}")
        return done.stdout

    def inside(self, call: Callable[[], T]) -> T:
        """Run `call` in a thread inside this namespace; sockets that it makes stay there."""
        result: list[T] = []

        def enter() -> None:
            with Path(f"/proc/{self.keeper.pid}/ns/net").open() as namespace:
                if _libc.setns(namespace.fileno(), CLONE_NEWNET):
                    raise OSError(ctypes.get_errno(), "setns")
            result.append(call())

        thread = threading.Thread(target=enter)
        thread.start()
        thread.join()
        return result[0]

    def udp(self, port: int = 0, *, six: bool = False) -> socket.socket:
        made = self.inside(
            lambda: socket.socket(socket.AF_INET6 if six else socket.AF_INET, socket.SOCK_DGRAM)
        )
        made.bind((self.v6 if six else self.v4, port))
        made.settimeout(5)
        return made

    def listen(self, port: int, *, six: bool = False, address: str = "") -> socket.socket:
        made = self.inside(lambda: socket.socket(socket.AF_INET6 if six else socket.AF_INET))
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((address or (self.v6 if six else self.v4), port))
        made.listen(64)
        made.settimeout(5)
        return made

    def connect(self, address: str, port: int, *, timeout_s: float = 0.4) -> socket.socket:
        """Raises what connect() raises: TimeoutError for silence, another OSError for a refusal."""
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        made = self.inside(lambda: socket.socket(family))
        made.settimeout(timeout_s)
        try:
            made.connect((address, port))
        except OSError:
            made.close()
            raise
        return made


@dataclass
class Victim(Node):
    """The node on which faults are carried out, by a process of its own (`inside.py`)."""

    lock: threading.Lock = field(default_factory=threading.Lock)

    def ask(self, do: str, *words: Any) -> Any:
        return self.asked(do, *words)["answer"]

    def asked(self, do: str, *words: Any) -> dict[str, Any]:
        """The whole answer, with `took_ms`."""
        assert self.keeper.stdin is not None and self.keeper.stdout is not None
        with self.lock:
            self.keeper.stdin.write(json.dumps({"do": do, "with": words}).encode() + b"\n")
            self.keeper.stdin.flush()
            line = self.keeper.stdout.readline()
        assert line, "the victim's process ended"
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise VictimError(answer["error"], answer["text"])
        return answer

    def prepare(self, fault: pb.Fault, *, sealed: bool = False, **around: Any) -> Order:
        order = pb.Order(
            id=str(uuid.uuid4()), fault=fault, mode=pb.MODE_SEALED if sealed else pb.MODE_TETHERED
        )
        answer = self.ask("prepare", order.SerializeToString().hex(), around)
        return Order(self, order.id, answer["hits"], answer["manual"], answer["table"])

    def arm(self, fault: pb.Fault, *, sealed: bool = False, **around: Any) -> Order:
        order = self.prepare(fault, sealed=sealed, **around)
        order.step("stage")
        return order

    def pid_outside(self, inside: int) -> int:
        """The pid, as the test sees it, of what has the pid `inside` in the victim's own namespace."""
        ours = _pid_namespace(self.worker_pid())
        for path in Path("/proc").glob("[0-9]*/status"):
            with suppress(OSError):
                numbers = next(line for line in path.read_text().splitlines() if line.startswith("NSpid:"))
                if int(numbers.split()[-1]) == inside and _pid_namespace(path.parent.name) == ours:
                    return int(path.parent.name)
        raise AssertionError(f"no process {inside} in the victim")

    def worker_pid(self) -> int:
        """The pid of `inside.py` as the test sees it: the only child of `unshare`."""
        task = Path(f"/proc/{self.keeper.pid}/task/{self.keeper.pid}/children")
        return int(task.read_text(encoding="ascii").split()[0])


class VictimError(Exception):
    def __init__(self, kind: str, text: str) -> None:
        super().__init__(f"{kind}: {text}")
        self.kind = kind


@dataclass
class Order:
    victim: Victim
    id: str
    hits: list[list[str]]
    manual: list[str]
    table: str

    def step(self, name: str) -> Any:
        return self.victim.ask("step", self.id, name)

    def fire(self, lease_ms: int = 20_000) -> int:
        return int(self.victim.ask("fire", self.id, lease_ms))

    def renew(self, lease_ms: int = 20_000) -> int:
        return int(self.victim.ask("renew", self.id, lease_ms))

    def revert(self) -> None:
        self.step("revert")
        assert self.step("leftovers") == []


@dataclass
class Rig:
    """Victim 1, peer 2 and controller 3 on one switch; the victim has no route to anywhere else."""

    victim: Victim
    peer: Node
    controller: Node


@contextmanager
def rig(supervisor: str = "runit:/nowhere") -> Iterator[Rig]:
    with ExitStack() as stack:
        switch = stack.enter_context(_node(0, ("cat",)))
        worker = (
            sys.executable,
            str(Path(__file__).with_name("inside.py")),
            ",".join(forbidden_namespaces()),
            supervisor,
        )
        lone = ("--pid", "--fork", "--kill-child", "--mount", "--mount-proc")
        kept = stack.enter_context(_node(1, worker, lone))
        victim = Victim(kept.number, kept.keeper)
        others = [stack.enter_context(_node(number, ("cat",))) for number in (2, 3)]
        switch.run("ip", "link", "add", "br0", "type", "bridge")
        switch.run("ip", "link", "set", "br0", "up")
        for node in (victim, *others):
            _plug(switch, node)
        yield Rig(victim, *others)


@contextmanager
def _node(number: int, argv: Sequence[str], more: Sequence[str] = ()) -> Iterator[Node]:
    keeper = subprocess.Popen(
        ("unshare", "--net", *more, *argv), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        wait_until(lambda: own_namespace(keeper.pid) != own_namespace(), "a namespace of its own")
        assert own_namespace(keeper.pid) not in forbidden_namespaces()
        yield Node(number, keeper)
    finally:
        keeper.kill()
        keeper.communicate()


def _plug(switch: Node, node: Node) -> None:
    port = f"p{node.number}"
    switch.run(
        "ip", "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", str(node.keeper.pid)
    )
    switch.run("ip", "link", "set", port, "master", "br0", "up")
    for words in (
        ("link", "set", "lo", "up"),
        ("link", "set", "eth0", "up"),
        ("addr", "add", f"{node.v4}/24", "dev", "eth0"),
        ("addr", "add", f"{node.v6}/64", "dev", "eth0", "nodad"),
    ):
        node.run("ip", *words)


def marked(order: Order) -> list[int]:
    """The pids, as the test sees them, of every process with the order's mark; zombies have none left."""
    mark = f"BLACKSTART_ORDER={order.id}".encode()
    found: list[int] = []
    for directory in Path("/proc").iterdir():
        try:
            if directory.name.isdecimal() and mark in (directory / "environ").read_bytes().split(b"\0"):
                found.append(int(directory.name))
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
    return found


def wait_until(holds: Callable[[], bool], what: str, timeout_s: float = 10.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline, f"not within {timeout_s} s: {what}"
        time.sleep(0.005)


def hears(sender: socket.socket, receiver: socket.socket, *, timeout_s: float = 0.25) -> bool:
    """Whether a datagram from `sender` reaches `receiver` (both bound)."""
    mark = os.urandom(8)
    try:
        sender.sendto(mark, receiver.getsockname()[:2])
    except OSError:
        return False
    deadline = time.monotonic() + timeout_s
    while (left_s := deadline - time.monotonic()) > 0:
        receiver.settimeout(left_s)
        try:
            if receiver.recv(64) == mark:
                return True
        except TimeoutError:
            return False
        except OSError:
            continue  # an ICMP refusal of an earlier datagram of ours
    return False


def partition(*peers: str, **fields: Any) -> pb.Fault:
    return pb.Fault(kind="network.partition", network_partition=pb.NetworkPartition(peers=peers, **fields))
