"""A plan is made of the document, the fleet and the seed, and of nothing else."""

from __future__ import annotations

import dataclasses
import json
import time

import pytest
from blackstart_controller.errors import NoTargets
from blackstart_controller.plan.codec import plan_from_dict, plan_to_dict
from blackstart_controller.plan.explain import explain, finding_lines, order_lines, service_lines
from blackstart_controller.plan.faults.host import HostBlackout
from blackstart_controller.plan.faults.network import NetworkPartition
from blackstart_controller.plan.faults.process import ProcessKill, ProcessSelector
from blackstart_controller.plan.faults.unit import UnitStop
from blackstart_controller.plan.fleet import FleetSnapshot
from blackstart_controller.plan.hash import plan_hash
from blackstart_controller.plan.make import make_plan
from blackstart_controller.plan.model import HttpProbe, Mode
from blackstart_controller.spec.document import Document
from blackstart_controller.spec.load import load_experiment
from controller.documents import EXPERIMENT
from controller.fleets import SITES, fleet, host, numbered, planned, with_host
from hypothesis import given
from hypothesis import strategies as st

PICK_TWO = "{fault: process.pause, on: host, pick: {count: 2}, name: x, for: 1s}"
SITE = "{fault: site.blackout, site: pangyo, for: 30s}"


def hit(steps: str, *, seed: int | None = None, snapshot: FleetSnapshot | None = None) -> list[str]:
    return [order.host for order in planned(steps, seed=seed, snapshot=snapshot).orders]


def test_a_site_blackout_becomes_one_host_blackout_on_each_host_of_the_site() -> None:
    plan = planned("{fault: site.blackout, site: pangyo, units: freeze, for: 30s, at: 2s}")
    assert [order.host for order in plan.orders] == ["db2", "login5", "messenger8"]
    assert {order.fault for order in plan.orders} == {HostBlackout("frozen")}
    assert {(order.at_s, order.hold_s, order.lease_s) for order in plan.orders} == {(2.0, 30.0, 15.0)}
    assert plan.hold_s == 32.0


def test_every_fault_reaches_its_orders_with_its_parameters() -> None:
    plan = planned(
        "{fault: process.kill, on: host=db0, unit: redis, for: 1s}",
        "{fault: process.kill, on: host=db0, executable: /usr/bin/redis, for: 1s}",
        "{fault: process.pause, on: host=db0, name: redis, for: 1s}",
        "{fault: unit.stop, on: host=db0, units: [a, b], for: 1s}",
        "{fault: network.partition, on: host=db0, from: {cidr: [10.9.0.0/16, 'fd01::1', 10.8.1.1]},"
        " ports: [80], direction: in, verdict: reject, for: 1s}",
    )
    kill, by_path, pause, stop, cut = (order.fault for order in plan.orders)
    assert kill == ProcessKill(ProcessSelector(unit="redis"))
    assert by_path == ProcessKill(ProcessSelector(executable="/usr/bin/redis"))
    assert pause.kind == "process.pause"
    assert stop == UnitStop(("a", "b"))
    assert cut == NetworkPartition(("10.8.1.1/32", "10.9.0.0/16", "fd01::1/128"), (80,), "in", "reject")


def test_a_sealed_lease_is_the_whole_hold_and_a_tethered_one_is_the_document_s() -> None:
    sealed = planned(SITE, head="mode: sealed")
    tethered = planned(SITE, head="lease: 5s")
    assert (sealed.mode, {order.lease_s for order in sealed.orders}) == (Mode.SEALED, {30.0})
    assert (tethered.mode, {order.lease_s for order in tethered.orders}) == (Mode.TETHERED, {5.0})


@pytest.mark.parametrize(
    ("pick", "number"),
    [
        ("count: 1", 1),
        ("count: 9", 9),
        ("count: 50", 9),
        ("percent: 1", 1),
        ("percent: 50", 5),
        ("percent: 100", 9),
    ],
)
def test_pick_takes_so_many_and_a_percentage_never_none(pick: str, number: int) -> None:
    assert len(hit(f"{{fault: process.pause, on: host, pick: {{{pick}}}, name: x, for: 1s}}")) == number


def test_the_same_seed_chooses_the_same_and_another_seed_chooses_differently() -> None:
    choices = [hit(PICK_TWO, seed=seed) for seed in range(20)]
    assert choices == [hit(PICK_TWO, seed=seed) for seed in range(20)]
    assert len({tuple(choice) for choice in choices}) > 5


def test_the_choice_does_not_depend_on_the_order_in_which_hosts_enrolled() -> None:
    backwards = FleetSnapshot(tuple(reversed(fleet().hosts)))
    for seed in range(10):
        assert hit(PICK_TWO, seed=seed) == hit(PICK_TWO, seed=seed, snapshot=backwards)


def test_the_seed_of_the_document_is_used_unless_another_is_given() -> None:
    assert planned(PICK_TWO, head="seed: 7").seed == 7
    assert planned(PICK_TWO, head="seed: 7", seed=8).seed == 8


def test_a_step_without_targets_names_what_could_have_been_meant() -> None:
    with pytest.raises(NoTargets) as caught:
        planned(
            "{fault: site.blackout, site: pangio, for: 1s}",
            PICK_TWO,
            "{fault: unit.stop, on: 'role=cache,site=busan', units: [a], for: 1s}",
        )
    assert str(caught.value).splitlines() == [
        "steps[0] site.blackout: no host is in site pangio; known: busan, jeju, pangyo; did you mean pangyo?",
        "steps[2] unit.stop: no host matches role=cache,site=busan; role is one of: db, login, messenger",
    ]
    assert caught.value.exit_code == 6


def test_an_empty_fleet_has_no_targets() -> None:
    with pytest.raises(NoTargets, match="no host has ever enrolled"):
        planned(SITE, snapshot=FleetSnapshot(()))


def test_a_partition_from_a_site_cuts_every_address_of_its_hosts() -> None:
    plan = planned("{fault: network.partition, on: host=db0, from: {site: pangyo}, for: 1s}")
    cut = plan.orders[0].fault
    assert isinstance(cut, NetworkPartition)
    v4 = ("10.0.0.3/32", "10.0.0.6/32", "10.0.0.9/32")
    assert cut.peers == (*v4, "fd00::3/128", "fd00::6/128", "fd00::9/128")


def test_a_host_is_never_cut_from_itself() -> None:
    plan = planned("{fault: network.partition, on: role=db, from: {hosts: role=db}, for: 1s}")
    addresses = {view.name: view.addresses for view in fleet().hosts}
    for order in plan.orders:
        assert isinstance(order.fault, NetworkPartition)
        assert len(order.fault.peers) == 4
        assert not {peer.split("/")[0] for peer in order.fault.peers} & {*addresses[order.host]}


def test_addresses_that_no_other_host_can_reach_are_no_peers() -> None:
    odd = ("127.0.0.1", "::1", "fe80::1%eth0", "10.5.5.5/24", "0.0.0.0", "nonsense")
    snapshot = FleetSnapshot((host("a1", "busan"), host("b1", "jeju", addresses=odd)))
    plan = planned("{fault: network.partition, on: host=a1, from: {site: jeju}, for: 1s}", snapshot=snapshot)
    cut = plan.orders[0].fault
    assert isinstance(cut, NetworkPartition)
    assert cut.peers == ("10.5.5.5/32",)


def test_services_carry_members_dependencies_and_objectives() -> None:
    plan = make_plan(load_experiment(Document(EXPERIMENT)), fleet(), ids=numbered())
    login, messenger = plan.services
    assert (login.members, login.rto_s) == (("login3", "login4", "login5"), None)
    assert (messenger.depends_on, messenger.rto_s, messenger.rpo_s) == (("login",), 10.0, 0.0)
    first = next(probe for probe in plan.probes if probe.service == "messenger")
    assert first.id == f"messenger/0@{first.observer}"
    assert (first.every_ms, first.timeout_ms) == (100, 1_000)
    assert HttpProbe("http://w1:8080/health", (200,), "ok") in [probe.spec for probe in plan.probes]
    assert len({probe.id for probe in plan.probes}) == len(plan.probes)


def test_the_hash_ignores_order_ids_and_nothing_else() -> None:
    plan = planned(SITE)
    renumbered = dataclasses.replace(
        plan, orders=tuple(dataclasses.replace(order, id=f"other-{order.host}") for order in plan.orders)
    )
    assert plan_hash(renumbered) == plan_hash(plan)
    assert plan_hash(dataclasses.replace(plan, settle_s=9.0)) != plan_hash(plan)
    assert plan_hash(planned(SITE, seed=1)) != plan_hash(plan)
    assert len(plan_hash(plan)) == 64


def test_a_plan_survives_its_journey_through_json() -> None:
    plan = make_plan(load_experiment(Document(EXPERIMENT)), fleet(), ids=numbered())
    again = plan_from_dict(json.loads(json.dumps(plan_to_dict(plan))))
    assert again == plan
    assert plan_hash(again) == plan_hash(plan)


def test_a_plan_of_another_shape_is_never_guessed() -> None:
    data = plan_to_dict(planned(SITE))
    with pytest.raises(TypeError):
        plan_from_dict({**data, "newer": 1})
    with pytest.raises(KeyError):
        plan_from_dict({**data, "orders": [{**data["orders"][0], "fault": {"kind": "no.such"}}]})


@given(
    seed=st.integers(0, 2**32),
    hosts=st.integers(1, 40),
    percent=st.integers(1, 100),
    site=st.sampled_from(SITES),
    offline=st.sets(st.integers(0, 39)),
)
def test_targets_never_observe_and_plans_are_repeatable(
    seed: int, hosts: int, percent: int, site: str, offline: set[int]
) -> None:
    snapshot = fleet(hosts)
    for number in offline:
        if number < hosts:
            snapshot = with_host(snapshot, snapshot.hosts[number].name, connected=False)
    step = f"{{fault: process.kill, on: 'site={site}', pick: {{percent: {percent}}}, name: x, for: 1s}}"
    try:
        plan = planned(step, snapshot=snapshot, seed=seed)
    except NoTargets:
        assert site not in {view.site for view in snapshot.hosts}
        return
    targets = {order.host for order in plan.orders}
    observers = {probe.observer for probe in plan.probes}
    connected = {view.name for view in snapshot.hosts if view.connected}
    assert not targets & observers
    assert observers <= connected
    assert bool(observers) is bool(connected - targets)
    assert len(observers) <= 3
    sites = {view.site for view in snapshot.hosts if view.name in observers}
    outside = {view.site for view in snapshot.hosts if view.name in connected - targets}
    assert len(sites) == min(len(outside), 3)
    assert plan == planned(step, snapshot=snapshot, seed=seed)


def test_a_plan_over_a_thousand_hosts_is_made_at_once() -> None:
    hosts = tuple(
        host(f"h{number}", SITES[number % 3], addresses=(f"10.{number % 3}.{number // 250}.{number % 250}",))
        for number in range(1_000)
    )
    started = time.perf_counter()
    plan = planned(
        "{fault: network.partition, on: site=pangyo, from: {site: busan}, for: 1s}",
        "{fault: site.blackout, site: pangyo, for: 1s}",
        snapshot=FleetSnapshot(hosts),
    )
    assert len(plan.orders) == 666
    assert time.perf_counter() - started < 2


def test_a_plan_is_told_in_words_and_lines() -> None:
    plan = planned(SITE, "{fault: network.partition, on: host=db0, from: {site: jeju}, at: 1s, for: 1s}")
    words = explain(plan)
    assert "hits 4 hosts (db0, db2, login5, messenger8) with host.blackout, network.partition." in words
    assert "each ends at most 15s after the controller is gone" in words
    assert "Seed 0 made every choice." in words
    lines = order_lines(plan)
    assert lines[0].split() == ["AT", "HOST", "FAULT", "FOR", "LEASE", "STEP", "WHAT"]
    assert lines[1] == "+0s  db2         host.blackout      30s  15s    steps[0]  network cut, units killed"
    assert lines[4].startswith(
        "+1s  db0         network.partition  1s   15s    steps[1]  drop to and from 10.0.0.2/32"
    )
    assert service_lines(plan)[1].split() == [
        "web",
        "login3,",
        "login4,",
        "login5",
        "-",
        "tcp",
        *_observers(plan),
    ]
    assert all(line.startswith(("error: ", "warning: ", "note: ")) for line in finding_lines(plan))
    assert "even if the controller is gone" in explain(planned(SITE, head="mode: sealed"))


def _observers(plan: object) -> list[str]:
    lines = service_lines(plan)  # type: ignore[arg-type]
    return lines[1].split("tcp")[1].split()
