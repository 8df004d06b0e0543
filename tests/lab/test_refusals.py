"""What a run may not or cannot do, on real hosts: it says why, with its exit code, and touches nothing."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator

import pytest
from blackstart_lab import api
from support.labs import BLACKSTART, Lab, lab, wait_for

HOSTS = ("a1", "a2", "w1", "control")
LAB = """
lab: refusals
sites: {near: {}, far: {}}
hosts:
  a1: {site: near, labels: {role: db}, units: {web: {command: [sleep, infinity]}, port: {command: [python3, -m, http.server, "80"], ready: {tcp: 80}}}}
  a2: {site: near, labels: {role: db}, units: {web: {command: [sleep, infinity]}}}
  w1: {site: far, labels: {role: observer}}
  control: {site: far, controller: true}
"""  # noqa: E501  one host a line
EXPERIMENT = """
experiment: refusals
description: Something that is refused.
hypothesis: Nothing is touched.
baseline: 500ms
settle: 200ms
watch: 2s
lease: 5s
steps:
{steps}
services:
  - name: port
    members: host=a1
    objective: {{rto: 300ms}}
    observers: role=observer
    every: 50ms
    timeout: 200ms
    probes: [{{tcp: {{address: "a1:{port}"}}}}]
"""
STOP = "  - {fault: unit.stop, on: host=a1, units: [port], for: 1s}"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with lab(LAB, tmp_path_factory.mktemp("refusals")) as running:
        yield running


def touched(made: Lab) -> dict[str, str]:
    """Tables, pids of units and journals: what a fault would change."""
    look = (
        "nft list tables; sv status /run/service/* | sed 's/ [0-9]*s//g'; ls -R /var/lib/*/guardian/journal"
    )
    return {host: made.run_in(host, "sh", "-c", look).stdout for host in HOSTS}


def call(made: Lab, verb: str, steps: str, *words: str, port: int = 80) -> subprocess.CompletedProcess[str]:
    file = made.put("/tmp/experiment.yaml", EXPERIMENT.format(steps=steps, port=port))
    return made.run_in(made.control, *BLACKSTART, verb, file, *words)


MANY_WRONG = """\
  - {fault: process.kill, on: host=a1, unit: gone, for: 1s}
  - {fault: process.pause, on: host=a2, name: gone, for: 1s}
  - {fault: unit.stop, on: "role=db", units: [missing], for: 1s}"""
CONTROLLER = "  - {fault: host.blackout, on: host=control, for: 1s}"
OBSERVER = '  - {fault: host.blackout, on: "host in (a1,w1)", for: 1s}'


@pytest.mark.lab
@pytest.mark.parametrize(
    ("steps", "code", "reasons"),
    [
        (
            MANY_WRONG,
            7,
            (
                'a1 refuses: process.kill: no process matches unit "gone"',
                "a2 refuses: process.pause: no process",
                "a1 refuses: unit.stop: no unit missing",
                "a2 refuses: unit.stop: no unit missing",
            ),
        ),
        (CONTROLLER, 7, ("control, where the controller runs",)),
        (OBSERVER, 7, ("service port: no observer", "(w1)")),
        ("  - {fault: host.blackout, on: host=nobody, for: 1s}", 6, ("no host matches host=nobody",)),
        ("  - {fault: host.blackot, on: host=a1, for: 1s}", 2, ("/tmp/experiment.yaml:10:13: ", "blackot")),
    ],
)
def test_a_run_that_cannot_be_says_every_reason_and_touches_nothing(
    steps: str, code: int, reasons: tuple[str, ...], made: Lab
) -> None:
    before = touched(made)
    done = call(made, "run", steps, "--wait")
    assert done.returncode == code, done.stderr
    for reason in reasons:
        assert reason in done.stderr
    assert touched(made) == before


@pytest.mark.lab
def test_a_plan_shows_what_the_agents_say_and_touches_nothing(made: Lab) -> None:
    before = touched(made)
    done = call(made, "plan", STOP)
    assert (done.returncode, "a1: would hit unit port" in done.stdout) == (0, True), done.stdout + done.stderr
    refused = call(made, "plan", MANY_WRONG)
    assert refused.returncode == 7
    assert "a2: refuses: unit.stop: no unit missing" in refused.stdout
    assert touched(made) == before


@pytest.mark.lab
def test_a_hosts_own_policy_refuses_what_another_hosts_allows(made: Lab) -> None:
    policy = api.run(made.state.name, "a2", ["cat", "/etc/blackstart/policy.toml"]).stdout
    strict = (
        '[allow]\nfaults = ["network.partition"]\nmodes = ["tethered"]\nmax_hold_s = 60\nmax_faults = 1\n'
    )
    api.run(made.state.name, "a2", ["tee", "/etc/blackstart/policy.toml"], text=strict)
    try:
        before = touched(made)
        done = call(made, "run", '  - {fault: unit.stop, on: "role=db", units: [web], for: 1s}', "--wait")
        assert done.returncode == 7, done.stderr
        assert "a2 refuses: " in done.stderr
        assert "a1 refuses" not in done.stderr
        assert touched(made) == before
    finally:
        api.run(made.state.name, "a2", ["tee", "/etc/blackstart/policy.toml"], text=policy)


@pytest.mark.lab
def test_what_is_not_steady_is_not_broken(made: Lab) -> None:
    before = touched(made)
    done = call(made, "run", STOP, "--wait", port=81)
    assert done.returncode == 3, done.stderr
    assert touched(made) == before


@pytest.mark.lab
def test_a_missed_objective_is_exit_code_one(made: Lab) -> None:
    assert call(made, "run", STOP, "--wait").returncode == 1


@pytest.mark.lab
def test_a_halt_from_elsewhere_ends_who_waits_with_four(made: Lab) -> None:
    file = made.put("/tmp/halted.yaml", EXPERIMENT.format(steps=STOP.replace("for: 1s", "for: 30s"), port=80))
    run_id = json.loads(made.operate("run", file, "--no-wait", "-o", "json"))["id"]
    wait_for(lambda: made.show(run_id)["state"] == "holding", 20, "the fault to hold")
    again = call(made, "run", STOP)
    assert again.returncode == 7
    assert f"target of run {run_id}: it is under way" in again.stderr
    made.operate("halt", run_id, "--reason", "enough")
    done = made.run_in(made.control, *BLACKSTART, "run", "watch", run_id)
    assert (done.returncode, made.show(run_id)["reverted"]) == (4, "confirmed"), done.stderr
    assert "has ended already" in made.operate("halt", run_id)
    assert not made.unclean("a1")
