"""What is wrong with a plan is found before any agent is asked, and every reason is told."""

from __future__ import annotations

import pytest
from blackstart_controller.plan.fleet import FleetSnapshot
from blackstart_controller.plan.model import Plan
from controller.fleets import fleet, host, planned, with_host

SITE = "{fault: site.blackout, site: pangyo, for: 30s}"
KILL = "{fault: process.kill, on: host=db0, name: x, for: 1s}"
LIMITS = "limits: {max_hosts: 3, max_sites: 1}"


def service(more: str = "", probe: str = "tcp: {address: 'login3:80'}") -> tuple[str]:
    return (f"{{name: web, members: role=login, {more} probes: [{{{probe}}}]}}",)


def texts(plan: Plan, level: str) -> list[str]:
    return [finding.text for finding in plan.findings if finding.level == level]


def test_a_good_plan_within_its_limits_has_no_findings() -> None:
    assert planned(SITE, head=LIMITS).findings == ()


@pytest.mark.parametrize(
    ("limits", "error"),
    [
        (
            "{max_hosts: 2, max_sites: 1}",
            "3 hosts would be hit (db2, login5, messenger8); limits.max_hosts is 2",
        ),
        (
            "{max_hosts: 9, max_sites: 1, max_hold: 10s}",
            "steps[0] site.blackout: holds 30s, limits.max_hold is 10s",
        ),
    ],
)
def test_a_limit_that_is_exceeded_is_an_error(limits: str, error: str) -> None:
    assert planned(SITE, head=f"limits: {limits}").errors == (error,)


def test_more_sites_than_allowed_are_an_error() -> None:
    plan = planned("{fault: process.kill, on: role=db, name: x, for: 1s}", head=LIMITS)
    assert plan.errors == ("3 sites would be hit (busan, jeju, pangyo); limits.max_sites is 1",)


def test_limits_that_are_not_set_are_noted() -> None:
    notes = texts(planned(SITE), "note")
    assert "limits.max_hosts is not set; 3 hosts would be hit" in notes
    assert "limits.max_sites is not set; 1 site would be hit" in notes


def test_a_long_sealed_fault_must_be_allowed_by_name() -> None:
    step = "{fault: process.kill, on: host=db0, name: x, for: 20m}"
    assert planned(step, head="mode: sealed").errors == (
        "steps[0] process.kill: holds 20m, limits.max_hold is 10m; "
        "sealed faults cannot be ended early by the controller",
    )
    assert planned(step, head="mode: sealed\nlimits: {max_hold: 20m}").errors == ()
    assert planned(step).errors == ()


def test_a_target_that_is_not_connected_is_an_error() -> None:
    plan = planned(SITE, head=LIMITS, snapshot=with_host(fleet(), "login5", connected=False, fault_kinds=()))
    assert plan.errors == ("login5: its agent is not connected; nothing can be armed on it",)


def test_a_target_that_cannot_do_the_fault_says_why() -> None:
    snapshot = with_host(
        fleet(),
        "login5",
        fault_kinds=("unit.stop",),
        unsupported={"host.blackout": "the kernel has no nf_tables"},
    )
    plan = planned(SITE, head=LIMITS, snapshot=snapshot)
    assert plan.errors == ("login5: host.blackout is not possible here: the kernel has no nf_tables",)
    snapshot = with_host(fleet(), "login5", fault_kinds=("unit.stop",))
    plan = planned(SITE, head=LIMITS, snapshot=snapshot)
    assert plan.errors == ("login5: host.blackout is not possible here: its agent knows unit.stop",)


def test_a_target_with_faults_of_an_earlier_run_is_an_error() -> None:
    plan = planned(SITE, head=LIMITS, snapshot=with_host(fleet(), "db2", open_faults=2))
    assert plan.errors == (
        "db2: 2 faults of an earlier run not reverted yet; wait, or run blackstart-agent revert --all there",
    )


def test_a_tethered_blackout_of_the_controller_s_own_host_is_refused() -> None:
    snapshot = fleet(controller_addresses=("127.0.0.1", "10.0.0.6"))
    expected = (
        "steps[0]: the blackout includes login5, where the controller runs; without its controller "
        "a tethered fault ends at once: move the controller, leave the host out, or use mode: sealed"
    )
    assert planned(SITE, head=LIMITS, snapshot=snapshot).errors == (expected,)
    on_host = "{fault: host.blackout, on: host=login5, for: 1s}"
    assert planned(on_host, head=LIMITS, snapshot=snapshot).errors == (expected,)


def test_a_sealed_blackout_of_the_controller_s_own_host_is_a_warning() -> None:
    snapshot = fleet(controller_addresses=("fd00::6",))
    plan = planned(SITE, head=f"mode: sealed\n{LIMITS}", snapshot=snapshot)
    assert plan.errors == ()
    expected = "steps[0]: the controller on login5 goes dark too; its report comes when the host is back"
    assert texts(plan, "warning") == [expected]


def test_faults_other_than_blackouts_spare_the_control_path_and_are_not_refused() -> None:
    snapshot = fleet(controller_addresses=("10.0.0.1",))
    cut = "{fault: network.partition, on: site=pangyo, from: {hosts: host=db0}, for: 1s}"
    assert planned(cut, KILL, snapshot=snapshot).errors == ()


def test_loopback_is_no_sign_that_the_controller_runs_on_a_host() -> None:
    snapshot = with_host(
        fleet(controller_addresses=("127.0.0.1", "::1")), "db2", addresses=("127.0.0.1", "::1")
    )
    assert planned(SITE, head=LIMITS, snapshot=snapshot).errors == ()


@pytest.mark.parametrize("mode", ["tethered", "sealed"])
def test_a_service_whose_observers_are_all_hit_is_refused_with_the_reason(mode: str) -> None:
    plan = planned(SITE, head=f"mode: {mode}\n{LIMITS}", services=service("observers: site=pangyo,"))
    assert plan.errors == (
        "service web: no observer: every host that could observe it is inside the blast radius "
        "(db2, login5, messenger8); widen observers, or hit fewer hosts",
    )
    assert plan.probes == ()


def test_observers_that_match_no_host_are_an_error() -> None:
    plan = planned(SITE, head=LIMITS, services=service("observers: role=watcher,"))
    assert plan.errors == ("service web: no observer: no host matches role=watcher",)


def test_observers_that_cannot_probe_are_told_one_by_one() -> None:
    snapshot = FleetSnapshot(
        (
            host("db2", "pangyo"),
            host("a1", "busan", 2, connected=False),
            host("b1", "busan", 3, probe_kinds=("http",)),
        )
    )
    plan = planned(SITE, head=LIMITS, snapshot=snapshot)
    expected = "service web: no observer outside the blast radius: a1 is not connected; b1 has no probe tcp"
    assert plan.errors == (expected,)


def test_an_observer_that_was_asked_for_but_lacks_the_probe_is_a_warning() -> None:
    snapshot = with_host(fleet(), "db0", probe_kinds=("http",))
    plan = planned(SITE, head=LIMITS, snapshot=snapshot, services=service("observers: 'host in (db0,db1)',"))
    assert texts(plan, "warning") == ["service web: db0 does not observe; its agent has no probe tcp"]
    assert {probe.observer for probe in plan.probes} == {"db1"}


def test_the_other_side_of_a_partition_must_exist() -> None:
    plan = planned("{fault: network.partition, on: host=db0, from: {site: bussan}, for: 1s}", head=LIMITS)
    assert plan.errors == (
        "steps[0] network.partition: from: no host is in site bussan; "
        "known: busan, jeju, pangyo; did you mean busan?",
    )
    plan = planned("{fault: network.partition, on: host=db0, from: {hosts: host=db0}, for: 1s}", head=LIMITS)
    assert plan.errors == (
        "steps[0] network.partition: from has no address other than those of db0 itself; "
        "nothing would be cut there",
    )


def test_steps_that_get_in_each_other_s_way_are_noted_once_per_pair() -> None:
    stop = "{fault: unit.stop, on: role=db, units: [a], at: 500ms, for: 1s}"
    later = "{fault: unit.stop, on: role=db, units: [a], at: 10s, for: 1s}"
    cut = "{fault: network.partition, on: role=db, from: {site: busan}, for: 20s}"
    notes = texts(planned(KILL, stop, later, cut, head="limits: {max_hosts: 9, max_sites: 9}"), "note")
    assert notes == [
        "steps[0] process.kill and steps[1] unit.stop overlap in time on db0; neither can be measured alone"
    ]


def test_unknown_names_in_probes_and_members_are_told_and_not_refused() -> None:
    services = (
        "{name: web, members: role=gone,"
        " probes: [{tcp: {address: 'login33:80'}}, {tcp: {address: 'localhost:80'}}]}",
        "{name: dns, members: role=db,"
        " probes: [{http: {url: 'http://www.example.com/'}}, {tcp: {address: '10.1.1.1:1'}}]}",
    )
    plan = planned(KILL, head=LIMITS, services=services)
    known = "known: db0, db1, db2, login3, login4, login5, messenger6, messenger7, messenger8"
    assert plan.errors == ()
    assert texts(plan, "warning") == [
        "service web: no host matches its members role=gone",
        f"service web: login33 is no known host; its observers must resolve it "
        f"({known}; did you mean login3?)",
    ]
    assert texts(plan, "note") == [
        f"service dns: www.example.com is no known host; its observers must resolve it ({known})"
    ]


def test_a_service_that_is_hit_as_a_whole_is_noted() -> None:
    plan = planned("{fault: unit.stop, on: role=login, units: [a], for: 1s}")
    assert "service web: all its members are hit (login3, login4, login5)" in texts(plan, "note")


def test_an_objective_that_is_shorter_than_the_time_between_two_questions_cannot_be_judged() -> None:
    told = "service web: asked every 100ms, an objective of 100ms cannot be judged; ask more often (every)"
    plan = planned(KILL, services=service("every: 100ms, objective: {rto: 100ms},"))
    assert told in texts(plan, "warning")
    plan = planned(KILL, services=service("every: 100ms, objective: {rto: 101ms},"))
    assert texts(plan, "warning") == []


def test_an_experiment_without_services_measures_nothing_and_says_so() -> None:
    plan = planned(KILL, head=LIMITS, services=())
    assert texts(plan, "warning") == ["no services are given: faults would be injected and nothing measured"]


def test_errors_come_before_warnings_before_notes() -> None:
    plan = planned(KILL, services=(), snapshot=with_host(fleet(), "db0", connected=False))
    assert [finding.level for finding in plan.findings] == ["error", "warning", "note", "note"]
