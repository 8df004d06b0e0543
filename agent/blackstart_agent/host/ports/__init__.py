"""What faults may ask of the operating system: one small port per concern, implemented for real beside this
file and in memory in `blackstart_agent.testing`. Nothing here decides anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from signal import SIGCONT as SIGCONT
from signal import SIGKILL as SIGKILL
from signal import SIGSTOP as SIGSTOP
from signal import SIGTERM as SIGTERM
from signal import Signals as Signals
from typing import TYPE_CHECKING, Protocol

from blackstart_agent.host.ports.network import Connections, Network, Queues

if TYPE_CHECKING:  # which need Process from here
    from blackstart_agent.host.ports.workers import Capacity, Workers


@dataclass(frozen=True, slots=True)
class Process:
    """One process, told apart from a later one with its pid by the start time (clock ticks since boot)."""

    pid: int
    start_ticks: int
    name: str
    executable: str
    unit: str = ""
    stopped: bool = False


@dataclass(frozen=True, slots=True)
class Details:
    """What is looked up of one process only when a fault asks for it.

    `argv` is its command line, words joined by blanks; `uid` its effective user; `groups` its control groups
    (one in the unified hierarchy, one for each controller in the old one).
    """

    argv: str = ""
    uid: int = -1
    groups: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Unit:
    """One supervised service. `held` means: down, and the supervisor was told not to start it."""

    name: str
    running: bool
    held: bool
    main_pid: int = 0


class Nft(Protocol):
    """Transactions on nf_tables, in this process, by the netlink socket that owns our tables."""

    def run(self, commands: str) -> None:
        """Commit `commands` as one transaction: all or nothing. Raises HostError with nft's own words."""
        ...

    def tables(self, prefix: str) -> list[tuple[str, str]]:
        """(family, name) of every table whose name starts with `prefix`."""
        ...

    def show(self, family: str, table: str) -> str | None:
        """The table as nft prints it, expired elements left out; None when there is no such table."""
        ...


class Processes(Protocol):
    def list(self) -> Sequence[Process]:
        """Every process this host can see, kernel threads left out."""
        ...

    def alive(self, process: Process) -> bool:
        """Whether exactly this process (pid and start time) still runs; a zombie does not."""
        ...

    def details(self, process: Process) -> Details:
        """What is known of it; nothing when it is gone."""
        ...

    def user(self, name: str) -> int | None:
        """The number of a user of this host; None when there is none of that name."""
        ...

    def listening(self, port: int) -> Sequence[Process]:
        """Those that listen on this TCP port, or have bound this UDP port, in any network namespace."""
        ...

    def signal(self, process: Process, number: int) -> bool:
        """Send a signal through a pidfd, after checking the start time. False when the process is gone."""
        ...

    def settle(self, processes: Sequence[Process], *, timeout_s: float) -> Sequence[Process]:
        """Wait until the processes are gone; those that still run after `timeout_s`."""
        ...


class Units(Protocol):
    """The host's supervisor: systemd on a real host, runit in the lab."""

    @property
    def supervisor(self) -> str:
        """Which one it is, as `supervisor` in agent.toml says it."""
        ...

    def check(self) -> None:
        """Raises Unsupported when this supervisor is not there."""
        ...

    def list(self) -> Sequence[Unit]: ...

    def full_name(self, name: str) -> str:
        """The name under which `list` has the unit that a person calls `name`; `name` when there is none."""
        ...

    def processes(self, unit: str) -> Sequence[Process]:
        """Every process of the unit, children included."""
        ...

    def everyone(self) -> Sequence[Process]:
        """Every process of every unit."""
        ...

    def hold(self, units: Sequence[str], *, kill: bool) -> None:
        """Begin to stop the units and keep them down; returns quickly. `kill`: SIGKILL, no stop command."""
        ...

    def restart(self, units: Sequence[str]) -> None:
        """Begin to stop the units and to start them again, as an administrator would; returns quickly."""
        ...

    def settle(self, units: Sequence[str], *, timeout_s: float) -> Sequence[str]:
        """Wait until the held units have no process left; the names of those that still have one."""
        ...

    def release(self, units: Sequence[str]) -> None:
        """Let the units start again and start them. Releasing what is not held only starts it."""
        ...

    def manual(self, units: Sequence[str]) -> tuple[str, ...]:
        """The shell commands that release the units by hand."""
        ...


class Clock(Protocol):
    def monotonic_ns(self) -> int: ...

    def wall_ns(self) -> int: ...

    def boot_id(self) -> str: ...

    def boot_ticks(self) -> int:
        """Clock ticks since boot, comparable with `Process.start_ticks`."""
        ...


class Host(Protocol):
    """The only door to the operating system."""

    @property
    def nft(self) -> Nft: ...
    @property
    def processes(self) -> Processes: ...
    @property
    def units(self) -> Units: ...
    @property
    def network(self) -> Network: ...
    @property
    def connections(self) -> Connections: ...
    @property
    def queues(self) -> Queues: ...
    @property
    def clock(self) -> Clock: ...
    @property
    def workers(self) -> Workers: ...
    @property
    def capacity(self) -> Capacity: ...
