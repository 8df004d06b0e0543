"""Control on a lab: the lever in each phase, a second person, and a controller whose disk is full."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator

import pytest
from support.labs import BLACKSTART, Lab, lab, wait_for

STATE_DIR = "/var/lib/blackstart"
ACKNOWLEDGED_S = 2.0
HOLD_S = 30.0
LAB = """
lab: lever
sites: {near: {}, far: {}}
hosts:
  db:
    site: near
    labels: {role: target}
    units:
      redis: {command: [redis-server, --bind, "{{ host.address }}", --protected-mode, "no", --save, ""]}
  web:
    site: near
    labels: {role: target}
    units: {idle: {command: [sleep, infinity]}}
  watch: {site: far}
  control: {site: far, controller: true, agent: false}
"""
EXPERIMENT = f"""
experiment: lever
description: Two hosts go dark until somebody stops it.
hypothesis: They are lit again.
baseline: 2s
settle: 3s
watch: 10s
lease: 5s
steps:
  - {{fault: host.blackout, on: role=target, for: {int(HOLD_S)}s}}
services:
  - name: redis
    members: host=db
    observers: host=watch
    every: 50ms
    timeout: 500ms
    probes: [{{tcp: {{address: "db:6379"}}}}]
"""
pytestmark = [pytest.mark.lab, pytest.mark.deep]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with lab(LAB, tmp_path_factory.mktemp("lever")) as running:
        give_the_controller_a_small_disk(running)
        yield running


def inside(made: Lab, script: str) -> str:
    """What the script wrote, run in the mounts of the controller's host by the test itself."""
    enter = ["nsenter", "-t", str(made.state.hosts[made.control].pid), "--mount", "--pid", "--net"]
    return subprocess.run([*enter, "sh", "-ec", script], capture_output=True, text=True, check=True).stdout


def give_the_controller_a_small_disk(made: Lab) -> None:
    inside(
        made,
        f"sv down /run/service/blackstart-controller; cp -a {STATE_DIR} /var/lib/kept; "
        f"mount -t tmpfs -o size=16m,mode=0700 tmpfs {STATE_DIR}; cp -a /var/lib/kept/. {STATE_DIR}; "
        "sv up /run/service/blackstart-controller",
    )


def fill(made: Lab) -> None:
    """Not a byte is free."""
    inside(made, f"dd if=/dev/zero of={STATE_DIR}/fill bs=64k 2>/dev/null || :")
    inside(made, f"dd if=/dev/zero of={STATE_DIR}/fill2 bs=1 2>/dev/null || :")


def ready(made: Lab) -> bool:
    hosts = json.loads(made.operate("host", "list", "-o", "json", codes=(0, 6)) or "[]")
    return bool(hosts) and all(host["connected"] and not host["open_faults"] for host in hosts)


def in_state(made: Lab, run_id: str, *states: str) -> bool:
    return made.show(run_id)["state"] in states


def clean(made: Lab) -> bool:
    return not made.unclean("db") and not made.unclean("web")


def timed(made: Lab, *words: str) -> float:
    """How long the command took, with the start of its program."""
    since_s = time.monotonic()
    made.operate(*words)
    return time.monotonic() - since_s


@pytest.mark.parametrize("phase", ["arming", "baseline", "injecting", "holding"])
def test_the_lever_in_each_phase_leaves_every_host_clean(made: Lab, phase: str) -> None:
    wait_for(lambda: ready(made), 40, "all agents to be connected")
    run_id = made.start(EXPERIMENT)
    order = ["created", "planned", "arming", "baseline", "injecting", "holding"]
    wait_for(lambda: in_state(made, run_id, *order[order.index(phase) :]), 20, f"the run to be {phase}")
    met = made.show(run_id)["state"]
    took_s = timed(made, "lever", "engage", "--reason", "fire in pangyo")
    since_s = time.monotonic()
    assert "by admin: fire in pangyo" in made.operate("lever", "status")
    refused = made.run_in(made.control, *BLACKSTART, "run", "/tmp/experiment.yaml")
    assert (refused.returncode, "by admin: fire in pangyo" in refused.stderr) == (7, True), refused.stderr
    wait_for(lambda: clean(made), 10, "every host to be clean")
    clean_s = time.monotonic() - since_s
    shown = made.wait_end(run_id, limit_s=40)
    assert (shown["verdict"], shown["exit_code"], shown["reverted"]) == ("halted", 4, "confirmed"), shown
    made.operate("lever", "release", "--reason", "it is out")
    assert took_s < ACKNOWLEDGED_S
    print(f"lever engaged while {met}: command took {took_s:.2f} s, all clean within {clean_s:.2f} s more")


@pytest.mark.parametrize("way", ["halt", "halt-all", "lever"])
def test_with_a_full_disk_under_the_controller_everything_still_stops(made: Lab, way: str) -> None:
    wait_for(lambda: ready(made), 40, "all agents to be connected")
    run_id = made.start(EXPERIMENT)
    wait_for(lambda: in_state(made, run_id, "holding"), 20, "the run to hold")
    fill(made)
    try:
        words = {
            "halt": ("halt", run_id),
            "halt-all": ("halt", "--all"),
            "lever": ("lever", "engage", "--reason", "the disk is full"),
        }[way]
        took_s = timed(made, *words)
        since_s = time.monotonic()
        wait_for(lambda: clean(made), 10, "every host to be clean")
        clean_s = time.monotonic() - since_s
        if way == "lever":
            inside(made, f"rm -f {STATE_DIR}/fill; sv restart /run/service/blackstart-controller || :")
    finally:
        inside(made, f"rm -f {STATE_DIR}/fill {STATE_DIR}/fill2")
    wait_for(lambda: ready(made), 40, "all agents to be connected")
    if way == "lever":
        assert "by admin: the disk is full" in made.operate("lever", "status")
        made.operate("lever", "release", "--reason", "there is room again")
    shown = made.wait_end(run_id, limit_s=60)
    assert shown["verdict"] in (("halted", "error") if way == "lever" else ("halted",)), shown
    assert shown["reverted"] == "confirmed", shown
    assert took_s < ACKNOWLEDGED_S
    print(f"{way} with a full disk: command took {took_s:.2f} s, all clean within {clean_s:.2f} s more")


def test_a_second_person_and_roles_from_the_command_line(made: Lab) -> None:
    wait_for(lambda: ready(made), 40, "all agents to be connected")
    admin = json.loads(inside(made, f"cat {STATE_DIR}/admin.json"))
    contexts = {}
    for name, role in (("vera", "viewer"), ("bob", "operator"), ("carol", "approver")):
        token = made.operate("operator", "create", name, "--role", role).strip()
        contexts[name] = made.put(f"/tmp/{name}.json", json.dumps(admin | {"token": token}))
        made.run_in(made.control, "chmod", "600", contexts[name])
    made.operate("environment", "set", "prod", "--hosts", "role=target", "--second-person", "--protected")
    made.put("/tmp/experiment.yaml", EXPERIMENT)

    def by(name: str, *words: str) -> subprocess.CompletedProcess[str]:
        return made.run_in(made.control, *BLACKSTART, "--context", contexts[name], *words)

    assert by("vera", "run", "/tmp/experiment.yaml").returncode == 7
    told = by("bob", "run", "/tmp/experiment.yaml")
    assert told.returncode == 7
    command = told.stderr.strip().rpartition("then: blackstart ")[2]
    run_id = by("bob", *command.split()).stdout.strip()
    assert "an approver other than bob" in by("vera", "run", "show", run_id).stdout
    assert by("bob", "run", "approve", run_id).returncode == 7
    assert by("carol", "run", "approve", run_id).returncode == 0
    wait_for(lambda: in_state(made, run_id, "holding"), 20, "the run to hold")
    assert by("vera", "halt", run_id).returncode == 7
    assert by("bob", "halt", run_id).returncode == 0
    shown = made.wait_end(run_id, limit_s=30)
    assert (shown["verdict"], shown["halted_by"], shown["approved_by"]) == ("halted", "bob", "carol")
    made.operate("operator", "revoke", "bob")
    assert by("bob", "run", "list").returncode == 7
    made.operate("environment", "remove", "prod")
    log = made.operate("operator", "log")
    assert [
        word in log for word in ("operator.created", "environment.set", "run.approved", "operator.revoked")
    ]
    wait_for(lambda: clean(made), 10, "every host to be clean")
