"""A lab killed while it came up, or whose holder was killed, leaves no process, mount, namespace, file."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from blackstart_lab import api
from blackstart_lab.state import StateDirectory, states_root

from .conftest import Labs, eventually

pytestmark = pytest.mark.lab

FOUR_HOSTS = """
lab: NAME
sites: {pangyo: {}, busan: {}}
hosts:
  a: {site: pangyo, units: {u: {command: [sleep, MARK]}}}
  b: {site: pangyo, units: {u: {command: [sleep, MARK]}}}
  c: {site: busan, units: {u: {command: [sleep, MARK]}}}
  d: {site: busan, units: {u: {command: [sleep, MARK]}}}
"""


@dataclass(frozen=True)
class Traces:
    """What a lab of ours could leave on the machine."""

    processes: frozenset[str]
    mounts: str
    links: str
    namespaces: frozenset[str]
    files: frozenset[str]


def traces(name: str) -> Traces:
    """Only what has to do with the lab `name`: others may run on this machine meanwhile."""
    processes, namespaces = set(), set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                if name in line or f"sleep {mark(name)}" in line:
                    processes.add(f"{entry.name} {line}")
                    namespaces.add(str((entry / "ns/net").readlink()))
            except OSError:
                continue
    mounts = "\n".join(line for line in Path("/proc/mounts").read_text().splitlines() if name in line)
    links = subprocess.run(["ip", "-o", "link"], capture_output=True, text=True).stdout
    files = frozenset(str(path) for path in states_root().glob(f"*{name}*"))
    ours = str(links.count("site") + links.count("port"))
    return Traces(frozenset(processes), mounts, ours, frozenset(namespaces), files)


def mark(name: str) -> str:
    """Something that only this lab's units have on their command line."""
    return str(10_000_000 + sum(ord(letter) * 131**place for place, letter in enumerate(name)) % 10_000_000)


def write(labs: Labs) -> tuple[str, Path]:
    path = labs.write(FOUR_HOSTS)
    name = labs.names[-1]
    path.write_text(path.read_text().replace("MARK", mark(name)))
    return name, path


def start_up(path: Path) -> subprocess.Popen[bytes]:
    # A shell starts background jobs with SIGINT ignored, and a child inherits that; at a terminal it counts.
    code = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler);"
        " from blackstart_lab import api; api.up(sys.argv[1], progress=print)"
    )
    return subprocess.Popen(
        [sys.executable, "-c", code, path], stdout=subprocess.PIPE, start_new_session=True
    )


@pytest.mark.parametrize("seed", range(8))
def test_an_up_that_is_killed_at_any_moment_leaves_nothing_behind(labs: Labs, seed: int) -> None:
    name, path = write(labs)
    before = traces("no-such-lab")
    with start_up(path) as up:
        eventually(lambda: StateDirectory.of(name).path.exists() or up.poll() is not None)
        time.sleep(random.Random(seed).uniform(0.0, 0.5))
        up.kill()
    eventually(lambda: not StateDirectory.of(name).held(), within_s=5)
    api.down(name)
    after = traces(name)
    assert (after.processes, after.mounts, after.files) == (frozenset(), "", frozenset())
    assert after.links == before.links


@pytest.mark.parametrize("seed", range(3))
def test_the_next_up_cleans_what_a_killed_one_left(labs: Labs, seed: int) -> None:
    name, path = write(labs)
    with start_up(path) as up:
        eventually(lambda: StateDirectory.of(name).path.exists() or up.poll() is not None)
        time.sleep(random.Random(seed).uniform(0.0, 0.3))
        up.kill()
    eventually(lambda: not StateDirectory.of(name).held(), within_s=5)
    state = api.up(path)
    assert {host.state for host in api.status(name).hosts.values()} == {"up"}
    assert len(traces(name).processes) == len(state.hosts)


def test_ctrl_c_takes_down_what_has_come_up(labs: Labs) -> None:
    path = labs.write(
        "{lab: NAME, sites: {s: {}},"
        " hosts: {h: {site: s, units: {u: {command: [sleep, inf], ready: {tcp: 1}}}}}}"
    )
    name = labs.names[-1]
    with start_up(path) as up:
        assert up.stdout is not None
        assert b"1 hosts in 1 sites are wired" in up.stdout.readline()
        os.killpg(up.pid, signal.SIGINT)
        assert up.wait(20) != 0
    assert not StateDirectory.of(name).path.exists()


def test_the_end_of_the_holder_is_the_end_of_the_lab(labs: Labs) -> None:
    name, path = write(labs)
    state = api.up(path)
    assert traces(name).processes
    os.kill(state.holder_pid, signal.SIGKILL)
    eventually(lambda: not traces(name).processes)
    assert name not in api.running()
    assert api.down(name)
    assert not traces(name).files


def test_nothing_of_a_lab_is_in_the_machines_own_namespaces(labs: Labs) -> None:
    links_before = traces("no-such-lab").links
    name, path = write(labs)
    api.up(path)
    during = traces(name)
    assert not during.mounts
    assert during.links == links_before
    assert str(Path("/proc/self/ns/net").readlink()) not in during.namespaces
    assert name not in subprocess.run(["ip", "netns"], capture_output=True, text=True).stdout
