"""The small parts around the engine: wire, children, systemd, surroundings, the command line."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from blackstart_agent import cli
from blackstart_agent.config import AgentConfig
from blackstart_agent.errors import Refused
from blackstart_agent.guardian.child import BACKOFF_MOST_NS, Child
from blackstart_agent.guardian.notify import Notifier
from blackstart_agent.guardian.surroundings import Around, ancestors, own_units, resolve
from blackstart_agent.guardian.wire import MAX_QUEUED, Wire
from blackstart_agent.policy import Policy
from blackstart_proto.v1 import agent_pb2 as pb
from blackstart_proto.v1 import faults_pb2
from blackstart_proto.v1.guardian_pb2 import FromGuardian, StreamState, ToGuardian


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setblocking(False)
    theirs.setblocking(False)
    yield ours, theirs
    ours.close()
    theirs.close()


def events(count: int) -> Callable[[int], Sequence[pb.HostEvent]]:
    def pending(after: int) -> Sequence[pb.HostEvent]:
        return [
            pb.HostEvent(seq=seq, detail="x" * 500) for seq in range(after + 1, min(after + 101, count + 1))
        ]

    return pending


def read_all(sock: socket.socket) -> list[FromGuardian]:
    found = []
    while True:
        try:
            found.append(FromGuardian.FromString(sock.recv(1 << 20)))
        except BlockingIOError:
            return found


def test_a_slow_link_gets_every_event_once_and_in_order(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    wire = Wire(ours, events(5_000))
    seen: list[int] = []
    while len(seen) < 5_000:
        wire.flush()
        wire.send_events()
        seen += [message.event.seq for message in read_all(theirs)]
    assert seen == list(range(1, 5_001))


def test_a_link_that_reads_nothing_costs_its_connection_not_our_memory(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    wire = Wire(pair[0], events(0))
    for _ in range(MAX_QUEUED + 2_000):
        wire.send(FromGuardian(event=pb.HostEvent(detail="x" * 200)))
    assert wire.closed


def test_rubbish_from_a_link_is_passed_over(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    wire = Wire(ours, events(0))
    theirs.send(b"\xff\xff rubbish")
    theirs.send(ToGuardian(stream=StreamState(connected=True)).SerializeToString())
    assert [message.stream.connected for message in wire.receive()] == [True]
    assert not wire.closed
    theirs.close()
    assert wire.receive() == []
    assert wire.closed


def test_an_answer_with_very_many_hits_still_fits(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    hits = [faults_pb2.Hit(what="process", target=f"p[{n}]", effect="SIGKILL") for n in range(50_000)]
    Wire(ours, events(0)).answer(pb.Answer(request=1, resolution=faults_pb2.Resolution(hits=hits)))
    (message,) = read_all(theirs)
    assert len(message.answer.resolution.hits) == 101
    assert message.answer.resolution.hits[-1].target == "49900 more"


def test_a_child_that_keeps_ending_is_started_ever_more_rarely_but_for_ever() -> None:
    child = Child("c", lambda fd: [sys.executable, "-c", "pass"], 10**9)
    waits = []
    for _ in range(30):
        child.forget(0)
        waits.append(child.restart_ns)
    assert max(waits) <= BACKOFF_MOST_NS
    assert max(waits[-10:]) > max(waits[:2])


def test_a_child_ends_when_its_socket_closes_or_is_killed() -> None:
    for program in (
        "import sys,socket; socket.socket(fileno=int(sys.argv[1])).recv(1)",
        "import time; time.sleep(99)",
    ):
        child = Child("c", lambda fd, p=program: [sys.executable, "-c", p, str(fd)], 10**9)  # type: ignore[misc]
        child.start(1)
        process = child.process
        assert isinstance(process, subprocess.Popen)
        child.end(5 if "recv" in program else 0.05)
        assert process.returncode == (0 if "recv" in program else -9)


def test_systemd_is_told_and_its_variables_go_no_further(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        monkeypatch.setenv("WATCHDOG_USEC", "3000000")
        notifier = Notifier()
        assert notifier.watchdog_s == 1.0
        notifier.ready()
        notifier.alive()
        assert [listener.recv(100), listener.recv(100)] == [b"READY=1", b"WATCHDOG=1"]
    notifier.alive()  # systemd is gone: no error
    assert "NOTIFY_SOCKET" not in os.environ
    assert Notifier().watchdog_s == 0


def test_everything_of_ours_is_protected_with_and_without_a_policy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BLACKSTART_UNIT", "agent")
    around = Around(AgentConfig("h", ("127.0.0.1", 8471)), own_units(), lambda: (41, 42))
    policy = Policy("p", units=("ssh.service",), processes=("sshd",), ports=(22,))
    found = around("id", False, policy)
    assert found.controller == ("127.0.0.1", 8471)
    assert {os.getpid(), *ancestors(os.getpid()), 41, 42} <= found.own_pids
    assert {"agent", "blackstart-agent.service", "ssh.service"} <= found.protected_units
    assert (found.protected_names, found.protected_ports) == (frozenset({"sshd"}), frozenset({22}))
    assert around("id", True, policy).controller is None
    assert 1 not in ancestors(os.getpid())


def test_a_controller_whose_name_is_unknown_refuses_the_order() -> None:
    with pytest.raises(Refused, match=r"'no\.such\.name\.invalid' cannot be resolved"):
        resolve(("no.such.name.invalid", 1))
    assert resolve(("::1", 5)) == ("::1", 5)


def test_the_command_line_says_what_is_wrong_and_exits_2(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for argv in (["status"], ["run"], ["revert", "--all"]):
        assert cli.main([*argv, "--config", str(tmp_path / "none.toml")]) == 2
        assert "blackstart-agent enroll" in capsys.readouterr().err
    for wrong in ([], ["revert"], ["enroll"], ["fly"]):
        with pytest.raises(SystemExit) as caught:
            cli.main(wrong)
        assert caught.value.code == 2


def test_help_and_version_import_nothing_heavy() -> None:
    script = (
        "import sys; from blackstart_agent import cli\n"
        "try: cli.main(['--version'])\n"
        "except SystemExit: pass\n"
        "print([m for m in ('grpc', 'google.protobuf', 'psutil', 'ssl') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "blackstart-agent 0.1.0\n[]\n"
