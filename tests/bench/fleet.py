"""Fan-out, halt-all, return after a kill over simulated agents: a bare loop, our hub, the controller."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from blackstart_controller.security.authority import Authority

from bench.children import SERVER_CORE, BenchError, Talker, Usage, free_port
from bench.controller import Controller
from bench.swarms import Swarms, swarms

Figures = dict[str, float]
ROUNDS = 15
API_ROUNDS = 7
SETTLE_S = 1.0
RETURN_LIMIT_S = 60.0
DOCUMENT = """\
experiment: bench
owner: bench
limits: {max_hosts: 100000}
steps:
  - fault: unit.stop
    on: role=bench
    units: [redis]
    for: 10s
"""


@dataclass(frozen=True, slots=True)
class Round:
    """From the call: the first and the last agent got it, everybody's answer is in."""

    first_ms: float
    last_ms: float
    answered_ms: float = 0.0
    cpu_s: float = 0.0


def enrol(controller: Controller, certs: Path, agents: int) -> Figures:
    """Every host joined through the API; the other servers get a certificate of the same authority."""
    certs.mkdir()
    began_s = time.monotonic()
    for number in range(agents):
        controller.api.enrol(f"h{number}", certs)
    took_s = time.monotonic() - began_s
    pair = Authority.open(controller.state).issue_server(["127.0.0.1"])
    (certs / "server.key").write_text(pair.key_pem.reveal())
    (certs / "server.pem").write_bytes(pair.certificate_pem)
    return {"enrol_ms": took_s * 1e3 / agents}


def server(module: str, certs: Path, agents: int) -> Figures:
    """The figures of bench.MODULE, a server that is told what to do on its standard input."""
    port = free_port()
    talker = Talker(module, str(certs), str(port), core=SERVER_CORE)
    try:
        with _connected(talker.usage, certs, f"127.0.0.1:{port}", agents) as (swarm, found):
            fan_outs = [_told(talker, swarm, "fan_out", "resolved") for _ in range(ROUNDS)][1:]
            halts = [_told(talker, swarm, "halt", "reverted") for _ in range(ROUNDS)][1:]
    finally:
        talker.close()
    cpu_s = statistics.median(one.cpu_s for one in fan_outs)
    return found | _medians(fan_outs, halts) | {"fan_out_us": cpu_s * 1e6 / agents}


def controller(served: Controller, certs: Path, agents: int, *, idle_s: float) -> Figures:
    """The real controller's figures: plans and halts by its API, then idle, then killed and restarted."""
    with _connected(served.usage, certs, served.agents_address, agents) as (swarm, found):
        before = served.usage()
        fan_outs = [_planned(served, swarm) for _ in range(API_ROUNDS)][1:]
        after = served.usage()
        halts = [_halted(served, swarm) for _ in range(API_ROUNDS)][1:]
        found |= _medians(fan_outs, halts)
        found["fan_out_us"] = (after.cpu_s - before.cpu_s) * 1e6 / agents / API_ROUNDS
        found["idle_percent"] = _idle_percent(served, idle_s)
        found |= _killed(served, swarm)
    return found


def _killed(served: Controller, swarm: Swarms) -> Figures:
    """kill -9 and a restart at once: when is the last agent back, and is it every agent?"""
    killed_ns = time.monotonic_ns()
    served.kill()
    served.start()
    ready_ns = time.monotonic_ns()
    back = swarm.wait_back(killed_ns, RETURN_LIMIT_S)
    return {
        "ready_s": served.ready_s,
        "back": back.count,
        "lost": swarm.agents - back.count,
        "back_s": (back.last_ns - killed_ns) / 1e9,
        "back_after_ready_s": (back.last_ns - ready_ns) / 1e9,
    }


@contextmanager
def _connected(
    usage: Callable[[], Usage], certs: Path, address: str, agents: int
) -> Iterator[tuple[Swarms, Figures]]:
    """All agents are connected; what they cost the server so far."""
    empty, began_ns = usage(), time.monotonic_ns()
    with swarms(certs, address, agents) as swarm:
        last_ns = swarm.wait_connected().last_ns
        time.sleep(SETTLE_S)  # the first clock bursts are a part of connecting
        full = usage()
        yield (
            swarm,
            {
                "connected_s": (last_ns - began_ns) / 1e9,
                "connect_us": (full.cpu_s - empty.cpu_s) * 1e6 / agents,
                "kib_per_agent": (full.rss_kib - empty.rss_kib) / agents,
                "rss_mib": full.rss_kib / 1024,
            },
        )


def _told(talker: Talker, swarm: Swarms, command: str, what: str) -> Round:
    swarm.reset()
    answer = talker.ask(command)
    seen = swarm.wait_all(what)
    started_ns = answer["started_ns"]
    return Round(
        first_ms=(seen.first_ns - started_ns) / 1e6,
        last_ms=(seen.last_ns - started_ns) / 1e6,
        answered_ms=(answer.get("answered_ns", started_ns) - started_ns) / 1e6,
        cpu_s=answer.get("cpu_s", 0.0),
    )


def _planned(served: Controller, swarm: Swarms) -> Round:
    """A plan that targets every host: each is asked what would be hit there."""
    return _posted(
        swarm,
        lambda: _check(served.api.post("/v1/plans", {"document": DOCUMENT})["answers"], swarm.agents),
        "resolved",
    )


def _halted(served: Controller, swarm: Swarms) -> Round:
    return _posted(swarm, lambda: served.api.post("/v1/halt", {"reason": "bench"}), "reverted")


def _posted(swarm: Swarms, act: Callable[[], object], what: str) -> Round:
    swarm.reset()
    started_ns = time.monotonic_ns()
    act()
    answered_ns = time.monotonic_ns()
    seen = swarm.wait_all(what)
    return Round(*((at - started_ns) / 1e6 for at in (seen.first_ns, seen.last_ns, answered_ns)))


def _check(answers: list[Any], agents: int) -> None:
    refused = [answer for answer in answers if answer["refusals"]]
    if len(answers) != agents or refused:
        raise BenchError(f"plan: {len(answers)} answers of {agents} agents; refused: {refused[:3]}")


def _medians(fan_outs: Sequence[Round], halts: Sequence[Round]) -> Figures:
    return {
        "fan_out_first_ms": statistics.median(one.first_ms for one in fan_outs),
        "fan_out_last_ms": statistics.median(one.last_ms for one in fan_outs),
        "fan_out_answered_ms": statistics.median(one.answered_ms for one in fan_outs),
        "halt_last_ms": statistics.median(one.last_ms for one in halts),
    }


def _idle_percent(served: Controller, window_s: float) -> float:
    before, began_s = served.usage().cpu_s, time.monotonic()
    time.sleep(window_s)
    return (served.usage().cpu_s - before) * 100 / (time.monotonic() - began_s)
