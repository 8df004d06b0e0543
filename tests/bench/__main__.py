"""`make bench`: what controller, agents and command line cost, beside a bare grpc.aio loop in the same run.

Prints tables and writes bench/results.json. Exit 1 when a ratio or an invariant does not hold; a goal in
absolute figures that is missed is only marked: it depends on the machine and on what else it does.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench import cold, fleet, footprint, goals
from bench.children import BenchError, scratch
from bench.controller import Controller

AGENT_IDLE_S = 20.0
RESULTS = Path(__file__).resolve().parents[2] / "bench" / "results.json"


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--agents", type=int, default=1000, help="simulated agents (default 1000)")
    parser.add_argument(
        "--idle", type=float, default=60.0, metavar="S", help="how long the idle controller is watched"
    )
    parser.add_argument("--output", type=Path, default=RESULTS, help="where the figures go as JSON")
    options = parser.parse_args(argv)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that everything is tidied up
    began_s = time.monotonic()
    try:
        results = _measure(options.agents, options.idle)
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    results["took_s"] = round(time.monotonic() - began_s, 1)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(results, indent=2) + "\n")
    return _show(results, options.output)


def _measure(agents: int, idle_s: float) -> dict[str, Any]:
    results: dict[str, Any] = {"agents": agents, "cores": os.cpu_count(), "python": sys.version.split()[0]}
    _say("command line: cold starts")
    results["starts"], results["heavy"] = cold.starts(), cold.heavy_imports()
    agent_s = min(idle_s, AGENT_IDLE_S)
    _say(f"one real agent, idle for {agent_s:g} s")
    results["agent"] = footprint.measure(agent_s)
    with scratch() as folder:
        certs = folder / "certs"
        with Controller(folder) as served:
            _say(f"{agents} hosts join")
            results["enrol"] = fleet.enrol(served, certs, agents)
            _say("a bare grpc.aio loop")
            results["bare"] = fleet.server("bare_server", certs, agents)
            _say("the controller's hub alone")
            results["hub"] = fleet.server("hub_server", certs, agents)
            _say(f"the controller, idle for {idle_s:g} s, then killed")
            results["controller"] = fleet.controller(served, certs, agents, idle_s=idle_s)
    return results


def _show(results: Mapping[str, Any], output: Path) -> int:
    three = results["bare"], results["hub"], results["controller"]
    tables = [goals.fleet_table(*three, results["agents"]), goals.return_table(three[2], results["agents"])]
    if "why_not" in results["agent"]:
        print(f"\nA real agent: not measured: {results['agent']['why_not']}")
    else:
        tables.append(goals.agent_table(results["agent"]))
    tables.append(goals.start_table(results["starts"], results["heavy"]))
    for table in tables:
        print("\n".join(goals.lines(table)))
    broken = goals.broken_ratios(*three, results["heavy"])
    print(f"\n{results['took_s']:g} s; figures in {os.path.relpath(output)}")
    for text in broken:
        print(f"BROKEN: {text}", file=sys.stderr)
    return 1 if broken else 0


def _say(text: str) -> None:
    print(f"… {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
