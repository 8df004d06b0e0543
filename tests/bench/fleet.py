"""Fan-out, halt-all and return after a kill, over simulated agents, beside a bare grpc.aio loop in the same run."""

from __future__ import annotations

import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from bench.enrol import Controller

SWARMS = 2  # processes; one Python process is too slow to stand for a thousand hosts
ROUNDS = 7


class Talker:
    """A child process that answers each line with one JSON line."""

    def __init__(self, argv: list[str], core: int) -> None:
        self.process = subprocess.Popen(
            ["taskset", "-c", str(core), sys.executable, "-m", *argv], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def ask(self, line: str) -> dict[str, Any]:
        stdin, stdout = self._pipes()
        stdin.write(line.encode() + b"\n")
        stdin.flush()
        return self.read(stdout)

    def read(self, stdout: IO[bytes] | None = None) -> dict[str, Any]:
        answer = (stdout or self._pipes()[1]).readline()
        if not answer:
            raise SystemExit(f"bench: a child ended ({self.process.poll()})")
        return dict(json.loads(answer))

    def _pipes(self) -> tuple[IO[bytes], IO[bytes]]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        return self.process.stdin, self.process.stdout

    def close(self) -> None:
        self.process.kill()
        self.process.wait()


class Swarm:
    def __init__(self, certs: Path, address: str, agents: int) -> None:
        share = agents // SWARMS
        self.agents = share * SWARMS
        self._members = [
            Talker(["bench.swarm", str(certs), address, str(first), str(share)], core=1)
            for first in range(0, self.agents, share)
        ]

    def wait_welcome(self, limit_s: float = 120) -> float:
        """Seconds until every agent has a welcomed stream."""
        started = time.monotonic()
        while (welcome := self._sum("welcome")) < self.agents:
            if time.monotonic() - started > limit_s:
                raise SystemExit(f"bench: only {welcome} of {self.agents} agents connected in {limit_s} s")
            time.sleep(0.05)
        return time.monotonic() - started

    def _sum(self, key: str) -> int:
        return sum(int(member.ask("state")[key]) for member in self._members)

    def seen(self, what: str) -> dict[str, int]:
        parts = [member.ask("seen")[what] for member in self._members]
        return {
            "count": sum(part["count"] for part in parts),
            "last_ns": max(part["last_ns"] for part in parts),
        }

    def close(self) -> None:
        for member in self._members:
            member.close()


def bare(certs: Path, agents: int) -> dict[str, float]:
    """The yardstick's figures."""
    port = free_port()
    server = Talker(["bench.bare_server", str(certs), str(port)], core=0)
    server.read()
    idle = server.ask("usage")
    swarm = Swarm(certs, f"127.0.0.1:{port}", agents)
    try:
        connected_s = swarm.wait_welcome()
        usage = server.ask("usage")
        fan_outs = [server.ask("fanout") for _ in range(ROUNDS)][1:]
        halts = [server.ask("halt") for _ in range(ROUNDS)][1:]
    finally:
        swarm.close()
        server.close()
    return {
        "connected_s": connected_s,
        "kib_per_agent": (usage["rss_mib"] - idle["rss_mib"]) * 1024 / swarm.agents,
        "connect_us_per_agent": (usage["cpu_s"] - idle["cpu_s"]) * 1e6 / swarm.agents,
        "fan_out_ms": statistics.median(one["acked_ms"] for one in fan_outs),
        "fan_out_us_per_agent": statistics.median(one["cpu_used_s"] for one in fan_outs) * 1e6 / swarm.agents,
        "halt_ms": statistics.median(one["acked_ms"] for one in halts),
    }


def ours(controller: Controller, certs: Path, agents: int) -> dict[str, float]:
    """The real controller's figures: its own process, database, API and audit included."""
    idle = controller.usage()
    swarm = Swarm(certs, controller.agents_address, agents)
    try:
        connected_s = swarm.wait_welcome()
        time.sleep(2)  # the first clock bursts are part of connecting
        usage = controller.usage()
        fan_outs = [_fan_out(controller, swarm) for _ in range(ROUNDS)][1:]
        halts = [_halt(controller, swarm) for _ in range(ROUNDS)][1:]
        before = controller.usage()
        time.sleep(5)
        after = controller.usage()
        controller.kill()
        severed = time.monotonic()
        controller.start()
        swarm.wait_welcome()
        back_s = time.monotonic() - severed
    finally:
        swarm.close()
    return {
        "connected_s": connected_s,
        "kib_per_agent": (usage["rss_mib"] - idle["rss_mib"]) * 1024 / swarm.agents,
        "connect_us_per_agent": (usage["cpu_s"] - idle["cpu_s"]) * 1e6 / swarm.agents,
        "fan_out_ms": statistics.median(one["received_ms"] for one in fan_outs),
        "fan_out_us_per_agent": statistics.median(one["cpu_s"] for one in fan_outs) * 1e6 / swarm.agents,
        "halt_ms": statistics.median(one["received_ms"] for one in halts),
        "idle_percent": (after["cpu_s"] - before["cpu_s"]) * 20,
        "back_s": back_s,
    }


def _fan_out(controller: Controller, swarm: Swarm) -> dict[str, float]:
    """`plan` for every host: each agent is asked what would be hit, and answers."""
    return _timed(controller, swarm, controller.plan_everything, "resolved")


def _halt(controller: Controller, swarm: Swarm) -> dict[str, float]:
    return _timed(controller, swarm, controller.halt_all, "reverted")


def _timed(controller: Controller, swarm: Swarm, act: Any, what: str) -> dict[str, float]:
    swarm.seen(what)
    before, started = controller.usage(), time.monotonic_ns()
    act()
    deadline = time.monotonic() + 10
    time.sleep(0.2)
    seen = swarm.seen(what)
    if seen["count"] < swarm.agents or time.monotonic() > deadline:
        raise SystemExit(f"bench: {what}: only {seen['count']} of {swarm.agents} agents were reached")
    used = controller.usage()["cpu_s"] - before["cpu_s"]
    return {"received_ms": (seen["last_ns"] - started) / 1e6, "cpu_s": used}


def free_port() -> int:
    """A port below the ephemeral range that nobody listens on now."""
    for port in range(18470, 19470):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)):
                return port
    raise SystemExit("bench: no free port between 18470 and 19470")


@contextmanager
def raised_files() -> Iterator[None]:
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def show(rows: Mapping[str, Mapping[str, float]]) -> None:
    keys = list(dict.fromkeys(key for row in rows.values() for key in row))
    print(f"{'':24}" + "".join(f"{name:>14}" for name in rows))
    for key in keys:
        values = "".join(f"{row[key]:>14.1f}" if key in row else f"{'–':>14}" for row in rows.values())
        print(f"{key:24}{values}")


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
