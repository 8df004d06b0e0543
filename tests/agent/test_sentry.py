"""The sentry's decision, on its own. What it does is proved with real processes in test_guardian_process."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
from blackstart_agent.guardian.sentry import BEAT, GO, PATIENCE_NS, Watch, observe
from hypothesis import given
from hypothesis import strategies as st

TIMES = st.integers(1, 2**60)


@given(TIMES, TIMES)
def test_a_guardian_is_frozen_only_after_a_deadline_and_half_a_second_of_silence(
    sent: int, deadline: int
) -> None:
    watch = Watch()
    watch.beat(BEAT.pack(sent, deadline, 7))
    assert watch.kill_ns() >= deadline + PATIENCE_NS
    assert watch.kill_ns() >= sent + PATIENCE_NS
    assert watch.link_pid == 7


@given(TIMES)
def test_a_guardian_without_faults_is_never_killed(sent: int) -> None:
    watch = Watch()
    watch.beat(BEAT.pack(sent, 0, 0))
    assert watch.kill_ns() == 0


@given(st.binary(max_size=64).filter(lambda data: len(data) != BEAT.size))
def test_what_is_no_beat_changes_nothing(data: bytes) -> None:
    watch = Watch()
    watch.beat(data)
    assert (watch.sent_ns, watch.deadline_ns, watch.link_pid) == (0, 0, 0)


@pytest.fixture
def guardian() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(
        [sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE
    ) as child:
        yield child
        child.kill()


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    theirs.setblocking(False)
    yield ours, theirs
    ours.close()
    theirs.close()


def test_it_goes_when_told_even_after_beats(
    guardian: subprocess.Popen[bytes], ends: tuple[socket.socket, socket.socket]
) -> None:
    ours, theirs = ends
    ours.send(BEAT.pack(time.monotonic_ns(), 0, 0))
    ours.send(GO)
    ours.close()
    assert observe(os.pidfd_open(guardian.pid), theirs, Watch()) == ""


def test_a_closed_socket_alone_means_nothing_but_the_guardians_death_does(
    guardian: subprocess.Popen[bytes], ends: tuple[socket.socket, socket.socket]
) -> None:
    ours, theirs = ends
    pidfd = os.pidfd_open(guardian.pid)
    ours.close()
    guardian.kill()
    assert observe(pidfd, theirs, Watch()) == "guardian died"


def test_a_silent_guardian_past_its_deadline_is_killed(
    guardian: subprocess.Popen[bytes], ends: tuple[socket.socket, socket.socket]
) -> None:
    ours, theirs = ends
    now = time.monotonic_ns()
    ours.send(BEAT.pack(now - 10**9, now - 10**9, 0))
    assert observe(os.pidfd_open(guardian.pid), theirs, Watch()) == "guardian did not move at a lease's end"
    assert guardian.wait() == -9
