"""A real guardian in a network namespace of its own, whose link is a relay to the test.

Run as a program it is that guardian, or that relay.
"""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from blackstart_agent import config as agent_config
from blackstart_agent.guardian import open_host
from blackstart_agent.guardian.events import EventLog
from blackstart_agent.guardian.journal import Journal
from blackstart_proto.v1 import agent_pb2 as pb
from blackstart_proto.v1 import faults_pb2
from blackstart_proto.v1.guardian_pb2 import FromGuardian, StreamState, ToGuardian

PACKET = 1 << 20
KINDS = {value: name.removeprefix("EVENT_KIND_") for name, value in pb.EventKind.items()}
TIMEOUT_S = 20.0


def wait_for(what: str, condition: Callable[[], object], timeout_s: float = TIMEOUT_S) -> float:
    """How long it took, in seconds."""
    began = time.monotonic()
    while not condition():
        if time.monotonic() - began > timeout_s:
            raise AssertionError(f"{what}: not within {timeout_s} s")
        select.select([], [], [], 0.002)
    return time.monotonic() - began


def state_of(pid: int) -> str:
    """One letter from /proc, "" when there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0].decode()
    except OSError:
        return ""


def children_of(pid: int, program: str) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError):
            stat = (entry / "stat").read_bytes().rpartition(b")")[2].split()
            if int(stat[1]) == pid and program.encode() in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
    return found


class Bench:
    """A configured host in `directory` with one process to pause."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        (directory / "services").mkdir()
        self.config_path = directory / "agent.toml"
        self.config_path.write_text(
            f'name = "h"\ncontroller = "127.0.0.1:9"\nstate_dir = "{directory}/state"\n'
            f'policy = "{directory}/policy.toml"\nsupervisor = "runit:{directory}/services"\nlink_user = ""\n'
            f'runtime_dir = "{directory}/run"\n'
        )
        policy = directory / "policy.toml"
        policy.write_text('[allow]\nfaults = ["process.*"]\n')
        policy.chmod(0o644)
        self.config = agent_config.load(self.config_path)
        self.sleeper_path = directory / "bs-sleeper"
        shutil.copy2(shutil.which("sleep") or "/bin/sleep", self.sleeper_path)
        self.sleeper = subprocess.Popen([self.sleeper_path, "600"])
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.listener.bind(str(directory / "relay"))
        self.listener.listen(8)
        self.listener.settimeout(TIMEOUT_S)
        self.guardian: subprocess.Popen[bytes] | None = None
        self.link: socket.socket | None = None

    # ---- the guardian ----

    def start(self) -> int:
        command = ["unshare", "--net", "--", sys.executable, __file__, "guardian", str(self.config_path)]
        self.guardian = subprocess.Popen(
            command, env={**os.environ, "BS_RELAY": str(self.directory / "relay")}
        )
        self.connect()
        wait_for("a sentry", self.sentry_pids)
        return self.guardian.pid

    def connect(self) -> FromGuardian:
        """The next link of the guardian is ours, and says that it has a stream."""
        while True:
            self.link, _ = self.listener.accept()
            self.link.settimeout(TIMEOUT_S)
            with contextlib.suppress(ConnectionError):  # a link that has died meanwhile
                about = self.receive("about")
                self.send(ToGuardian(stream=StreamState(connected=True)))
                return about

    def sentry_pids(self) -> list[int]:
        assert self.guardian is not None
        return children_of(self.guardian.pid, "blackstart_agent.guardian.sentry")

    def link_pids(self) -> list[int]:
        assert self.guardian is not None
        return children_of(self.guardian.pid, "guardian_process.py")

    def kill(self, number: int) -> None:
        assert self.guardian is not None
        self.guardian.send_signal(number)

    def send(self, message: ToGuardian) -> None:
        assert self.link is not None
        self.link.send(message.SerializeToString())

    def receive(self, body: str) -> FromGuardian:
        """The next message of this kind; events are acknowledged on the way."""
        assert self.link is not None
        while True:
            data = self.link.recv(PACKET)
            if not data:
                raise ConnectionResetError("the link is gone")
            message = FromGuardian.FromString(data)
            if message.WhichOneof("body") == body:
                return message

    def event(self, kind: str) -> pb.HostEvent:
        while True:
            event = self.receive("event").event
            if KINDS[event.kind] == kind:
                return event

    # ---- the fault ----

    def pause(self, order_id: str, *, lease_ms: int = 10_000, hold_ms: int = 60_000) -> None:
        """The sleeper is paused, and proved to be."""
        order = self.order(order_id, lease_ms=lease_ms, hold_ms=hold_ms)
        self.send(ToGuardian(arm=pb.Arm(request=1, order=order)))
        answer = self.receive("answer").answer
        assert not answer.resolution.refusals, answer
        at_ns = time.monotonic_ns() + 20_000_000
        self.send(ToGuardian(inject=pb.Inject(order_ids=[order_id], at_mono_ns=at_ns)))
        self.event("PROVED")
        assert self.paused()

    def order(self, order_id: str, *, lease_ms: int, hold_ms: int) -> faults_pb2.Order:
        order = faults_pb2.Order(
            id=order_id,
            run_id="run",
            host="h",
            mode=faults_pb2.MODE_TETHERED,
            lease_ms=lease_ms,
            hold_ms=hold_ms,
        )
        order.fault.kind = "process.pause"
        order.fault.process_pause.select.executable = str(self.sleeper_path)
        return order

    def living_sentries(self) -> list[int]:
        """Every sentry that any guardian of this bench ever had, and that still runs."""
        ours = str(self.config_path).encode()
        found = []
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError, ValueError):
                command = (entry / "cmdline").read_bytes()
                if ours in command and b"blackstart_agent.guardian.sentry" in command:
                    found.append(int(entry.name))
        return [pid for pid in found if state_of(pid) not in ("", "Z")]

    def paused(self) -> bool:
        return state_of(self.sleeper.pid) == "T"

    def records(self) -> int:
        if not self.config.journal_dir.is_dir():
            return 0
        with Journal(self.config.journal_dir) as journal:
            contents = journal.load()
        return len(contents.entries) + len(contents.quarantined)

    def spooled(self) -> list[tuple[str, str]]:
        """Every event that is not acknowledged, with its detail. Only when no guardian runs."""
        spool = open_host.open_events(self.config)
        try:
            return [(KINDS[event.kind], event.detail) for event in EventLog(spool).pending(0, 1_000)]
        finally:
            spool.close()

    def close(self) -> None:
        """No process of ours is left, whatever the test did."""
        links = self.link_pids() if self.guardian is not None and self.guardian.poll() is None else []
        if self.guardian is not None:
            self.guardian.kill()
            self.guardian.wait()
        for pid in (*self.living_sentries(), *links):
            with contextlib.suppress(OSError):
                if str(self.config_path).encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
                    os.kill(pid, signal.SIGKILL)
        self.sleeper.kill()
        self.sleeper.wait()
        for end in (self.link, self.listener):
            if end is not None:
                end.close()


@contextlib.contextmanager
def bench(directory: Path) -> Iterator[Bench]:
    made = Bench(directory)
    try:
        yield made
    finally:
        made.close()


def relay(fd: int) -> None:
    """The link: every packet goes on to the test, and back."""
    guardian = socket.socket(fileno=fd)
    test = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    test.connect(os.environ["BS_RELAY"])
    while True:
        for end in select.select([guardian, test], [], [])[0]:
            data = end.recv(PACKET)
            if not data:
                return
            (test if end is guardian else guardian).send(data)


if __name__ == "__main__":
    if sys.argv[1] == "guardian":
        from blackstart_agent.guardian.main import run

        sys.exit(run(Path(sys.argv[2]), (sys.executable, __file__, "relay")))
    relay(int(sys.argv[sys.argv.index("--fd") + 1]))
