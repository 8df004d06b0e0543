"""docs/install.md, word for word, on booted Debian hosts; and what happens when agents or power are lost.

Everything runs in containers with namespaces of their own: nft, systemctl and kill never reach this machine.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from realhost import REPOSITORY, RealHost, RealSite, debian_tree, real_site, wheels, why_not
from support.labs import wait_for

pytestmark = [
    pytest.mark.deep,
    pytest.mark.kernel,
    pytest.mark.timeout(900),
    pytest.mark.skipif(bool(why_not()), reason=f"no real hosts here: {why_not()}"),
]

INSTALL = REPOSITORY / "docs" / "install.md"
BLACKSTART = "/opt/blackstart/bin/blackstart"
AGENT = "/opt/blackstart/bin/blackstart-agent"
EVERY_PROCESS = (
    "kill -{} $(pgrep -f 'blackstart[-_]agent')"  # of this container alone: it has its own process ids
)
TICKER = """\
[Service]
ExecStart=/bin/sh -c 'while :; do sleep 1; done'
"""
HELD = """\
experiment: held
seed: 1
baseline: 200ms
settle: 200ms
watch: 5s
limits: {max_hosts: 2}
steps:
  - {fault: unit.stop, on: "host=db-1", units: [ticker], for: FOR}
  - {fault: network.partition, on: "host=db-1", from: {hosts: "host=web-1"}, for: FOR}
services:
  - name: web
    members: "host=web-1"
    observers: "host=web-1"
    every: 100ms
    probes:
      - tcp: {address: "10.0.0.3:7000"}
"""


def blocks() -> list[str]:
    """The commands of docs/install.md, in the order of the page, one entry a line."""
    found = re.findall(r"```sh\n(.*?)```", INSTALL.read_text(), re.S)
    return [line for block in found for line in block.splitlines() if line.strip()]


def documented(word: str) -> str:
    """The one command of the page that has `word` in it."""
    lines = [line for line in blocks() if word in line]
    assert len(lines) == 1, lines
    return lines[0]


@dataclass
class Fleet:
    site: RealSite
    ctl: RealHost
    db: RealHost
    web: RealHost

    def run_id(self) -> str:
        return str(json.loads(self.ctl.run(f"{BLACKSTART} run list -o json"))[0]["id"])

    def start(self, hold: str) -> str:
        """A run whose faults are in effect on db-1."""
        connected = f"test $({BLACKSTART} host list | grep -c 'connected  0') = 2"
        self.ctl.until(f"systemctl is-active -q blackstart-controller && {connected}")
        self.ctl.run(f"{BLACKSTART} halt --all --reason 'the next test begins'")
        self.ctl.until(f"! {BLACKSTART} run list | tail -n +2 | grep -v ' ended '")
        self.ctl.write("/root/held.yaml", HELD.replace("FOR", hold))
        run_id = self.ctl.run(f"{BLACKSTART} run /root/held.yaml").split()[-1]
        try:
            self.db.until("! systemctl is-active -q ticker && nft list tables | grep -q blackstart")
        except AssertionError as error:
            error.add_note(self.ctl.run(f"{BLACKSTART} run show {run_id}"))
            raise
        wait_for(lambda: not self.db_hears_web(), 10, "the cut")  # systemctl may take longer than a cut
        return run_id

    def db_hears_web(self) -> bool:
        """Whether db-1 still gets an answer from web-1."""
        connect = 'import socket; socket.create_connection(("10.0.0.3", 7000), 1)'
        script = f"python3 -c '{connect}' 2>/dev/null && echo yes || echo no"
        return self.db.run(script).split()[-1] == "yes"

    def db_is_clean(self, *, within_s: float) -> float:
        """Seconds until db-1 carries nothing of ours any more and its unit runs."""
        unit = "systemctl is-active -q ticker && ! ls /run/systemd/system.control/ticker.service"
        took_s = self.db.until(
            f"{unit} && ! nft list tables | grep -q blackstart && {AGENT} status | grep -q 'no open faults'",
            within_s=within_s,
        )
        assert self.db_hears_web()
        return took_s

    def ended(self, run_id: str) -> dict[str, object]:
        shown = f"{BLACKSTART} run show {run_id} -o json"
        self.ctl.until(f'{shown} | grep -q \'"state": "ended"\'', within_s=90)
        found: dict[str, object] = json.loads(self.ctl.run(shown))
        return found


def install_agent(fleet_ctl: RealHost, host: RealHost, *, role: str) -> None:
    token = fleet_ctl.run(documented("token create").replace("db-1", host.name)).split()[0]
    host.run(documented("pip install blackstart"), timeout_s=180)
    join = documented("install-units agent").replace("db-1", host.name).replace("role=db", f"role={role}")
    host.run(f"echo {token} | {join}")


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    folder = tmp_path_factory.mktemp("real")
    (folder / "wheels").mkdir()
    cache = wheels(folder / "wheels")
    with real_site(folder, str(debian_tree()), cache) as site:
        ctl, db, web = (site.add(name) for name in ("ctl", "db-1", "web-1"))
        ctl.run(documented("[controller]"), timeout_s=300)
        ctl.run(documented("install-units controller"))
        ctl.until("test -s /var/lib/blackstart/admin.json")
        install_agent(ctl, db, role="db")
        install_agent(ctl, web, role="web")
        db.write("/etc/systemd/system/ticker.service", TICKER)
        db.run("systemctl daemon-reload && systemctl start ticker")
        web.write(
            "/etc/systemd/system/web.service", "[Service]\nExecStart=/usr/bin/python3 -m http.server 7000\n"
        )
        web.run("systemctl daemon-reload && systemctl start web")
        ctl.until(f"test $({documented('host list')} | grep -c connected) = 2")
        yield Fleet(site, ctl, db, web)


def test_the_page_has_five_commands_that_install() -> None:
    assert len(blocks()) - 1 - 1 - 2 == 5  # without the packages, the look at the end, and leaving


def test_every_unit_is_up_and_hardened(fleet: Fleet) -> None:
    limits = {
        "blackstart-controller": (fleet.ctl, 1.5),
        "blackstart-agent": (fleet.db, 3.0),
        "blackstart-revert": (fleet.db, 3.0),
    }
    for unit, (host, limit) in limits.items():
        assert host.run(f"systemctl is-active {unit}").strip() == "active"
        told = host.run(f"systemd-analyze security --no-pager {unit}.service | tail -1")
        score = float(re.search(r"(\d+\.\d)", told)[1])  # type: ignore[index]
        assert score <= limit, told


def test_the_half_that_speaks_to_the_network_has_no_privileges(fleet: Fleet) -> None:
    link = fleet.db.run("pgrep -u blackstart -f blackstart_agent").split()
    assert link
    assert "CapEff:\t0000000000000000" in fleet.db.run(f"cat /proc/{link[0]}/status")
    assert fleet.db.run("ss -Hltn 2>/dev/null | grep -c -v :22 || true").strip() in ("", "0")


def test_a_planned_run_stops_and_cuts_and_ends_clean(fleet: Fleet) -> None:
    run_id = fleet.start("4s")
    found = fleet.ended(run_id)
    assert found["reverted"] == "confirmed", found
    fleet.db_is_clean(within_s=5)


def test_a_killed_agent_is_reverted_by_its_unit(fleet: Fleet) -> None:
    run_id = fleet.start("120s")
    fleet.db.run("systemctl kill --kill-whom=main -s KILL blackstart-agent")
    took_s = fleet.db_is_clean(within_s=20)
    print(f"kill -9 of the main process: clean after {took_s:.2f} s")
    assert fleet.ended(run_id)["reverted"] == "confirmed"


def test_every_process_of_an_agent_killed_is_reverted_by_its_unit(fleet: Fleet) -> None:
    run_id = fleet.start("120s")
    fleet.db.run(EVERY_PROCESS.format("KILL"))
    took_s = fleet.db_is_clean(within_s=20)
    print(f"kill -9 of every process: clean after {took_s:.2f} s")
    assert fleet.ended(run_id)["reverted"] == "confirmed"


def test_a_frozen_agent_is_found_by_the_watchdog(fleet: Fleet) -> None:
    run_id = fleet.start("120s")
    fleet.db.run(EVERY_PROCESS.format("STOP"))
    took_s = fleet.db_is_clean(within_s=60)
    print(f"SIGSTOP of every process: clean after {took_s:.2f} s")
    assert fleet.ended(run_id)["reverted"] == "confirmed"


def test_stopping_the_unit_reverts_first(fleet: Fleet) -> None:
    run_id = fleet.start("120s")
    fleet.db.run("systemctl stop blackstart-agent")
    fleet.db_is_clean(within_s=1)
    fleet.db.run("systemctl start blackstart-agent")
    assert fleet.ended(run_id)["reverted"] == "confirmed"


def test_a_host_that_loses_its_power_is_clean_after_it(fleet: Fleet) -> None:
    run_id = fleet.start("120s")
    fleet.db.power_off()
    fleet.db.boot()
    fleet.db.run("systemctl start ticker")  # it is not enabled: a reboot starts nothing that was not
    fleet.db_is_clean(within_s=20)
    fleet.db.until("systemctl is-active -q blackstart-revert", within_s=1)
    assert fleet.ended(run_id)["reverted"] == "confirmed"


def test_a_killed_controller_ends_the_run_and_every_fault(fleet: Fleet) -> None:
    run_id = fleet.start("120s")
    fleet.ctl.run("systemctl kill --kill-whom=main -s KILL blackstart-controller")
    fleet.db_is_clean(within_s=20)
    fleet.ctl.until(f"{BLACKSTART} host list")
    assert fleet.ended(run_id)["reverted"] == "confirmed"


def test_leaving_takes_everything_along(fleet: Fleet) -> None:
    for line in blocks()[-2:]:
        fleet.web.run(line)
    left = fleet.web.run(
        "ls -d /opt/blackstart /etc/blackstart /var/lib/blackstart-agent 2>/dev/null; nft list tables",
        check=False,
    )
    assert left == ""
