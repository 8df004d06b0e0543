"""Our measured outage contains what an independent client saw of the same one."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from support.labs import Lab, lab

WITNESS = Path(__file__).with_name("witness.py")
PERIOD_S = 0.002
ROUNDS = int(os.environ.get("BLACKSTART_ROUNDS", "20"))
LAB = """
lab: truth
sites: {near: {}, far: {}}
hosts:
  shop:
    site: near
    units:
      redis:
        command: [redis-server, --bind, "{{ host.address }}", --protected-mode, "no", --save, ""]
        ready: {tcp: 6379}
  watch: {site: far, labels: {role: observer}}
  witness: {site: far, agent: false}
  control: {site: far, controller: true, agent: false}
"""
STEPS = {
    "cut": "fault: network.partition\n    on: host=shop\n    from: {cidr: [10.0.0.0/8]}\n    verdict: drop",
    "pause": "fault: process.pause\n    on: host=shop\n    unit: redis",
    "stop": "fault: unit.stop\n    on: host=shop\n    units: [redis]",
    "dark": "fault: host.blackout\n    on: host=shop",
}
EXPERIMENT = """
experiment: truth
description: An outage of a length that nobody can guess.
hypothesis: The report contains what another client saw.
baseline: 1s
settle: 1s
watch: 20s
steps:
  - {step}
    for: {hold_ms}ms
services:
  - name: shop
    members: host=shop
    observers: role=observer
    every: 20ms
    timeout: 150ms
    probes: [{{redis: {{addresses: ["shop:6379"]}}}}]
"""


@dataclass(frozen=True, slots=True)
class Seen:
    low: float
    high: float


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with lab(LAB, tmp_path_factory.mktemp("truth")) as made:
        yield made


def ask_both(shop: Lab, step: str, hold_s: float) -> tuple[Seen, Seen]:
    """What our report and the witness say of one and the same outage."""
    experiment = EXPERIMENT.format(step=STEPS[step], hold_ms=int(hold_s * 1000))
    address = shop.state.hosts["shop"].address4
    pid = str(shop.state.hosts["witness"].pid)
    argv = [sys.executable, str(WITNESS), address, "6379", str(PERIOD_S), str(hold_s + 9)]
    with subprocess.Popen(["nsenter", "-t", pid, "--net", *argv], stdout=subprocess.PIPE) as witness:
        run_id = shop.start(experiment)
        ended = shop.wait_end(run_id, limit_s=hold_s + 40)
        out, _ = witness.communicate(timeout=60)
    assert ended["reverted"] == "confirmed", ended
    return ours(shop.report(run_id)), Seen(*(json.loads(out)[key] for key in ("low", "high")))


def ours(report: dict[str, Any]) -> Seen:
    """The longest outage in the report, as an interval of its length."""
    bands = report["services"][0]["observers"][0]["outages"]
    assert bands, (report["sentence"], report["services"][0])
    lengths = [
        Seen(band["end_low_s"] - band["start_high_s"], band["end_high_s"] - band["start_low_s"])
        for band in bands
    ]
    return max(lengths, key=lambda length: length.high)


def check(shop: Lab, step: str, hold_s: float) -> None:
    report, witness = ask_both(shop, step, hold_s)
    print(
        f"{step:6} held {hold_s:7.3f} s: report {report.low:8.3f} to {report.high:8.3f} s, "
        f"witness {witness.low:8.3f} to {witness.high:8.3f} s"
    )
    assert witness.high > 0, "the witness saw no outage"
    # Each says where the true length lies; two truthful ones overlap.
    assert report.low <= witness.high, "the report claims more than the witness saw"
    assert report.high >= witness.low, "the report admits less than the witness saw"
    assert report.high - report.low <= 0.2 + 2 * 0.15, (
        "error bars wider than one time-out on each side say nothing"
    )


@pytest.mark.lab
@pytest.mark.parametrize("step", list(STEPS))
def test_the_report_contains_what_an_independent_client_saw(shop: Lab, step: str) -> None:
    check(shop, step, random.uniform(0.3, 1.5))


@pytest.mark.lab
@pytest.mark.deep
@pytest.mark.parametrize("number", range(ROUNDS))
def test_outages_of_any_length_are_all_contained(shop: Lab, number: int) -> None:
    """0.2 s to 20 s, spread evenly over the logarithm, so that short ones are as frequent as long ones."""
    hold_s = 0.2 * 100 ** random.uniform(number / ROUNDS, (number + 1) / ROUNDS)
    check(shop, list(STEPS)[number % len(STEPS)], hold_s)
