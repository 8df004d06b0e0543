"""The processes of an agent are killed or frozen at random moments, again and again; nothing stays paused."""

from __future__ import annotations

import contextlib
import os
import random
import select
import signal
import statistics
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from blackstart_proto.v1 import agent_pb2 as pb
from blackstart_proto.v1.guardian_pb2 import ToGuardian
from guardian_process import Bench, bench, wait_for

ROUNDS = int(os.environ.get("GUARDIAN_ROUNDS", "3"))
LEASE_MS = 600
WINDOW_S = 0.12  # arming and injecting take about so long
pytestmark = [
    pytest.mark.kernel,
    pytest.mark.timeout(600),
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root for a network namespace of its own"),
]

DEEDS = {
    "guardian killed": (("guardian", signal.SIGKILL),),
    "guardian frozen": (("guardian", signal.SIGSTOP),),
    "sentry killed": (("sentry", signal.SIGKILL),),
    "sentry frozen, guardian killed": (("sentry", signal.SIGSTOP), ("guardian", signal.SIGKILL)),
    "link killed": (("link", signal.SIGKILL),),
    "link frozen": (("link", signal.SIGSTOP),),
    "link frozen, guardian killed": (("link", signal.SIGSTOP), ("guardian", signal.SIGKILL)),
    "guardian stopped in order": (("guardian", signal.SIGTERM),),
}


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Bench]:
    with bench(tmp_path) as made:
        yield made


def pids_of(host: Bench) -> dict[str, int]:
    assert host.guardian is not None
    return {"guardian": host.guardian.pid, "sentry": host.sentry_pids()[0], "link": host.link_pids()[0]}


def pause_without_waiting(host: Bench) -> None:
    order = host.order(str(uuid.uuid4()), lease_ms=LEASE_MS, hold_ms=LEASE_MS)
    with contextlib.suppress(OSError, ValueError):
        host.send(ToGuardian(arm=pb.Arm(request=1, order=order)))
        host.receive("answer")
        at_ns = time.monotonic_ns() + 5_000_000
        host.send(ToGuardian(inject=pb.Inject(order_ids=[order.id], at_mono_ns=at_ns)))


@pytest.mark.parametrize("deed", DEEDS)
def test_nothing_stays_paused(host: Bench, deed: str) -> None:
    seed = random.randrange(2**32)
    chance = random.Random(seed)
    took: list[float] = []
    paused_at_the_deed = 0
    for _ in range(ROUNDS):
        host.start()
        pids = pids_of(host)
        asking = threading.Thread(target=pause_without_waiting, args=(host,))
        asking.start()
        select.select([], [], [], chance.uniform(0, WINDOW_S))
        for who, number in DEEDS[deed]:
            os.kill(pids[who], number)
        paused_now = host.paused()
        paused_at_the_deed += paused_now
        if deed.startswith("sentry frozen"):  # only a supervisor is left: it starts a new guardian
            restart(host)
        clean_s = wait_for("it goes on", lambda: not host.paused())
        if paused_now:
            took.append(clean_s)
        if deed != "guardian frozen":  # armed and not injected, it waits for a minute, which harms nobody
            wait_for("the journal is empty", lambda: not host.records())
        finish(host)
        with contextlib.suppress(ProcessLookupError):  # a frozen link outlives a killed guardian
            os.kill(pids["link"], signal.SIGKILL)
        asking.join(30)
    took = took or [0.0]
    print(
        f"{deed}: {ROUNDS} times, {paused_at_the_deed} of them paused; seed {seed}; lease {LEASE_MS} ms; "
        f"clean after p50 {statistics.median(took) * 1e3:.0f} ms, max {max(took) * 1e3:.0f} ms"
    )


def finish(host: Bench) -> None:
    """Nobody of ours is left, nothing is left, and the next round begins."""
    assert host.guardian is not None
    host.guardian.send_signal(signal.SIGCONT)
    host.guardian.terminate()
    host.guardian.wait(30)
    wait_for("the sentry ends", lambda: not host.living_sentries())
    assert not host.paused()
    assert not host.records()


def restart(host: Bench) -> None:
    """As a supervisor does: what is left of the old service is killed, and it is started again."""
    assert host.guardian is not None
    host.guardian.wait(20)
    for pid in host.living_sentries():
        os.kill(pid, signal.SIGKILL)
    host.start()
