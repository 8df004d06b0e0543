"""What faults may ask of worker processes, and of what a host has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from blackstart_agent.host.ports import Process


class Workers(Protocol):
    """Processes of ours that make a load. Each belongs to one order and ends with its lease by itself.

    A worker ends when its deadline comes (a timer in the kernel), when the process that started it is gone,
    and when it is told to. Whoever comes later finds it by the order's id, which is in its environment.
    """

    def check(self) -> None:
        """Raises Unsupported when no worker can be started here."""
        ...

    def start(self, order_id: str, load: str, parameters: Mapping[str, int | str]) -> None:
        """The order's worker is there and ready; it does nothing yet. Raises HostError."""
        ...

    def until(self, order_id: str, deadline_ns: int) -> None:
        """It works until the deadline, from now on or as before. Returns at once. Raises HostError."""
        ...

    def status(self, order_id: str) -> Mapping[str, int]:
        """What it says of itself; empty when it is not there any more."""
        ...

    def end(self, order_id: str) -> None:
        """None of the order's processes is left. It need not have been started here."""
        ...

    def found(self, order_id: str) -> Sequence[Process]:
        """Every process of the order that runs, whoever started it."""
        ...


@dataclass(frozen=True, slots=True)
class Room:
    """Of a file system, in bytes; `free` is for those who are not root. `device` tells it from others."""

    used: int
    free: int
    device: int
    read_only: bool = False
    inodes_free: int = 0


class Capacity(Protocol):
    """What there is to be used up. Memory is in bytes, within the bounds of our own control groups."""

    def cores(self) -> int: ...

    def memory_total(self) -> int: ...

    def memory_available(self) -> int: ...

    def room(self, path: str) -> Room:
        """Of the file system that the directory is on. Raises HostError when there is no such directory."""
        ...
