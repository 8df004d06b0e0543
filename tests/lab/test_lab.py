"""A lab is up: what its hosts see, how they are entered, what keeps their units."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from blackstart_lab import api
from blackstart_lab.errors import LabError, NoSuchLab
from blackstart_lab.process import Process
from blackstart_lab.state import LabState

from .conftest import Labs, eventually

pytestmark = pytest.mark.lab

TWO_HOSTS = """
lab: NAME
sites: {pangyo: {latency: 5ms}, busan: {}}
hosts:
  a:
    site: pangyo
    labels: {role: db}
    files: {/new/dir/x: "x", /etc/x.conf: "{{ hosts.b.address }}", /usr/local/share/x: "x"}
    units:
      clock: {command: [sh, -c, "echo $$ started; exec sleep inf"]}
      after-clock: {command: [sh, -c, "cat /run/service/clock/started; exec sleep inf"], after: [clock]}
      once: {command: [sh, -c, "test -e /tmp/second || { touch /tmp/second; exit 1; }"], once: true}
      web:
        command: [python3, -m, http.server, "8080", --bind, "{{ host.address }}"]
        ready: {tcp: 8080}
      asked:
        command: [sh, -c, "sleep 0.3; touch /tmp/asked; exec sleep inf"]
        ready: {command: [test, -e, /tmp/asked]}
  b: {site: busan}
"""


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabState]:
    labs = Labs(tmp_path_factory.mktemp("lab"))
    state = labs.up(TWO_HOSTS)
    yield state
    api.down(state.name)


def sh(lab: LabState, host: str, script: str) -> str:
    done = api.run(lab.name, host, ["sh", "-c", script], timeout_s=30)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def cli_exec(lab: LabState, *argv: str) -> list[str]:
    code = (
        "import sys; from blackstart_lab import api; _, *a = sys.argv; sys.exit(api.exec_(a[0], a[1], a[2:]))"
    )
    return [sys.executable, "-c", code, lab.name, *argv]


def test_twelve_hosts_in_four_sites_are_up_within_30_s_and_reach_each_other(labs: Labs) -> None:
    sites = "".join(f"  s{number}: {{}}\n" for number in range(4))
    unit = "units: {web: {command: [sleep, inf]}}"
    hosts = "".join(f"  h{number}: {{site: s{number % 4}, {unit}}}\n" for number in range(12))
    started = time.monotonic()
    state = labs.up(f"lab: NAME\nsites:\n{sites}hosts:\n{hosts}")
    took_s = time.monotonic() - started
    print(f"12 hosts in 4 sites: up in {took_s:.2f} s")
    assert took_s < 30
    names = " ".join(state.hosts)
    for family in ("-4", "-6"):
        labs.sh(state, "h0", f"for h in {names}; do ping {family} -c 1 -W 2 $h; done")


def test_a_host_has_its_own_name_and_knows_the_others(lab: LabState) -> None:
    assert sh(lab, "a", "hostname").strip() == "a"
    assert lab.hosts["b"].address4 in sh(lab, "a", "getent ahostsv4 b")
    assert sh(lab, "b", "hostname; cat /proc/sys/kernel/hostname; cat /etc/hostname").split() == ["b"] * 3


def test_sites_are_joined_by_a_router(lab: LabState) -> None:
    for family in ("-4", "-6"):
        assert "ttl=63" in sh(lab, "a", f"ping {family} -c 1 -W 2 b")


@pytest.mark.parametrize("path", ["/tmp", "/run", "/var/lib", "/dev/shm", "/etc", "/usr/local", "/"])
def test_what_a_host_writes_stays_in_the_host(lab: LabState, path: str) -> None:
    mark = f"{path}/{lab.name}-mark"
    sh(lab, "a", f"echo a >{mark}")
    assert not Path(mark).exists()
    assert api.run(lab.name, "b", ["test", "-e", mark]).returncode == 1


def test_a_host_sees_only_its_own_processes(lab: LabState) -> None:
    assert "sleep inf" not in sh(lab, "b", "ps ax | grep -v grep")
    assert "sleep inf" in sh(lab, "a", "ps ax | grep -v grep")


def test_files_are_placed_anywhere_and_filled_in(lab: LabState) -> None:
    assert sh(lab, "a", "cat /new/dir/x /etc/x.conf /usr/local/share/x") == f"x{lab.hosts['b'].address4}x"


def test_the_lab_files_own_directory_is_seen_and_cannot_be_written(lab: LabState) -> None:
    directory = str(Path(lab.file).parent)
    assert Path(lab.file).name in sh(lab, "a", f"ls {directory}")
    assert "Read-only" in api.run(lab.name, "a", ["touch", f"{directory}/x"]).stderr


def test_wanted_latency_is_set_or_told(lab: LabState) -> None:
    told = api.status(lab.name).sites
    assert told["busan"].latency == "none"
    assert told["pangyo"].latency == "netem" or told["pangyo"].latency.startswith("unsupported: no sch_netem")


def test_status_knows_units_by_name(lab: LabState) -> None:
    units = api.status(lab.name).hosts["a"].units
    assert {name: unit.state for name, unit in units.items()} == {
        "clock": "run",
        "after-clock": "run",
        "once": "down",
        "web": "run",
        "asked": "run",
    }


def test_a_later_unit_starts_when_the_earlier_runs(lab: LabState) -> None:
    clock = sh(lab, "a", "head -n 1 /var/log/clock.log").split()[0]
    assert sh(lab, "a", "head -n 1 /var/log/after-clock.log").strip() == clock


def test_a_unit_that_runs_once_is_repeated_until_it_succeeds(lab: LabState) -> None:
    assert api.status(lab.name).hosts["a"].units["once"].exits == 2


def test_every_process_of_a_unit_carries_its_name(lab: LabState) -> None:
    pid = sh(lab, "a", "cat /run/service/web/supervise/pid").strip()
    assert "BLACKSTART_UNIT=web" in sh(lab, "a", f"tr '\\0' '\\n' </proc/{pid}/environ")


def test_a_killed_unit_is_started_again(lab: LabState) -> None:
    before = api.status(lab.name).hosts["a"].units["clock"]
    sh(lab, "a", f"kill -9 {before.pid}")

    def restarted() -> bool:
        now = api.status(lab.name).hosts["a"].units["clock"]
        return now.state == "run" and now.pid != before.pid and now.exits == before.exits + 1

    eventually(restarted)


def test_an_orphan_leaves_no_zombie(lab: LabState) -> None:
    sh(lab, "a", "(sleep 0.2 & ) ; sleep 0.5; ! ps ax | grep -w Z | grep -v grep")


@pytest.mark.parametrize(
    ("script", "code"), [("exit 0", 0), ("exit 7", 7), ("kill -9 $$", 137), ("kill -TERM $$", 143)]
)
def test_exec_ends_as_its_command_does(lab: LabState, script: str, code: int) -> None:
    assert api.exec_(lab.name, "a", ["sh", "-c", script]) == code


def test_a_command_that_is_not_there_is_told_with_127(lab: LabState) -> None:
    done = api.run(lab.name, "a", ["no-such-command"])
    assert (done.returncode, done.stderr) == (127, "blackstart lab: no-such-command: not found in the host\n")


def test_exec_passes_input_output_and_errors_on(lab: LabState) -> None:
    argv = cli_exec(lab, "b", "sh", "-c", "cat; echo problem >&2; hostname")
    done = subprocess.run(argv, input="in\n", capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("in\nb\n", "problem\n")


def test_exec_gives_its_terminal_to_the_command(lab: LabState) -> None:
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        cli_exec(lab, "a", "sh", "-c", "test -t 0 && test -t 1"), stdin=theirs, stdout=theirs
    ) as done:
        assert done.wait(20) == 0
    os.close(ours)
    os.close(theirs)


def test_exec_that_is_told_to_end_takes_its_command_with_it(lab: LabState) -> None:
    with subprocess.Popen(cli_exec(lab, "b", "sleep", "4711")) as running:
        eventually(lambda: "sleep 4711" in sh(lab, "b", "ps axo args"))
        running.terminate()
        running.wait(10)
    eventually(lambda: "sleep 4711" not in sh(lab, "b", "ps axo args"))


def test_exec_in_an_unknown_host_names_those_that_exist(lab: LabState) -> None:
    with pytest.raises(NoSuchLab, match=r"has no host c; it has a, b"):
        api.exec_(lab.name, "c", ["true"])


def test_a_lab_that_is_up_is_not_brought_up_again(lab: LabState) -> None:
    with pytest.raises(LabError, match="is up already; take it down first"):
        api.up(lab.file)
    assert api.status(lab.name).hosts["a"].state == "up"


def test_two_labs_with_the_same_addresses_do_not_see_each_other(labs: Labs, lab: LabState) -> None:
    other = labs.up(TWO_HOSTS)
    assert other.hosts["a"].address4 == lab.hosts["a"].address4
    sh(other, "a", "touch /tmp/mine")
    assert api.run(lab.name, "a", ["test", "-e", "/tmp/mine"]).returncode == 1
    assert {lab.name, other.name} <= set(api.running())
    assert api.down(other.name)
    sh(lab, "a", "ping -c 1 -W 2 b")


def test_a_host_whose_first_process_dies_is_dark_and_the_others_are_not(labs: Labs) -> None:
    state = labs.up(TWO_HOSTS)
    os.kill(state.hosts["a"].pid, signal.SIGKILL)
    eventually(lambda: api.status(state.name).hosts["a"].state == "dark")
    assert api.run(state.name, "a", ["true"]).returncode == 125
    assert labs.sh(state, "b", "hostname").strip() == "b"


def test_down_is_done_once_and_may_be_said_twice(labs: Labs) -> None:
    state = labs.up(TWO_HOSTS)
    assert api.down(state.name) is True
    assert not Process(state.holder_pid, state.holder_start_ticks).alive()
    assert api.down(state.name) is False
    with pytest.raises(NoSuchLab, match="is running; start it: blackstart lab up FILE"):
        api.status(state.name)


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (
            "[no-such-server, --flag]",
            r"unit a/bad is not up: its command 'no-such-server' cannot be run .*127",
        ),
        (
            "[sh, -c, 'echo port is taken; exit 3']",
            r"(?s)unit a/bad .*exit status 3; last lines .*port is taken",
        ),
    ],
)
def test_a_unit_that_does_not_run_is_named_with_its_log_and_nothing_is_left(
    labs: Labs, command: str, told: str
) -> None:
    path = labs.write(
        "{lab: NAME, sites: {s: {}}, hosts: {a: {site: s, units: {bad: {command: COMMAND}}}}}".replace(
            "COMMAND", command
        )
    )
    with pytest.raises(LabError, match=told):
        api.up(path)
    assert labs.names[-1] not in api.running()
    assert not api.down(labs.names[-1])


def test_a_user_that_does_not_exist_is_named(labs: Labs) -> None:
    unit = "units: {u: {command: ['true'], user: nobody-here}}"
    with pytest.raises(LabError, match="host a: unit u: no user nobody-here on this machine"):
        labs.up(f"{{lab: NAME, sites: {{s: {{}}}}, hosts: {{a: {{site: s, {unit}}}}}}}")
