"""Where notices go, and one notice on its way to one of those targets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Any

DIGEST = "notices.digest"
# What somebody must hear at once and by itself.
LOUD = frozenset({"run.unreverted", "lever.engaged"})


class Kind(StrEnum):
    WEBHOOK = "webhook"
    APPRISE = "apprise"


class State(StrEnum):
    WAITING = "waiting"
    DELIVERED = "delivered"
    GIVEN_UP = "given up"
    MERGED = "merged"  # into a digest, which has its own row


@dataclass(frozen=True, slots=True)
class Target:
    """`url` and `secret` are secrets: they leave the controller only towards the target."""

    name: str
    kind: str
    url: str = field(repr=False)
    secret: str = field(repr=False)  # of a webhook: whsec_…
    types: tuple[str, ...]  # patterns: `run.*`
    created: str  # ISO 8601, UTC
    created_by: str

    def wants(self, type_: str, at: str) -> bool:
        """Whether it is told of a notice of this type that happened `at`."""
        return at >= self.created and any(fnmatchcase(type_, pattern) for pattern in self.types)


@dataclass(frozen=True, slots=True)
class Stamped:
    """A notice with its id and time: what is stored for each target that wants it."""

    notice_id: str
    type: str
    subject: str
    text: str
    data: Mapping[str, Any]
    at: str
    due_ms: int


@dataclass(frozen=True, slots=True)
class Delivery:
    """One notice for one target. `id` gives the order; `due_ms`: Unix time of the next attempt."""

    id: int
    target: str
    notice_id: str
    type: str
    subject: str
    text: str
    data: Mapping[str, Any]
    at: str
    due_ms: int
    state: str = State.WAITING
    attempts: int = 0
    error: str = ""
    merged_into: str = ""
    ended: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one attempt. `error` is empty when the other side has taken it."""

    error: str = ""
    retry_after_s: float = 0.0
    final: bool = False  # the other side never wants it


@dataclass(frozen=True, slots=True)
class Change:
    """A delivery after an attempt."""

    state: State
    attempts: int
    due_ms: int
    error: str
    ended: str
