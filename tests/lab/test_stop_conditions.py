"""From a stop condition to a clean lab: how long it takes, and what the silence of a source does."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import statistics
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from blackstart_lab.layout import CONTROLLER_UNIT
from blackstart_lab.units import SERVICES
from support.labs import Lab, ended, kill, lab, wait_for

ROUNDS = min(5, int(os.environ.get("BLACKSTART_ROUNDS", "5")))
SOURCE = "http://control:9090"
EVERY_S = 0.5
FAILING_S = 1.0
LAB = f"""
lab: stopcond
sites: {{near: {{}}, far: {{}}}}
hosts:
  shop:
    site: near
    units:
      redis:
        command: [redis-server, --bind, "{{{{ host.address }}}}", --protected-mode, "no", --save, ""]
        ready: {{tcp: 6379}}
  watch: {{site: far, labels: {{role: observer}}}}
  control:
    site: far
    controller: true
    agent: false
    files: {{/srv/source.py: {{source: source.py}}}}
    units:
      source: {{command: [{sys.executable}, /srv/source.py, "9090"], ready: {{tcp: 9090}}}}
"""
STOPS = {
    "service": "service: {name: shop, failing_for: 1s}",
    "probe": "probe: {name: gate, failing_for: 1s, observers: role=observer, every: 50ms, timeout: 500ms, "
    'tcp: {address: "shop:6379"}}',
    "metric": f'metric: {{name: errors, prometheus: "{SOURCE}", query: errors, above: 0.5, every: 500ms}}',
    "webhook": f'webhook: {{name: freeze, url: "{SOURCE}/freeze", every: 500ms}}',
}
EXPERIMENT = """
experiment: stop-conditions
description: A unit is down for as long as its stop condition allows.
hypothesis: Everything is back soon after a condition has tripped.
baseline: 500ms
settle: 500ms
watch: 5s
steps:
  - {fault: unit.stop, on: host=shop, units: [redis], for: 60s}
stop:
  - STOP
services:
  - name: shop
    members: host=shop
    observers: role=observer
    every: 50ms
    timeout: 500ms
    probes: [{redis: {addresses: ["shop:6379"]}}]
"""


@dataclass(frozen=True, slots=True)
class Took:
    """Seconds: from the first sign against going on to the trip, and from there to all clean."""

    to_trip: float
    to_clean: float


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    folder = tmp_path_factory.mktemp("stop")
    shutil.copy(Path(__file__).with_name("source.py"), folder)
    with lab(LAB, folder) as running:
        _allow_source(running)
        yield running


def _allow_source(made: Lab) -> None:
    """The lab's controller serves again, and may ask the source now."""
    run = shlex.quote(f"{SERVICES}/{CONTROLLER_UNIT}/run")
    edit = f"sed -i 's#--agents-listen#--allow-url {SOURCE} --agents-listen#' {run}"
    done = made.run_in(made.control, "sh", "-c", f"{edit} && sv restart {SERVICES}/{CONTROLLER_UNIT}")
    assert done.returncode == 0, done.stderr
    wait_for(lambda: _ready(made), 40, "the agents to be connected again")


def _ready(made: Lab) -> bool:
    hosts = json.loads(made.operate("host", "list", "-o", "json", codes=(0, 6)) or "[]")
    return len(hosts) == 2 and all(host["connected"] and not host["open_faults"] for host in hosts)


def _ask_source(made: Lab, path: str) -> str:
    script = f"import urllib.request as u; print(u.urlopen({SOURCE + path!r}).read().decode())"
    done = made.run_in(made.control, sys.executable, "-c", script)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def _holding(made: Lab, kind: str) -> str:
    """A run whose fault is in effect and that this kind of condition watches."""
    _ask_source(made, "/say?good=1")
    run_id = made.start(EXPERIMENT.replace("STOP", STOPS[kind]))
    wait_for(lambda: made.show(run_id)["state"] in ("holding", "halting", "ended") or None, 30, "the hold")
    return run_id


def _halted(made: Lab, run_id: str) -> dict[str, Any]:
    shown = wait_for(lambda: ended(made.show(run_id)), 60, f"run {run_id} to end")
    assert (shown["verdict"], shown["exit_code"], shown["reverted"]) == ("halted", 4, "confirmed"), shown
    assert shown["halted_by"].startswith("stop condition "), shown
    assert not made.unclean("shop")
    return made.report(run_id)


def _event(report: dict[str, Any], what: str) -> dict[str, Any]:
    return dict([event for event in report["events"] if event["what"] == what][-1])


def _wall(event: dict[str, Any]) -> float:
    return datetime.fromisoformat(event["at"]).timestamp()


def _first_failure_s(report: dict[str, Any]) -> float:
    """After T0, as late as the first failed sample allows."""
    return float(report["services"][0]["observers"][0]["outages"][0]["start_high_s"])


def play(made: Lab, kind: str) -> Took:
    run_id = _holding(made, kind)
    if kind in ("metric", "webhook"):
        _ask_source(made, "/say?good=0")
    report = _halted(made, run_id)
    stopped, reverted = _event(report, "stopped"), _event(report, "reverted")
    if kind in ("metric", "webhook"):
        to_trip = _wall(stopped) - float(_ask_source(made, "/first"))
    else:
        to_trip = stopped["s"] - _first_failure_s(report)
    [stop] = report["stops"]
    assert (stop["kind"], stop["tripped"]) == (kind, True)
    return Took(to_trip, reverted["s"] - stopped["s"])


def check(kind: str, took: Took) -> None:
    allowed_s = FAILING_S + 1.0 if kind in ("service", "probe") else EVERY_S
    assert took.to_trip < allowed_s, f"{kind}: tripped only {took.to_trip:.3f} s after the first sign"
    assert took.to_clean < 2.0, f"{kind}: clean only {took.to_clean:.3f} s after the condition had tripped"


@pytest.mark.lab
def test_a_failing_service_halts_the_run_and_all_is_clean(made: Lab) -> None:
    took = play(made, "service")
    print(f"service: tripped {took.to_trip:.3f} s after its first failure, clean {took.to_clean:.3f} s later")
    check("service", took)


@pytest.mark.lab
@pytest.mark.deep
@pytest.mark.timeout(300)
@pytest.mark.parametrize("kind", list(STOPS))
def test_how_long_it_takes_from_a_condition_to_all_clean(made: Lab, kind: str) -> None:
    all_took = [play(made, kind) for _ in range(ROUNDS)]
    for took in all_took:
        check(kind, took)
    trips, cleans = [took.to_trip for took in all_took], [took.to_clean for took in all_took]
    print(
        f"{kind}, {ROUNDS} rounds: first sign to trip "
        f"{statistics.median(trips):.3f} s (max {max(trips):.3f} s), "
        f"trip to all clean {statistics.median(cleans):.3f} s (max {max(cleans):.3f} s)"
    )


@pytest.mark.lab
@pytest.mark.deep
@pytest.mark.timeout(300)
@pytest.mark.parametrize("kind", ["metric", "webhook"])
def test_a_source_that_is_killed_halts_the_run_within_two_intervals_and_a_second(
    made: Lab, kind: str
) -> None:
    run_id = _holding(made, kind)
    [source] = [
        pid
        for pid, command in made.processes(made.control).items()
        if "/srv/source.py" in command and "runsv" not in command
    ]
    made.run_in(made.control, "sv", "once", f"{SERVICES}/source")  # else its supervisor starts another one
    killed = time.time()
    kill(source, signal.SIGKILL)
    report = _halted(made, run_id)
    made.run_in(made.control, "sv", "up", f"{SERVICES}/source")
    took_s = _wall(_event(report, "stopped")) - killed
    assert "cannot be read" in report["stops"][0]["reason"]
    assert took_s <= 2 * EVERY_S + 1.0, f"halted only {took_s:.2f} s after its source had died"
    print(
        f"{kind} killed: halted after {took_s:.3f} s, clean after "
        f"{_event(report, 'reverted')['s'] - _event(report, 'stopped')['s']:.3f} s more"
    )
    wait_for(lambda: _answers(made), 10, "the source to be back")


def _answers(made: Lab) -> bool:
    script = f"import urllib.request as u; u.urlopen({SOURCE + '/first'!r})"
    return made.run_in(made.control, sys.executable, "-c", script).returncode == 0
