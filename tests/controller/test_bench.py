"""The benchmark itself, small: no figure is judged, only what must hold on any machine."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

AGENTS = 200
TESTS = Path(__file__).resolve().parents[1]


@pytest.mark.deep
@pytest.mark.timeout(240)
def test_every_agent_survives_a_killed_controller_and_a_fan_out_costs_no_two_bare_loops(
    tmp_path: Path,
) -> None:
    output = tmp_path / "results.json"
    words = ["--agents", str(AGENTS), "--idle", "2", "--output", str(output)]
    done = subprocess.run(
        [sys.executable, "-m", "bench", *words], cwd=TESTS, capture_output=True, text=True, timeout=230
    )
    assert done.returncode == 0, done.stdout + done.stderr
    results = json.loads(output.read_text())
    assert (results["controller"]["back"], results["controller"]["lost"]) == (AGENTS, 0)
    assert results["hub"]["fan_out_us"] <= 2 * results["bare"]["fan_out_us"]
    assert results["heavy"] == []
    assert results["agent"].get("why_not") or set(results["agent"]["parts"]) == {"guardian", "link", "sentry"}
