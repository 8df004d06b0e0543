"""A disk is full before or during a fault: refused, or reverted in time and told once there is room."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import pytest
from support.labs import Lab, kill, lab, wait_for

STATE_DIR = "/var/lib/blackstart-agent"
ROUNDS = int(os.environ.get("BLACKSTART_ROUNDS", "20"))
HOLD_S = 3.0
LATE_S = 1.0
LAB = """
lab: diskfull
sites: {near: {}, far: {}}
hosts:
  db:
    site: near
    units:
      redis: {command: [redis-server, --bind, "{{ host.address }}", --protected-mode, "no", --save, ""]}
      idle: {command: [sleep, infinity]}
  watch: {site: far, labels: {role: observer}}
  control: {site: far, controller: true, agent: false}
"""
EXPERIMENT = f"""
experiment: diskfull
description: A host goes dark while its disk is full.
hypothesis: It is lit again at the end of its time.
baseline: 500ms
settle: 500ms
watch: 5s
lease: 2s
steps:
  - {{fault: host.blackout, on: host=db, for: {int(HOLD_S)}s}}
services:
  - name: redis
    members: host=db
    observers: role=observer
    every: 50ms
    timeout: 500ms
    probes: [{{redis: {{addresses: ["db:6379"]}}}}]
"""
OWN = ("armed", "injected", "proved", "reverting", "reverted")  # of the host, in this order


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with lab(LAB, tmp_path_factory.mktemp("diskfull")) as running:
        for host in ("db", "watch"):
            give_a_small_disk(running, host)
        yield running


def inside(made: Lab, host: str, script: str) -> str:
    """What the script wrote, run in the host's mounts by the test itself."""
    enter = ["nsenter", "-t", str(made.state.hosts[host].pid), "--mount", "--pid", "--net"]
    return subprocess.run([*enter, "sh", "-ec", script], capture_output=True, text=True, check=True).stdout


def give_a_small_disk(made: Lab, host: str) -> None:
    """The agent keeps its state on a file system of 8 MB, with all that it had."""
    inside(
        made,
        host,
        f"sv down /run/service/blackstart-agent; cp -a {STATE_DIR} /var/lib/kept; "
        f"mount -t tmpfs -o size=8m,mode=0755 tmpfs {STATE_DIR}; cp -a /var/lib/kept/. {STATE_DIR}; "
        "sv up /run/service/blackstart-agent",
    )


@contextmanager
def full_disk(made: Lab, host: str) -> Iterator[None]:
    """Not a byte is free, until the end of the block."""
    inside(made, host, f"dd if=/dev/zero of={STATE_DIR}/fill bs=64k 2>/dev/null || :; sync")
    inside(made, host, f"dd if=/dev/zero of={STATE_DIR}/fill2 bs=1 2>/dev/null || :")
    try:
        yield
    finally:
        inside(made, host, f"rm -f {STATE_DIR}/fill {STATE_DIR}/fill2")


def ready(made: Lab) -> bool:
    hosts = json.loads(made.operate("host", "list", "-o", "json", codes=(0, 6)) or "[]")
    return bool(hosts) and all(host["connected"] and not host["open_faults"] for host in hosts)


def events_of(made: Lab, run_id: str, host: str) -> Sequence[Mapping[str, object]]:
    return [event for event in made.report(run_id)["events"] if event["host"] == host]


def ends_clean(made: Lab, run_id: str) -> None:
    """Confirmed, each event of the host told once and in its order."""
    shown = made.wait_end(run_id, limit_s=40)
    assert shown["reverted"] == "confirmed", shown
    names = [str(event["what"]) for event in events_of(made, run_id, "db")]
    own = [name for name in names if name in OWN]
    assert own == [name for name in OWN if name in own] and own[-1] == "reverted", names
    assert not made.unclean("db")


def dark(made: Lab) -> bool:
    """The unit is down; quicker than `unclean`, which waits for an answer from the host."""
    return "down:" in inside(made, "db", "sv status /run/service/idle || :")


@pytest.mark.lab
def test_nothing_is_armed_on_a_host_that_cannot_record_it(made: Lab) -> None:
    wait_for(lambda: ready(made), 40, "all agents to be connected")
    with full_disk(made, "db"):
        run_id = made.start(EXPERIMENT)
        shown = made.wait_end(run_id, limit_s=30)
    assert shown["verdict"] == "error", shown
    assert "cannot record the order" in shown["reason"] and "No space left" in shown["reason"], shown


@pytest.mark.lab
@pytest.mark.parametrize("killed", [False, True])
def test_a_disk_that_fills_during_the_hold_keeps_nothing_dark(made: Lab, killed: bool) -> None:
    strike(made, 0.7, killed=killed)


def strike(made: Lab, after_s: float, *, killed: bool) -> float:
    """The disk is full from `after_s` after the injection; how long after that the host was clean."""
    wait_for(lambda: ready(made), 40, "all agents to be connected")
    run_id = made.start(EXPERIMENT)
    wait_for(lambda: dark(made), 20, "the host to be dark")
    dark_s = time.monotonic()
    time.sleep(after_s)
    with full_disk(made, "db"), full_disk(made, "watch"):
        struck_s = time.monotonic()
        if killed:
            kill(made.agent("db")["guardian"], signal.SIGKILL)
        wait_for(lambda: not dark(made), HOLD_S + LATE_S + 2, "the units to run")
        clean_s = time.monotonic()
        wait_for(lambda: not made.unclean("db"), 5, "the host to be clean")
    assert clean_s - dark_s < HOLD_S + LATE_S, f"clean {clean_s - dark_s:.2f} s after it became dark"
    ends_clean(made, run_id)
    return clean_s - struck_s


@pytest.mark.lab
@pytest.mark.deep
@pytest.mark.timeout(900)
def test_random_moments_with_a_full_disk(made: Lab) -> None:
    took = [strike(made, random.uniform(0, HOLD_S - 0.2), killed=number % 2 == 1) for number in range(ROUNDS)]
    print(f"full disk, 20 times, every second time a killed guardian: clean {max(took):.2f} s later at most")
