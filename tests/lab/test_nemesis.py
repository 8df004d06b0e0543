"""Whatever dies or freezes at whatever moment, every host is clean after it and the run ends truthfully."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

import pytest
from support.labs import BLACKSTART, Lab, kill, lab, process_state, wait_for

ROUNDS = int(os.environ.get("BLACKSTART_ROUNDS", "20"))
LEASE_S = 2.0
HOLD_S = 5.0
LATEST_S = 7.0  # arming, baseline and the lead before T0 take about two seconds, then the fault holds
TARGETS = ("dark", "cut")
VERDICTS = {"pass", "fail", "halted", "not_steady", "error"}
LAB = """
lab: nemesis
sites: {near: {}, far: {}}
hosts:
  dark: {site: near, units: &units}
  cut: {site: near, units: *units}
  watch: {site: far, labels: {role: observer}}
  control: {site: far, controller: true, agent: false}
""".replace(
    "&units",
    '{redis: {command: [redis-server, --bind, "{{ host.address }}", --protected-mode, "no", --save, ""]}, '
    "idle: {command: [sleep, infinity]}}",
).replace(
    "*units",
    '{redis: {command: [redis-server, --bind, "{{ host.address }}", --protected-mode, "no", --save, ""]}, '
    "idle: {command: [sleep, infinity]}, web: {command: [sleep, infinity]}}",
)
EXPERIMENT = f"""
experiment: nemesis
description: Every kind of fault at once, and something that kills us in between.
hypothesis: Nothing is left.
baseline: 500ms
settle: 500ms
watch: 3s
lease: {int(LEASE_S)}s
steps:
  - {{fault: host.blackout, on: host=dark, for: {int(HOLD_S)}s}}
  - {{fault: network.partition, on: host=cut, from: {{cidr: [10.0.0.0/8, "fd00::/8"]}}, for: {int(HOLD_S)}s}}
  - {{fault: network.delay, on: host=cut, delay: 20ms, for: {int(HOLD_S)}s}}
  - {{fault: process.pause, on: host=cut, unit: idle, for: {int(HOLD_S)}s}}
  - {{fault: unit.stop, on: host=cut, units: [web], for: {int(HOLD_S)}s}}
  - {{fault: resources.cpu, on: host=cut, percent: 10, cores: 1, for: {int(HOLD_S)}s}}
  - {{fault: resources.memory, on: host=cut, size: 32MiB, for: {int(HOLD_S)}s}}
services:
  - name: redis
    members: host=dark
    observers: role=observer
    every: 50ms
    timeout: 500ms
    probes: [{{redis: {{addresses: ["dark:6379"]}}}}]
"""


@dataclass(frozen=True, slots=True)
class Strike:
    """What a nemesis did: how to mend what only a human would, and which pids stay stopped until then."""

    mend: Callable[[], None] = lambda: None
    stopped: Sequence[int] = ()


def _each_part(made: Lab, parts: Sequence[str], number: signal.Signals) -> Strike:
    pids = [pid for host in TARGETS for part, pid in made.agent(host).items() if part in parts]
    for pid in pids:
        with suppress(ProcessLookupError):
            kill(pid, number)
    if number != signal.SIGSTOP:
        return Strike()
    return Strike(lambda: _thaw(pids), pids)


def _thaw(pids: Sequence[int]) -> None:
    for pid in pids:
        if process_state(pid) == "T":
            kill(pid, signal.SIGCONT)


def _kill_controller(made: Lab) -> Strike:
    for pid, command in made.processes(made.control).items():
        if " serve" in command and "runsv" not in command:
            kill(pid)
    return Strike()


def _lose_the_control_network(made: Lab) -> Strike:
    """The controller's host hears nobody and is not heard, for longer than a lease."""
    pid = str(made.state.hosts[made.control].pid)
    net = ["nsenter", "-t", pid, "--net"]
    table = "table inet nemesis {\nchain i { type filter hook input priority 0; iifname != lo drop;\n}\n}\n"
    subprocess.run([*net, "nft", "-f", "-"], input=table, text=True, check=True)
    time.sleep(LEASE_S + 2)
    subprocess.run([*net, "nft", "delete", "table", "inet", "nemesis"], check=True)
    return Strike()


STRIKES: dict[str, Callable[[Lab], Strike]] = {
    "kill link": lambda made: _each_part(made, ["link"], signal.SIGKILL),
    "kill guardian": lambda made: _each_part(made, ["guardian"], signal.SIGKILL),
    "kill both": lambda made: _each_part(made, ["guardian", "link"], signal.SIGKILL),
    "kill controller": _kill_controller,
    "freeze link": lambda made: _each_part(made, ["link"], signal.SIGSTOP),
    "freeze guardian": lambda made: _each_part(made, ["guardian"], signal.SIGSTOP),
    "lose control network": _lose_the_control_network,
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with lab(LAB, tmp_path_factory.mktemp("nemesis")) as running:
        yield running


def ready(made: Lab) -> bool:
    """Every agent is connected and nothing is open anywhere."""
    hosts = json.loads(made.operate("host", "list", "-o", "json", codes=(0, 6)) or "[]")
    return bool(hosts) and all(host["connected"] and not host["open_faults"] for host in hosts)


def clean(made: Lab, strike: Strike) -> bool:
    return not any(made.unclean(host, except_pids=strike.stopped) for host in TARGETS)


def strike_at(made: Lab, name: str, after_s: float) -> float:
    """Run, strike `after_s` later, and return how long after they had to be over faults were still seen.

    A run that the strike broke has to be over a lease later; one that survived it, at its planned end.
    """
    wait_for(lambda: ready(made), 40, "all agents to be connected")
    run_id = made.start(EXPERIMENT)
    time.sleep(after_s)
    struck = last_seen = time.time()
    strike = STRIKES[name](made)
    while not (ended := confirmed(made, run_id)):
        waited_s = time.time() - struck
        assert waited_s < 90, f"{name} after {after_s:.2f} s: run {run_id} does not end, proved clean"
        if not clean(made, strike):
            last_seen = time.time()
        if waited_s > HOLD_S + LEASE_S + 3:
            strike.mend()
    strike.mend()
    left = {host: made.unclean(host) for host in TARGETS}
    assert not any(left.values()), f"{name} after {after_s:.2f} s: {left}"
    assert ended["verdict"] in VERDICTS, ended
    t0 = made.report(run_id)["injection"]["t0"]
    survived = ended["verdict"] in ("pass", "fail") and t0 is not None
    bound = datetime.fromisoformat(t0).timestamp() + HOLD_S if survived else struck + LEASE_S
    late_s = last_seen - bound
    print(
        f"{name}: struck at {after_s:4.1f} s, {ended['verdict']}, last trace {late_s:+5.2f} s from the limit"
    )
    return late_s


def confirmed(made: Lab, run_id: str) -> dict[str, object] | None:
    shown = json.loads(made.operate("run", "show", run_id, "-o", "json", codes=(0, 6)) or "{}")
    return shown if shown.get("state") == "ended" and shown.get("reverted") == "confirmed" else None


def repeat(made: Lab, name: str, times: int) -> None:
    moments = [LATEST_S * (number + random.random()) / times for number in range(times)]
    late = [strike_at(made, name, after_s) for after_s in moments]
    print(f"{name}: {times} times, last trace of a fault {max(late):+.2f} s from the limit")


@pytest.mark.lab
@pytest.mark.parametrize("name", list(STRIKES))
def test_every_host_is_clean_after_one_strike(made: Lab, name: str) -> None:
    repeat(made, name, 1)


@pytest.mark.lab
@pytest.mark.deep
@pytest.mark.timeout(1500)
@pytest.mark.parametrize("name", list(STRIKES))
def test_every_host_is_clean_after_many_strikes_at_random_moments(made: Lab, name: str) -> None:
    repeat(made, name, ROUNDS)


def interrupt_at(made: Lab, after_s: float) -> int:
    """Ctrl-C the command line `after_s` after its start; its exit code."""
    wait_for(lambda: ready(made), 40, "all agents to be connected")
    file = made.put("/tmp/experiment.yaml", EXPERIMENT)
    pid = str(made.state.hosts[made.control].pid)
    enter = ["nsenter", "-t", pid, "--net", "--mount", "--uts"]
    with subprocess.Popen([*enter, *BLACKSTART, "run", file, "--wait"], stdout=subprocess.PIPE) as command:
        time.sleep(after_s)
        command.send_signal(signal.SIGINT)
        command.communicate(timeout=60)
    left = {host: made.unclean(host) for host in TARGETS}
    assert not any(left.values()), f"Ctrl-C after {after_s:.2f} s, exit {command.returncode}: {left}"
    return command.returncode


@pytest.mark.lab
def test_an_interrupted_command_line_halts_the_run_and_waits_for_the_proof(made: Lab) -> None:
    assert interrupt_at(made, 4.0) == 130


@pytest.mark.lab
@pytest.mark.deep
@pytest.mark.timeout(600)
def test_interrupts_at_random_moments_leave_every_host_clean(made: Lab) -> None:
    codes = [
        interrupt_at(made, 0.5 + LATEST_S * (number + random.random()) / ROUNDS) for number in range(ROUNDS)
    ]
    print(f"Ctrl-C: exit codes {codes}")
    assert set(codes) <= {130}, codes
