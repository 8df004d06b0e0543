"""Frozen data of control. Times are ISO 8601, UTC."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from blackstart_controller.errors import UsageError
from blackstart_controller.spec.selector import SelectorError, parse_selector

_NAME: Final = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,61}[a-z0-9])?")
MAX_COUNT = 100_000


@dataclass(frozen=True, slots=True)
class Environment:
    """A part of the fleet with rules of its own: the hosts that `hosts` (a selector) matches.

    A plan is in it when one of its targets is. `max_hosts`: targets of one run in here. `max_runs_per_day`:
    runs that began within the last 24 hours. None: no limit.
    """

    name: str
    hosts: str
    second_person: bool = False
    protected: bool = False
    max_hosts: int | None = None
    max_runs_per_day: int | None = None

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise UsageError(
                f"environment {self.name[:80]!r}: must be 1 to 63 small letters, digits, '.' or '-', "
                "beginning and ending with a letter or digit"
            )
        try:
            parse_selector(self.hosts)
        except SelectorError as error:
            raise UsageError(f"environment {self.name}: hosts {self.hosts!r}: {error}") from error
        for what, count in (("max_hosts", self.max_hosts), ("max_runs_per_day", self.max_runs_per_day)):
            if count is not None and not 0 <= count <= MAX_COUNT:
                raise UsageError(f"environment {self.name}: {what} must be 0 to {MAX_COUNT}, got {count}")

    def holds(self, labels: Mapping[str, str]) -> bool:
        return parse_selector(self.hosts).matches(labels)


@dataclass(frozen=True, slots=True)
class ControlEvent:
    """Something that a person decided. `type`: `operator.created`, `lever.engaged`, `run.approved` …"""

    at: str
    by: str
    type: str
    subject: str
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LeverState:
    """The lever is engaged: nothing starts."""

    by: str
    reason: str
    at: str

    def sentence(self) -> str:
        return f"the lever is engaged since {self.at} by {self.by}: {self.reason}"
