"""One T0 on twelve hosts: how far apart they really went dark, and how sure that is."""

from __future__ import annotations

import statistics

import pytest
from support.labs import lab

RUNS = 5
HOSTS = 12
LAB = "lab: skew\nsites: {s0: {}, s1: {}, s2: {}, s3: {}, far: {}}\nhosts:\n" + "".join(
    f"  h{number}:\n    site: s{number % 4}\n    labels: {{role: target}}\n"
    "    units: {idle: {command: [sleep, infinity]}}\n"
    for number in range(HOSTS)
)
LAB += "  watch: {site: far}\n  control: {site: far, controller: true, agent: false}\n"
EXPERIMENT = """
experiment: skew
description: Every target goes dark at one T0.
hypothesis: They go dark together.
baseline: 500ms
settle: 500ms
watch: 5s
steps: [{fault: host.blackout, on: role=target, for: 1s}]
services:
  - name: idle
    members: role=target
    observers: host=watch
    every: 100ms
    probes: [{tcp: {address: "control:8470"}}]
"""


@pytest.mark.lab
@pytest.mark.deep
@pytest.mark.timeout(240)
def test_twelve_hosts_go_dark_together_and_the_report_says_how_surely(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    skews, errors = [], []
    with lab(LAB, tmp_path_factory.mktemp("skew")) as made:
        for _ in range(RUNS):
            run_id = made.start(EXPERIMENT)
            assert made.wait_end(run_id, limit_s=60)["reverted"] == "confirmed"
            injection = made.report(run_id)["injection"]
            assert len(injection["hosts"]) == HOSTS
            skews.append(injection["skew_ms"])
            errors.append(injection["skew_error_ms"])
    print(f"skew over {HOSTS} hosts, ms: {skews}, give or take {errors}; median {statistics.median(skews)}")
    assert all(error > 0 for error in errors), "a skew without its uncertainty says nothing"
    assert statistics.median(skews) <= 3.0, "the issue's own limit"
