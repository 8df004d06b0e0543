"""Rows as the rest of the controller sees them: frozen data, no SQL."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeAlias, TypedDict

from blackstart_controller.errors import BlackstartError

JsonObject: TypeAlias = Mapping[str, Any]


class StoreFailed(BlackstartError):
    """The database did not take a write. Nothing new may be injected; what is injected is still reverted."""

    code: ClassVar[str] = "store_failed"
    status: ClassVar[int] = 503


@dataclass(frozen=True, slots=True)
class NewRun:
    """A run about to exist. `boot_id` is the controller's: monotonic times mean nothing after a reboot."""

    id: str
    experiment: str
    file: str
    document: str
    plan: str  # JSON
    plan_hash: str
    created: str  # ISO 8601, UTC
    boot_id: str
    operator: str
    trigger: str  # as in `runs.launch.Launch`
    idempotency_key: str | None
    orders: tuple[tuple[str, str], ...]  # order id, host
    state: str = "created"
    environments: tuple[str, ...] = ()  # that hold one of its targets


@dataclass(frozen=True, slots=True)
class RunRow:
    id: str
    experiment: str
    file: str
    document: str
    plan: str
    plan_hash: str
    created: str
    boot_id: str
    operator: str
    trigger: str
    idempotency_key: str | None
    state: str
    verdict: str | None = None
    reverted: str | None = None
    exit_code: int | None = None
    ended: str | None = None
    halted_by: str | None = None
    reason: str | None = None
    environments: tuple[str, ...] = ()
    approved_by: str | None = None  # the second person


class RunChange(TypedDict, total=False):
    """What of a run's row changes together with an event, in the same transaction."""

    state: str
    verdict: str
    reverted: str
    exit_code: int
    ended: str
    halted_by: str
    reason: str
    approved_by: str


@dataclass(frozen=True, slots=True)
class OrderRow:
    id: str
    run_id: str
    host: str
    state: str


@dataclass(frozen=True, slots=True)
class Draft:
    """An event before it has a number. `at_ns`: the controller's CLOCK_MONOTONIC; `at`: its wall clock."""

    type: str
    at_ns: int
    at: str
    boot_id: str
    host: str = ""
    order_id: str = ""
    data: JsonObject = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RunEvent:
    """One line of a run's append-only log. `seq` counts from 1 without a gap within the run."""

    run_id: str
    seq: int
    at_ns: int
    at: str
    boot_id: str
    type: str
    host: str
    order_id: str
    data: JsonObject


@dataclass(frozen=True, slots=True)
class HostRow:
    """What is remembered of a host while it is away."""

    name: str
    site: str
    labels: Mapping[str, str]
    addresses: tuple[str, ...]
    first_seen: str
    last_seen: str
    revoked: bool = False


@dataclass(frozen=True, slots=True)
class SpoolKey:
    """Where a host numbered something: stored once, however often it is sent."""

    host: str
    spool: str
    seq: int
