"""From a lab file to addresses, scripts and commands: pure, so no lab is needed."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from blackstart_lab.blackstart import with_blackstart
from blackstart_lab.errors import LabError
from blackstart_lab.layout import Layout, PlacedUnit, lay_out
from blackstart_lab.load import load_lab
from blackstart_lab.network import host_batch, hosts_file, router_batch, site_batch
from blackstart_lab.units import Account, finish_script, run_script

TWO_SITES = """
lab: two
sites:
  pangyo: {latency: 2ms}
  busan: {subnet: 10.101.0.0/24}
hosts:
  a: {site: pangyo}
  b-1:
    site: busan
    units:
      last: {command: [sleep, inf], after: [first, middle]}
      middle: {command: [sleep, inf], after: [first]}
      first:
        command: [echo, "{{ host.address6 }}"]
        environment: {PEER: "{{ hosts.a.address }}"}
        files: {/etc/x.conf: "I am {{ host.name }} in {{ site.subnet }}, not {{ hosts.b-1.address }}"}
  c: {site: busan}
"""


def layout_of(text: str, directory: Path = Path()) -> Layout:
    return lay_out(load_lab(text, "lab.yaml"), directory)


def test_every_host_gets_an_address_of_both_families_in_its_sites_subnet() -> None:
    layout = layout_of(TWO_SITES)
    for host in layout.hosts:
        assert host.address4.rpartition(".")[0] == str(host.site.subnet4.network_address).rpartition(".")[0]
    assert len({host.address4 for host in layout.hosts} | {host.address6 for host in layout.hosts}) == 6


def test_a_subnet_that_a_site_claims_is_given_to_no_other_site() -> None:
    pangyo, busan = layout_of(TWO_SITES).sites
    assert str(busan.subnet4) == "10.101.0.0/24"
    assert not pangyo.subnet4.overlaps(busan.subnet4)


def test_templates_know_the_host_its_peers_and_its_site() -> None:
    layout = layout_of(TWO_SITES)
    a, b, _ = layout.hosts
    assert b.units[0].command == ("echo", b.address6)
    assert b.units[0].environment == {"PEER": a.address4}
    assert b.files[0].content.decode() == f"I am b-1 in 10.101.0.0/24, not {b.address4}"


def test_units_are_in_start_order() -> None:
    assert [unit.name for unit in layout_of(TWO_SITES).hosts[1].units] == ["first", "middle", "last"]


def test_a_source_is_copied_as_it_is_and_filled_in_only_when_asked(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("{{ host.name }}")
    files = "{/a: {source: x}, /b: {source: x, template: true}}"
    text = f"{{lab: l, sites: {{s: {{}}}}, hosts: {{h: {{site: s, files: {files}}}}}}}"
    contents = [file.content for file in layout_of(text, tmp_path).hosts[0].files]
    assert contents == [b"{{ host.name }}", b"h"]


def test_a_source_that_is_not_there_is_named(tmp_path: Path) -> None:
    text = "{lab: l, sites: {s: {}}, hosts: {h: {site: s, files: {/a: {source: gone}}}}}"
    with pytest.raises(LabError, match=r"host h: file /a: source .*gone: No such file"):
        layout_of(text, tmp_path)


def test_a_subnet_without_room_is_refused_with_its_size() -> None:
    hosts = ", ".join(f"h{number}: {{site: s}}" for number in range(6))
    with pytest.raises(LabError, match=r"10\.0\.0\.0/29 has room for 5 hosts, not for 6"):
        layout_of(f"{{lab: l, sites: {{s: {{subnet: 10.0.0.0/29}}}}, hosts: {{{hosts}}}}}")


def test_a_small_subnet_is_used_to_its_last_address() -> None:
    hosts = ", ".join(f"h{number}: {{site: s}}" for number in range(5))
    layout = layout_of(f"{{lab: l, sites: {{s: {{subnet: 10.0.0.0/29}}}}, hosts: {{{hosts}}}}}")
    assert [host.address4 for host in layout.hosts] == [f"10.0.0.{number}" for number in range(2, 7)]


def test_a_lab_without_a_controller_runs_no_agents() -> None:
    assert not any(host.agent for host in with_blackstart(layout_of(TWO_SITES)).hosts)


def test_agents_wait_for_their_enrolment() -> None:
    layout = with_blackstart(
        layout_of(TWO_SITES.replace("c: {site: busan}", "c: {site: busan, controller: true}"))
    )
    agent = next(unit for unit in layout.hosts[0].units if unit.name == "blackstart-agent")
    assert agent.down
    assert {unit.name for unit in layout.hosts[2].units} == {"blackstart-agent", "blackstart-controller"}


def test_a_unit_named_like_one_of_ours_is_refused() -> None:
    text = "{lab: l, sites: {s: {}}, hosts: {h: {site: s, units: {blackstart-agent: {command: [a]}}}}}"
    with pytest.raises(LabError, match="unit blackstart-agent is the lab's own"):
        with_blackstart(layout_of(text))


def test_wires_lead_from_each_host_to_its_bridge_and_from_each_bridge_to_the_router() -> None:
    layout = layout_of(TWO_SITES)
    router = router_batch(layout, {"pangyo": "/ns/p", "busan": "/ns/b"}, ipv6=True)
    assert "link add site1 type veth peer name uplink netns /ns/p" in router
    bridge = site_batch(layout, layout.sites[1], {"a": 11, "b-1": 12, "c": 13})
    assert "netns 12" in bridge
    assert "netns 13" in bridge
    assert "netns 11" not in bridge


def test_without_ipv6_in_the_kernel_no_command_mentions_it() -> None:
    layout = layout_of(TWO_SITES)
    a = layout.hosts[0]
    texts = router_batch(layout, {"pangyo": "p", "busan": "b"}, ipv6=False) + host_batch(a, ipv6=False)
    assert "fd00" not in texts + hosts_file(layout, a, ipv6=False)


def test_no_argument_of_a_unit_is_understood_by_the_shell(tmp_path: Path) -> None:
    nasty = ("printf", "%s\n", "$(touch hacked)", "a b", "'", '"', "`id`", "x\ny", "*", "-n", "")
    unit = PlacedUnit("u", nasty, environment={"A": "$HOME; exit 3"}, directory=str(tmp_path))
    last = run_script(unit, None).split("\n", 5)[5]
    script = last[last.index("exec env") :]
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, cwd=tmp_path)
    assert done.stdout == "".join(f"{argument}\n" for argument in nasty[2:])
    assert not list(tmp_path.iterdir())


def test_a_unit_carries_its_name_and_drops_to_its_user() -> None:
    script = run_script(
        PlacedUnit("db", ("server",), user="postgres"), Account(105, 110, "/var/lib/postgresql")
    )
    assert "BLACKSTART_UNIT=db" in script
    assert "HOME=/var/lib/postgresql" in script
    assert "setpriv --reuid=105 --regid=110 --init-groups -- server" in script


def test_only_a_unit_that_runs_once_stays_down_when_it_is_done() -> None:
    assert "supervise/control" not in finish_script(PlacedUnit("u", ("x",)))
    assert "supervise/control" in finish_script(PlacedUnit("u", ("x",), once=True))
