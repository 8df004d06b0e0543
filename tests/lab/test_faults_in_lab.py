"""Every kind of fault on a lab's host, looked at from another host while it holds and after it."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Sequence

import pytest
from support.labs import Lab, lab, process_state, wait_for

PORTS = (6379, 6380)
LAB = """
lab: faults
sites: {near: {}, far: {}}
hosts:
  db:
    site: near
    units:
      one: {command: [redis-server, --port, "6379", --bind, "*", "-::*", --protected-mode, "no", --save, ""]}
      two: {command: [redis-server, --port, "6380", --bind, "*", "-::*", --protected-mode, "no", --save, ""]}
      idle: {command: [sleep, infinity]}
      forker: {command: [sh, -c, "while :; do sleep 0.02; done"]}
  watch: {site: far, labels: {role: observer}}
  control: {site: far, controller: true, agent: false}
"""
EXPERIMENT = """
experiment: faults
description: One fault.
hypothesis: It is seen from outside, and then it is gone.
baseline: 200ms
settle: 200ms
watch: 5s
steps:
  - STEP
services:
  - name: ping
    members: host=watch
    observers: role=observer
    every: 100ms
    timeout: 500ms
    probes: [{tcp: {address: "control:8471"}}]
"""
CONNECT = """
import socket, sys
try:
    socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=0.4).close()
    print("open")
except ConnectionRefusedError:
    print("refused")
except OSError as error:
    print("silent" if isinstance(error, TimeoutError) else error)
"""


CONNECT_TIME = """
import socket, time
def took(host, port):
    began = time.monotonic()
    socket.create_connection((host, port), timeout=5).close()
    return time.monotonic() - began
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with lab(LAB, tmp_path_factory.mktemp("faults")) as running:
        yield running


def reach(made: Lab, port: int, *, six: bool = False) -> str:
    """How a connection from the observer's host ends: open, refused, silent."""
    there = made.state.hosts["db"]
    address = there.address6 if six else there.address4
    return made.run_in("watch", "python3", "-c", CONNECT, address, str(port)).stdout.strip()


MARKS = {"one": "*:6379", "two": "*:6380", "idle": "sleep infinity", "forker": "sleep 0.02"}


def unit_pids(made: Lab, unit: str) -> list[int]:
    """Outside pids of a unit's processes, known by their command lines."""
    return [pid for pid, command in made.processes("db").items() if MARKS[unit] in command]


def all_stopped(made: Lab, unit: str) -> bool:
    pids = unit_pids(made, unit)
    return bool(pids) and all(process_state(pid) in ("T", "Z", "") for pid in pids)


def hold(made: Lab, step: str, seen: Callable[[], bool]) -> dict[str, object]:
    """Run one step; `seen` must become true while it holds; afterwards nothing is left."""
    run_id = made.start(EXPERIMENT.replace("STEP", step))
    wait_for(seen, 10, f"{step} to be seen")
    shown = made.wait_end(run_id, limit_s=30)
    assert shown["reverted"] == "confirmed", shown
    events = [event["what"] for event in made.report(run_id)["events"]]
    assert "proved" in events and "not_proved" not in events, events
    wait_for(lambda: not made.unclean("db"), 5, "the host to be clean")
    wait_for(lambda: reach(made, 6379) == reach(made, 6380) == "open", 5, "both services to answer")
    return shown


def cut(extra: str) -> str:
    return "{fault: network.partition, on: host=db, from: {hosts: host=watch}, for: 6s, " + extra + "}"


@pytest.mark.lab
@pytest.mark.parametrize(
    ("extra", "answers"),
    [
        ("verdict: drop", ("silent", "silent", "silent")),
        ("verdict: reject", ("refused", "refused", "refused")),
        ("ports: [6379]", ("silent", "open", "silent")),
        ("ports: [6379], verdict: reject", ("refused", "open", "refused")),
        # What goes one way is looked at packet by packet in tests/kernel.
        pytest.param("direction: in", ("silent", "silent", "silent"), marks=pytest.mark.deep),
        pytest.param("direction: out", ("silent", "silent", "silent"), marks=pytest.mark.deep),
    ],
)
def test_a_partition_is_what_another_host_sees(made: Lab, extra: str, answers: Sequence[str]) -> None:
    """`answers`: port 6379 and 6380 over IPv4, port 6379 over IPv6."""

    def seen() -> bool:
        return (reach(made, 6379), reach(made, 6380), reach(made, 6379, six=True)) == tuple(answers)

    hold(made, cut(extra), seen)


@pytest.mark.lab
def test_a_slow_path_is_slow_for_another_host(made: Lab) -> None:
    def slow() -> bool:
        there = made.state.hosts["db"].address4
        program = f"{CONNECT_TIME}\nprint(took({there!r}, 6379))"
        return float(made.run_in("watch", "python3", "-c", program).stdout) >= 0.3

    assert not slow()
    hold(made, "{fault: network.delay, on: host=db, from: {hosts: host=watch}, delay: 150ms, for: 3s}", slow)
    assert not slow()


@pytest.mark.lab
@pytest.mark.parametrize("amount", ["percent: 100", "inodes: 16300"])
def test_a_full_volume_takes_nothing_more(made: Lab, amount: str) -> None:
    write = "for n in $(seq 400); do echo x > /srv/data/$n || exit 1; done"

    def full() -> bool:
        done = made.run_in("db", "sh", "-c", write)
        made.run_in("db", "sh", "-c", "rm -f /srv/data/*")
        return done.returncode != 0

    assert not full()
    hold(made, f"{{fault: disk.fill, on: host=db, volume: data, {amount}, for: 3s}}", full)
    assert not full()


@pytest.mark.lab
def test_a_forking_process_stands_still_and_goes_on(made: Lab) -> None:
    step = "{fault: process.pause, on: host=db, unit: forker, for: 2s}"
    hold(made, step, lambda: all_stopped(made, "forker"))
    wait_for(lambda: not all_stopped(made, "forker"), 2, "the forker to go on")


@pytest.mark.lab
def test_a_killed_process_is_replaced_by_its_supervisor(made: Lab) -> None:
    before = unit_pids(made, "one")
    step = "{fault: process.kill, on: host=db, unit: one, for: 2s}"
    hold(made, step, lambda: not set(before) & set(unit_pids(made, "one")))
    assert not any(os.path.exists(f"/proc/{pid}") for pid in before)  # noqa: PTH110 - /proc
    assert unit_pids(made, "one")


@pytest.mark.lab
def test_a_stopped_unit_is_down_and_its_neighbour_is_not(made: Lab) -> None:
    step = "{fault: unit.stop, on: host=db, units: [one], for: 2s}"
    hold(made, step, lambda: (reach(made, 6379), reach(made, 6380)) == ("refused", "open"))


@pytest.mark.lab
def test_a_frozen_site_goes_on_with_the_same_processes(made: Lab) -> None:
    units = ("one", "two", "idle")
    before = {unit: unit_pids(made, unit) for unit in units}
    step = "{fault: site.blackout, site: near, units: freeze, for: 3s}"
    hold(made, step, lambda: all(all_stopped(made, unit) for unit in (*units, "forker")))
    assert {unit: unit_pids(made, unit) for unit in units} == before


@pytest.mark.lab
@pytest.mark.parametrize(
    ("step", "reason"),
    [
        ("{fault: process.kill, on: host=db, unit: blackstart-agent, for: 1s}", "belongs to blackstart"),
        ("{fault: process.pause, on: host=db, name: runsvdir, for: 1s}", "blackstart"),
        ("{fault: process.pause, on: host=db, name: sh, for: 1s}", "it is the host's first process"),
        ("{fault: process.pause, on: host=db, name: bs-sentry, for: 1s}", "belongs to blackstart"),
        ("{fault: unit.stop, on: host=db, units: [blackstart-agent], for: 1s}", "protects unit"),
    ],
)
def test_what_must_live_is_refused_by_the_host_itself(made: Lab, step: str, reason: str) -> None:
    file = made.put("/tmp/experiment.yaml", EXPERIMENT.replace("STEP", step))
    done = made.run_in("control", *_cli("run", file, "--wait"), timeout_s=60)
    said = done.stdout + done.stderr
    print(done.returncode, said)
    assert done.returncode in (6, 7) and reason in said, said


def _cli(*words: str) -> tuple[str, ...]:
    from support.labs import BLACKSTART

    return (*BLACKSTART, *words)


@pytest.mark.lab
def test_revert_all_on_the_host_ends_a_running_fault_at_once(made: Lab) -> None:
    step = "{fault: host.blackout, on: host=db, for: 20s}"
    run_id = made.start(EXPERIMENT.replace("STEP", step))
    wait_for(lambda: not unit_pids(made, "idle"), 20, "darkness")
    began_s = time.monotonic()
    status = made.run_in("db", "blackstart-agent", "status").stdout
    done = made.run_in("db", "blackstart-agent", "revert", "--all")
    print(status, done.stdout, done.stderr, f"{time.monotonic() - began_s:.2f} s")
    assert "host.blackout" in status and done.returncode == 0 and ": reverted" in done.stdout
    assert not made.unclean("db")
    shown = made.wait_end(run_id, limit_s=30)
    assert shown["reverted"] == "confirmed" and shown["verdict"] in ("halted", "error"), json.dumps(shown)
