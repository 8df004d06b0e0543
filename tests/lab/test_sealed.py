"""A sealed site loses its controller too, and is back at its deadline by itself, whatever of ours died."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress

import pytest
from support.labs import Lab, kill, lab, wait_for

ROUNDS = int(os.environ.get("BLACKSTART_ROUNDS", "20"))
HOLD_S = 3.0
LATE_S = 1.0
SITE = ("db", "web")
OWN = ("armed", "injected", "proved", "reverting", "reverted")  # of a host, in this order
UNITS = (
    """{redis: {command: [redis-server, --bind, "{{ host.address }}", --protected-mode, "no", --save, ""]}}"""
)
LAB = f"""
lab: sealed
sites: {{near: {{}}, far: {{}}}}
hosts:
  db: {{site: near, units: {UNITS}}}
  web: {{site: near, units: {UNITS}}}
  watch: {{site: far, labels: {{role: observer}}}}
  control: {{site: far, controller: true, agent: false}}
"""
EXPERIMENT = f"""
experiment: sealed
description: A site loses power, and the way to its controller with it.
hypothesis: It is back at the deadline.
mode: sealed
baseline: 500ms
settle: 500ms
watch: 10s
steps:
  - {{fault: site.blackout, site: near, units: kill, for: {int(HOLD_S)}s}}
services:
  - name: redis
    members: host=db
    observers: role=observer
    every: 50ms
    timeout: 500ms
    probes: [{{redis: {{addresses: ["db:6379"]}}}}]
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with lab(LAB, tmp_path_factory.mktemp("sealed")) as running:
        yield running


def ready(made: Lab) -> bool:
    hosts = json.loads(made.operate("host", "list", "-o", "json", codes=(0, 6)) or "[]")
    return bool(hosts) and all(host["connected"] and not host["open_faults"] for host in hosts)


def redis_pids(made: Lab, host: str) -> list[int]:
    return [pid for pid, command in made.processes(host).items() if command.startswith("redis-server")]


def is_dark(made: Lab) -> bool:
    return not any(redis_pids(made, host) for host in SITE)


def is_back(made: Lab) -> bool:
    return all(redis_pids(made, host) for host in SITE)


def strike_parts(made: Lab, parts: Sequence[str], number: signal.Signals) -> list[int]:
    pids = [pid for host in SITE for part, pid in made.agent(host).items() if part in parts]
    for pid in pids:
        with suppress(ProcessLookupError):
            kill(pid, number)
    return pids


def kill_controller_and_links(made: Lab) -> None:
    for pid, command in made.processes(made.control).items():
        if " serve" in command and "runsv" not in command:
            kill(pid)
    strike_parts(made, ["link"], signal.SIGKILL)


STRIKES: dict[str, tuple[Callable[[Lab], object], bool]] = {  # and whether the site is back at once
    "nothing": (lambda made: None, False),
    "controller and links killed": (kill_controller_and_links, False),
    "guardians killed": (lambda made: strike_parts(made, ["guardian"], signal.SIGKILL), True),
    "guardians frozen": (lambda made: strike_parts(made, ["guardian"], signal.SIGSTOP), False),
    "links frozen": (lambda made: strike_parts(made, ["link"], signal.SIGSTOP), False),
    "sentries frozen": (lambda made: strike_parts(made, ["sentry"], signal.SIGSTOP), False),
    "links and sentries frozen": (lambda made: strike_parts(made, ["link", "sentry"], signal.SIGSTOP), False),
}


def strike(made: Lab, name: str, after_s: float) -> float:
    """Seconds from the darkness to the light; everything of the run has arrived and is in order."""
    wait_for(lambda: ready(made), 40, "all agents to be connected")
    run_id = made.start(EXPERIMENT)
    wait_for(lambda: is_dark(made), 20, "the site to be dark")
    dark_s = time.monotonic()
    time.sleep(after_s)
    hit, at_once = STRIKES[name]
    hit(made)
    wait_for(lambda: is_back(made), HOLD_S + LATE_S + 5, f"{name}: the site to be back")
    took_s = time.monotonic() - dark_s
    assert took_s < HOLD_S + LATE_S, f"{name} after {after_s:.2f} s: back only {took_s:.2f} s after darkness"
    assert at_once or took_s > HOLD_S - 0.5, (
        f"{name}: back {took_s:.2f} s after darkness, before the deadline"
    )
    arrived(made, run_id, name)
    return took_s


def arrived(made: Lab, run_id: str, name: str) -> None:
    shown = wait_for(lambda: confirmed(made, run_id), 60, f"{name}: run {run_id} to end, proved clean")
    report = made.report(run_id)
    for host in SITE:
        own = [event["what"] for event in report["events"] if event["host"] == host and event["what"] in OWN]
        assert own == [each for each in OWN if each in own] and own[-1] == "reverted", (name, host, own)
    # A run that was struck may end before it has seen the service again; then it must not say "not back".
    outcomes = {service["outcome"] for service in report["services"]}
    assert outcomes <= {"came back", "unknown"}, (name, report["services"])
    assert not any(made.unclean(host) for host in SITE), name
    print(
        f"{name}: {shown['verdict']}, " + "; ".join(f"{s['name']} {s['outcome']}" for s in report["services"])
    )


def confirmed(made: Lab, run_id: str) -> dict[str, object] | None:
    shown = json.loads(made.operate("run", "show", run_id, "-o", "json", codes=(0, 6)) or "{}")
    return shown if shown.get("state") == "ended" and shown.get("reverted") == "confirmed" else None


# What is frozen alone is frozen with others too in the rest.
DEEP = {"links frozen", "sentries frozen"}


@pytest.mark.lab
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.deep) if name in DEEP else name for name in STRIKES]
)
def test_a_sealed_site_is_back_at_its_deadline(made: Lab, name: str) -> None:
    print(f"{name}: dark for {strike(made, name, 0.5):.2f} s of {HOLD_S} s")


@pytest.mark.lab
@pytest.mark.deep
@pytest.mark.timeout(900)
def test_sealed_sites_struck_at_random_moments(made: Lab) -> None:
    names = list(STRIKES)
    took = [
        strike(made, names[number % len(names)], random.uniform(0, HOLD_S - 0.5)) for number in range(ROUNDS)
    ]
    print(f"sealed: {ROUNDS} times, dark for {max(took):.2f} s at most ({HOLD_S} s ordered)")
