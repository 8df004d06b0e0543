"""Steps unroll to fixed moments; waves grow; the plan carries what would end a run early."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from blackstart_controller.errors import NoTargets, Refused
from blackstart_controller.plan.codec import plan_from_dict, plan_to_dict
from blackstart_controller.plan.explain import explain, halting_lines, order_lines
from blackstart_controller.plan.fleet import FleetSnapshot
from blackstart_controller.plan.hash import plan_hash
from blackstart_controller.plan.make import make_plan
from blackstart_controller.plan.model import Checkpoint, MetricStop, Plan, ProbeStop, ServiceStop, WebhookStop
from blackstart_controller.plan.unroll import Flow, unroll
from blackstart_controller.spec.document import Document
from blackstart_controller.spec.flow import length_ms
from blackstart_controller.spec.load import load_experiment
from controller.documents import FLOW
from controller.fleets import SITES, fleet, host, numbered, planned
from hypothesis import given, settings
from hypothesis import strategies as st

KILL = "{fault: process.kill, on: host=db0, name: x, for: 2s}"
WAVES = "{waves: {on: host, sizes: [%s], pause: 5s, fault: {fault: process.kill, name: x, for: 1s}}}"


def flow_plan(**parameters: str) -> Plan:
    return make_plan(load_experiment(Document(FLOW, "x.yaml", parameters)), fleet(27), ids=numbered())


def flow_of(*steps: str) -> Flow:
    return unroll(load_experiment(Document(f"experiment: x\nsteps: [{', '.join(steps)}]\n")))


def moments(*steps: str) -> list[tuple[str, int]]:
    return [(timed.path, timed.at_ms) for timed in flow_of(*steps).faults]


def test_a_sequence_begins_each_step_when_the_one_before_has_ended() -> None:
    later = "{fault: process.kill, on: host=db0, name: x, for: 2s, at: 1s}"
    assert moments(f"{{sequence: [{KILL}, {{wait: 3s}}, {later}, {KILL}]}}", KILL) == [
        ("steps[0].sequence[0]", 0),
        ("steps[0].sequence[2]", 6_000),
        ("steps[0].sequence[3]", 8_000),
        ("steps[1]", 0),
    ]


def test_parallel_steps_begin_together_and_end_with_the_longest() -> None:
    both = f"{{at: 1s, parallel: [{KILL}, {{sequence: [{KILL}, {{wait: 4s}}]}}]}}"
    assert moments(f"{{sequence: [{both}, {KILL}]}}") == [
        ("steps[0].sequence[0].parallel[0]", 1_000),
        ("steps[0].sequence[0].parallel[1].sequence[0]", 1_000),
        ("steps[0].sequence[1]", 7_000),
    ]


def test_a_loop_repeats_its_list_with_a_checkpoint_at_the_end_of_each_pause() -> None:
    found = flow_of(f"{{repeat: {{times: 3, pause: 5s, steady: 1s, steps: [{KILL}]}}}}")
    assert [timed.at_ms for timed in found.faults] == [0, 7_000, 14_000]
    assert {timed.path for timed in found.faults} == {"steps[0].repeat.steps[0]"}
    path = "steps[0].repeat.pause"
    assert found.checkpoints == (Checkpoint(7.0, 1.0, path), Checkpoint(14.0, 1.0, path))
    assert found.end_ms == 16_000


def test_waves_follow_each_other_and_each_has_the_path_of_its_size() -> None:
    plan = planned(WAVES % "1, 50%, 100%")
    starts = {order.path: order.at_s for order in plan.orders}
    assert starts == {
        "steps[0].waves.sizes[0]": 0.0,
        "steps[0].waves.sizes[1]": 6.0,
        "steps[0].waves.sizes[2]": 12.0,
    }
    assert [sum(order.step == number for order in plan.orders) for number in range(3)] == [1, 5, 9]
    assert (plan.hold_s, plan.checkpoints) == (13.0, ())


@settings(deadline=None, max_examples=30)
@given(
    seed=st.integers(0, 2**32),
    hosts=st.integers(1, 40),
    sizes=st.lists(
        st.one_of(st.integers(1, 50).map(str), st.integers(1, 100).map("{}%".format)), min_size=1, max_size=5
    ),
)
def test_every_wave_holds_the_hosts_of_the_wave_before(seed: int, hosts: int, sizes: list[str]) -> None:
    numbers = [int(size.rstrip("%")) for size in sizes]
    rising = sorted(set(zip(numbers, sizes, strict=True)))
    step = WAVES % ", ".join(size for _, size in rising)
    plan = planned(step, snapshot=fleet(hosts), seed=seed)
    chosen = [{order.host for order in plan.orders if order.step == number} for number in range(len(rising))]
    assert all(before <= after for before, after in pairwise(chosen))
    assert plan == planned(step, snapshot=FleetSnapshot(tuple(reversed(fleet(hosts).hosts))), seed=seed)
    for (number, size), found in zip(rising, chosen, strict=True):
        wanted = -(-hosts * number // 100) if size.endswith("%") else number
        assert len(found) >= min(wanted, hosts)


def test_another_seed_begins_its_waves_elsewhere() -> None:
    first = {planned(WAVES % "1", seed=seed).orders[0].host for seed in range(30)}
    assert len(first) > 4


_leaf = st.integers(1, 9).map(lambda s: f"{{fault: process.kill, on: host, name: x, for: {s}s}}")
_wait = st.integers(1, 9).map(lambda s: f"{{wait: {s}s}}")


def _nested(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    several = st.lists(inner, min_size=1, max_size=3).map(", ".join)
    return st.one_of(
        st.builds("{{at: {}s, sequence: [{}]}}".format, st.integers(0, 5), several),
        st.builds("{{at: {}s, parallel: [{}]}}".format, st.integers(0, 5), several),
        st.builds(
            "{{repeat: {{times: {}, pause: {}s, steps: [{}]}}}}".format,
            st.integers(1, 3),
            st.integers(0, 5),
            several,
        ),
    )


@settings(deadline=None)
@given(st.lists(st.recursive(st.one_of(_leaf, _wait), _nested, max_leaves=8), min_size=1, max_size=3))
def test_unrolled_moments_add_up_to_the_lengths_of_the_steps(steps: list[str]) -> None:
    leaf = "{fault: process.kill, on: host, name: x, for: 1s}"
    experiment = load_experiment(Document(f"experiment: x\nsteps: [{', '.join([*steps, leaf])}]\n"))
    found = unroll(experiment)
    assert found.end_ms == max(map(length_ms, experiment.steps))
    assert max(timed.at_ms + timed.fault.hold_ms for timed in found.faults) <= found.end_ms
    assert [timed.number for timed in found.faults] == list(range(len(found.faults)))
    assert found == unroll(experiment)


def test_a_plan_carries_checkpoints_stops_and_parameters() -> None:
    plan = flow_plan(hold="5s")
    assert plan.parameters == {"site": "pangyo", "hold": "5s", "number": "2"}
    assert [(point.at_s, point.steady_s, point.path) for point in plan.checkpoints] == [
        (15.0, 3.0, "steps[2].waves.pause"),
        (30.0, 3.0, "steps[2].waves.pause"),
        (35.0, 5.0, "steps[0].sequence[2]"),
        (45.0, 3.0, "steps[2].waves.pause"),
        (75.0, 4.0, "steps[1].repeat.pause"),
        (90.0, 4.0, "steps[1].repeat.pause"),
    ]
    assert plan.stops == (
        ServiceStop("messenger", "messenger", 20.0),
        MetricStop("errors", "https://prom:9090", "up", 0.05, None, 11.0, 6.0),
        WebhookStop("freeze", "https://ops.example/go", 12.0),
        ProbeStop("gateway", 13.0),
    )
    again = plan_from_dict(json.loads(json.dumps(plan_to_dict(plan))))
    assert again == plan
    assert plan_hash(again) == plan_hash(plan) != plan_hash(flow_plan(hold="6s"))


def test_a_stop_condition_s_probe_is_planned_and_is_no_service() -> None:
    plan = planned(KILL, head="stop: [{probe: {name: gw, failing_for: 5s, tcp: {address: 'gw:81'}}}]")
    probes = [probe for probe in plan.probes if probe.service == "stop:gw"]
    assert len(probes) == 3
    assert not {probe.observer for probe in probes} & {"db0"}
    assert [service.name for service in plan.services] == ["web"]
    told = [finding.text for finding in plan.findings if "gw" in finding.text]
    assert told and told[0].startswith(
        "stop condition gw: gw is no known host; its observers must resolve it"
    )
    nobody = planned(
        KILL, head="stop: [{probe: {name: gw, failing_for: 5s, observers: a, tcp: {address: 'gw:81'}}}]"
    )
    assert nobody.errors == ("stop condition gw: no observer: no host matches a",)


@pytest.mark.parametrize(("share", "error"), [("34%", None), ("33%", "1 of 3"), ("1%", "1 of 3")])
def test_a_service_of_which_too_much_would_be_hit_is_an_error(share: str, error: str | None) -> None:
    head = f"limits: {{max_hosts: 9, max_sites: 9, max_service_share: {share}}}"
    plan = planned("{fault: process.kill, on: host=login3, name: x, for: 1s}", head=head)
    told = f"service web: {error} members would be hit (login3), 33%; limits.max_service_share is {share}"
    assert plan.errors == ((told,) if error else ())


def test_limits_count_the_hosts_of_all_steps_however_deep() -> None:
    other = KILL.replace("db0", "db1")
    plan = planned(
        f"{{sequence: [{KILL}, {{parallel: [{other}]}}, {KILL}]}}",
        head="limits: {max_hosts: 1, max_sites: 9}",
    )
    assert plan.errors == ("2 hosts would be hit (db0, db1); limits.max_hosts is 1",)


def test_findings_and_missing_targets_name_the_nested_step() -> None:
    long = "{fault: process.kill, on: host=db0, name: x, for: 20m}"
    plan = planned(f"{{sequence: [{KILL}, {long}]}}", head="limits: {max_hold: 10m}")
    assert plan.errors == ("steps[0].sequence[1] process.kill: holds 20m, limits.max_hold is 10m",)
    with pytest.raises(
        NoTargets, match=r"^steps\[0\]\.repeat\.steps\[0\] process\.kill: no host matches role=x"
    ):
        planned("{repeat: {times: 9, steps: [{fault: process.kill, on: role=x, name: x, for: 1s}]}}")


def test_steps_of_a_sequence_do_not_overlap_and_those_of_a_list_do() -> None:
    assert not [f for f in planned(f"{{sequence: [{KILL}, {KILL}]}}").findings if "overlap" in f.text]
    told = [f.text for f in planned(f"{{parallel: [{KILL}, {KILL}]}}").findings if "overlap" in f.text]
    pair = "steps[0].parallel[0] process.kill and steps[0].parallel[1] process.kill"
    assert told == [f"{pair} overlap in time on db0; neither can be measured alone"]
    many = planned(f"{{parallel: [{', '.join([KILL] * 30)}]}}").findings
    assert many[-1].text == "415 more pairs of faults overlap in time"


def test_checkpoints_that_can_halt_nothing_are_told() -> None:
    late = planned(f"{{sequence: [{KILL}, {{wait: {{for: 9s, steady: 1s}}}}]}}")
    told = [finding.text for finding in late.findings if "checkpoint" in finding.text]
    assert told == ["steps[0].sequence[1]: this checkpoint is after the last fault; nothing can be halted"]
    blind = planned(f"{{repeat: {{times: 2, pause: 2s, steady: 1s, steps: [{KILL}]}}}}", services=())
    assert "steps[0].repeat.pause: a checkpoint, but no service is watched" in [
        f.text for f in blind.findings
    ]


def test_a_plan_of_too_many_orders_is_refused_before_it_is_made() -> None:
    hosts = FleetSnapshot(tuple(host(f"h{number}", SITES[0]) for number in range(1_000)))
    with pytest.raises(Refused, match="101000 orders would be made; at most 100000"):
        planned(
            "{repeat: {times: 101, steps: [{fault: process.kill, on: host, name: x, for: 1s}]}}",
            snapshot=hosts,
        )


@pytest.mark.parametrize(
    ("pause", "hasty"), [("5s", True), ("6499ms", True), ("6500ms", False), ("1m", False)]
)
def test_a_pause_in_which_nothing_can_become_steady_is_told(pause: str, hasty: bool) -> None:
    plan = planned(f"{{repeat: {{times: 2, pause: {pause}, steady: 5s, steps: [{KILL}]}}}}")
    told = [finding.text for finding in plan.findings if "make the pause longer" in finding.text]
    assert bool(told) is hasty


def test_a_plan_tells_its_leases_paths_checkpoints_and_stops() -> None:
    plan = flow_plan()
    header, first, *_ = order_lines(plan)
    assert header.split() == ["AT", "HOST", "FAULT", "FOR", "LEASE", "STEP", "WHAT"]
    assert "15s    steps[0].sequence[0]" in first
    lines = halting_lines(plan)
    assert "checkpoint at +15s (steps[2].waves.pause): every service ok for 3s" in lines
    assert lines[-4:] == [
        "stop condition messenger: service messenger has failed for 20s",
        "stop condition errors: up at https://prom:9090 is above 0.05 for 11s",
        "stop condition freeze: https://ops.example/go does not answer 2xx",
        "stop condition gateway: its probe has failed for 13s",
    ]
    assert "6 checkpoints and 4 stop conditions can halt it before." in explain(plan)
