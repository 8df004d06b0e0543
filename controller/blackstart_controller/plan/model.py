"""The plan: exactly which host gets which order, who probes what, what was found wrong. Frozen data.

Durations are seconds (`_s`) or milliseconds (`_ms`). Addresses are strings. Everything here becomes
JSON by `dataclasses.asdict`, comes back by `codec.plan_from_dict`, and is hashed in that form.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal, TypeAlias

from blackstart_controller.plan.faults import FaultData


class Mode(StrEnum):
    TETHERED = "tethered"
    SEALED = "sealed"


# ---- what is done -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class HostOrder:
    """One fault for one host. It is injected `at_s` after T0 and ends `hold_s` later on its own."""

    id: str
    host: str
    step: int  # index among the faults of the experiment, in the document's order
    fault: FaultData
    mode: Mode
    at_s: float
    hold_s: float
    lease_s: float  # tethered: renewed at a third of it; sealed: equal to hold_s
    path: str = ""  # where in the document: `steps[0].sequence[1]`


# ---- watching ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class HttpProbe:
    url: str
    expect_status: tuple[int, ...] = ()
    expect_body: str = ""
    kind: Literal["http"] = "http"


@dataclass(frozen=True, slots=True)
class TcpProbe:
    address: str
    kind: Literal["tcp"] = "tcp"


@dataclass(frozen=True, slots=True)
class RedisProbe:
    addresses: tuple[str, ...]
    sentinel_master: str = ""
    write: bool = False
    kind: Literal["redis"] = "redis"


@dataclass(frozen=True, slots=True)
class NatsProbe:
    addresses: tuple[str, ...]
    publish: str = ""
    kind: Literal["nats"] = "nats"


@dataclass(frozen=True, slots=True)
class CommandProbe:
    name: str
    kind: Literal["command"] = "command"


ProbeSpec: TypeAlias = HttpProbe | TcpProbe | RedisProbe | NatsProbe | CommandProbe


@dataclass(frozen=True, slots=True)
class PlannedProbe:
    """One probe on one observer. `id` is unique in the plan: SERVICE/INDEX@OBSERVER."""

    id: str
    service: str
    observer: str
    every_ms: int
    timeout_ms: int
    spec: ProbeSpec


@dataclass(frozen=True, slots=True)
class Service:
    """What users notice. A service is up for an observer when all of that observer's probes of it are ok."""

    name: str
    members: tuple[str, ...]  # host names
    depends_on: tuple[str, ...] = ()
    rto_s: float | None = None
    rpo_s: float | None = None


# ---- what ends a run early --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ServiceStop:
    """A watched service has failed for `failing_s` without a break, for some observer."""

    name: str
    service: str
    failing_s: float
    kind: Literal["service"] = "service"


@dataclass(frozen=True, slots=True)
class ProbeStop:
    """A probe of its own has failed for `failing_s`. Its `PlannedProbe`s have the service `stop:NAME`."""

    name: str
    failing_s: float
    kind: Literal["probe"] = "probe"


@dataclass(frozen=True, slots=True)
class MetricStop:
    """A PromQL `query` at `url` was `above` or `below` (one is set) for `for_s`. No sample: unreadable."""

    name: str
    url: str
    query: str
    above: float | None
    below: float | None
    for_s: float
    every_s: float
    kind: Literal["metric"] = "metric"


@dataclass(frozen=True, slots=True)
class WebhookStop:
    """Asked every `every_s`: 2xx means go on; everything else, and silence, means stop."""

    name: str
    url: str
    every_s: float
    kind: Literal["webhook"] = "webhook"


StopCondition: TypeAlias = ServiceStop | ProbeStop | MetricStop | WebhookStop
STOP_SERVICE = "stop:"  # prefix of the service of a ProbeStop's probes


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """`at_s` after T0 every watched service must have been ok for `steady_s`, else the run is halted."""

    at_s: float
    steady_s: float
    path: str  # `steps[0].sequence[1]`


@dataclass(frozen=True, slots=True)
class Finding:
    """Something the plan found. `error` stops the run before anything is armed."""

    level: Literal["error", "warning", "note"]
    text: str


@dataclass(frozen=True, slots=True)
class Plan:
    experiment: str
    description: str
    hypothesis: str
    seed: int
    mode: Mode
    baseline_s: float  # steady state must hold so long before anything is injected
    settle_s: float  # an ok streak this long counts as back
    watch_s: float  # after the last revert, wait so long for services that are not back
    hold_s: float  # from T0 to the end of the last fault
    orders: tuple[HostOrder, ...]
    services: tuple[Service, ...]
    probes: tuple[PlannedProbe, ...]
    findings: tuple[Finding, ...] = ()
    tags: tuple[str, ...] = ()
    owner: str = ""
    max_skew_ms: float = 50.0  # refuse to inject when the clock uncertainty of a target is larger
    stops: tuple[StopCondition, ...] = ()
    checkpoints: tuple[Checkpoint, ...] = ()
    parameters: dict[str, str] = field(default_factory=dict)

    @property
    def errors(self) -> tuple[str, ...]:
        return tuple(finding.text for finding in self.findings if finding.level == "error")
