"""What no fault on this host may touch: the control path, ourselves, and what policy.toml protects."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from blackstart_agent.config import AgentConfig
from blackstart_agent.errors import Refused
from blackstart_agent.faults.base import Surroundings
from blackstart_agent.policy import Policy

SYSTEMD_UNIT = "blackstart-agent.service"
UNIT_VARIABLE = "BLACKSTART_UNIT"
INIT_PID = 1


@dataclass(frozen=True, slots=True)
class Around:
    """`children` are the pids of link and sentry, which change when they are started again."""

    config: AgentConfig
    own_units: frozenset[str]
    children: Callable[[], Iterable[int]]

    def __call__(self, order_id: str, sealed: bool, policy: Policy) -> Surroundings:
        """Read anew for each order."""
        return Surroundings(
            order_id,
            sealed,
            None if sealed else resolve(self.config.controller),
            protected_ports=frozenset(policy.ports),
            protected_units=self.own_units | frozenset(policy.units),
            protected_names=frozenset(policy.processes),
            own_pids=frozenset((os.getpid(), *ancestors(os.getpid()), *self.children())),
            volumes=policy.volumes,
            own_paths=tuple(map(str, filter(None, (self.config.state_dir, self.config.runtime_dir)))),
        )


def resolve(controller: tuple[str, int]) -> tuple[str, int]:
    """The controller's IP address and port; Refused when its name cannot be resolved now."""
    host, port = controller
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise Refused(
            [f"the controller's name {host!r} cannot be resolved ({error}), so its path cannot be kept open"]
        ) from None
    return str(found[0][4][0]), port


def ancestors(pid: int) -> list[int]:
    """The processes that started this one, and theirs; PID 1 is everyone's and left out."""
    found: list[int] = []
    while (pid := _parent(pid)) > INIT_PID:
        found.append(pid)
    return found


def own_units() -> frozenset[str]:
    """The names under which this host's supervisor may know us."""
    names = {SYSTEMD_UNIT, os.environ.get(UNIT_VARIABLE, "")}
    try:
        groups = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        groups = []
    names.update(part for line in groups for part in line.split("/") if part.endswith(".service"))
    return frozenset(names - {""})


def _parent(pid: int) -> int:
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return 0
    return int(stat.rpartition(b")")[2].split()[1])
