"""The victim: a process alone in its namespaces that carries out faults on the real kernel when asked.

Started by `rig.py`; one JSON request a line on stdin, one answer a line on stdout; ends with its stdin.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from blackstart_agent.errors import AgentError
from blackstart_agent.faults import FAULTS, capabilities, sweep
from blackstart_agent.faults.base import NOTHING_HELD, Surroundings, Undo
from blackstart_agent.faults.decode import decode
from blackstart_agent.host import LinuxHost
from blackstart_agent.policy import Volume
from blackstart_proto.v1 import faults_pb2 as pb

MS = 1_000_000


class Victim:
    def __init__(self, supervisor: str) -> None:
        self.host = LinuxHost(supervisor)
        self.orders: dict[str, tuple[str, Undo]] = {}
        self.children: dict[int, subprocess.Popen[bytes]] = {}

    def prepare(self, order: str, around: dict[str, Any]) -> dict[str, Any]:
        message = pb.Order.FromString(bytes.fromhex(order))
        controller = around.get("controller")
        surroundings = Surroundings(
            order_id=message.id,
            sealed=message.mode == pb.MODE_SEALED,
            controller=(controller[0], controller[1]) if controller else None,
            protected_ports=frozenset(around.get("ports", ())),
            protected_units=frozenset(around.get("units", ())),
            protected_names=frozenset(around.get("names", ())),
            own_pids=frozenset({os.getpid()}),
            volumes={name: Volume(*volume) for name, volume in around.get("volumes", {}).items()},
            own_paths=tuple(around.get("own_paths", ())),
        )
        fault = decode(message)
        prepared = fault.prepare(self.host, surroundings)
        self.orders[message.id] = (fault.kind, json.loads(json.dumps(prepared.undo)))
        hits = [[hit.what, hit.target, hit.effect] for hit in prepared.hits]
        return {"hits": hits, "manual": list(prepared.manual), "table": surroundings.table}

    def step(self, order_id: str, name: str) -> Any:
        """One of the steps that need no deadline; the answer is what it returned."""
        kind, undo = self.orders[order_id]
        kept = (NOTHING_HELD,) if name in ("revert", "leftovers") else ()
        answer: Any = getattr(FAULTS[kind], name)(self.host, undo, *kept)
        return answer

    def fire(self, order_id: str, lease_ms: int) -> int:
        """Fires with a lease from now, and answers with the deadline in ns."""
        return self._timed(order_id, "fire", lease_ms)

    def renew(self, order_id: str, lease_ms: int) -> int:
        return self._timed(order_id, "renew", lease_ms)

    def renew_often(self, order_id: str, lease_ms: int, times: int) -> int:
        return [self._timed(order_id, "renew", lease_ms) for _ in range(times)][-1]

    def _timed(self, order_id: str, name: str, lease_ms: int) -> int:
        kind, undo = self.orders[order_id]
        deadline_ns = time.monotonic_ns() + lease_ms * MS
        getattr(FAULTS[kind], name)(self.host, undo, deadline_ns)
        return deadline_ns

    def workers(self, order_id: str) -> int:
        """How many processes of this order's worker run."""
        return len(self.host.workers.found(order_id))

    def status(self, order_id: str) -> dict[str, int]:
        return dict(self.host.workers.status(order_id))

    def free(self, path: str) -> int:
        return self.host.capacity.room(path).free

    def tables(self) -> list[list[str]]:
        return [list(table) for table in self.host.nft.tables("")]

    def capabilities(self) -> Any:
        return capabilities(self.host)

    def sweep(self) -> list[str]:
        return sweep(self.host)

    def spawn(self, argv: list[str], env: dict[str, str] | None = None) -> int:
        """A program in this namespace; its pid as seen here."""
        child = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, env={**os.environ, **(env or {})}
        )
        self.children[child.pid] = child
        return child.pid

    def signal(self, pid: int, number: int) -> None:
        os.kill(self.children[pid].pid, number)

    def named(self, name: str) -> int:
        """How many processes here have this name."""
        return sum(process.name == name for process in self.host.processes.list())

    def state(self, pid: int) -> str:
        """The state letter of /proc/PID/stat; "" when the process is gone. Reaps our own children."""
        child = self.children.get(pid)
        if child is not None and child.poll() is not None:
            return ""
        try:
            return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return ""

    def units(self) -> list[dict[str, Any]]:
        listed = self.host.units.list()
        return [
            {
                "name": unit.name,
                "running": unit.running,
                "held": unit.held,
                "pids": [process.pid for process in self.host.units.processes(unit.name)],
                "stopped": [
                    process.pid for process in self.host.units.processes(unit.name) if process.stopped
                ],
            }
            for unit in listed
        ]


def main() -> None:
    forbidden, supervisor = sys.argv[1:3]
    if str(Path("/proc/self/ns/net").readlink()) in forbidden.split(","):
        sys.exit("refused: this is the machine's own network namespace")
    victim = Victim(supervisor)
    for line in sys.stdin:
        print(json.dumps(_answer(victim, json.loads(line))), flush=True)


def _answer(victim: Victim, request: dict[str, Any]) -> dict[str, Any]:
    call: Callable[..., Any] = getattr(victim, request["do"])
    began_ns = time.monotonic_ns()
    try:
        answer = call(*request["with"])
    except AgentError as error:
        return {"error": type(error).__name__, "text": str(error)}
    return {"answer": answer, "took_ms": (time.monotonic_ns() - began_ns) / MS}


if __name__ == "__main__":
    main()
