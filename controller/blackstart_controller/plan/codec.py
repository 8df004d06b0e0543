"""A plan as JSON-ready data and back, exactly: what the store keeps is what was planned."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Final

from blackstart_controller.plan.faults import KINDS, FaultData
from blackstart_controller.plan.faults.process import ProcessSelector
from blackstart_controller.plan.model import (
    Checkpoint,
    CommandProbe,
    Finding,
    HostOrder,
    HttpProbe,
    MetricStop,
    Mode,
    NatsProbe,
    Plan,
    PlannedProbe,
    ProbeSpec,
    ProbeStop,
    RedisProbe,
    Service,
    ServiceStop,
    StopCondition,
    TcpProbe,
    WebhookStop,
)

# Named here, because `kind` of a slotted dataclass can be read from its instances only.
_PROBES: Final[dict[str, type[ProbeSpec]]] = {
    "http": HttpProbe,
    "tcp": TcpProbe,
    "redis": RedisProbe,
    "nats": NatsProbe,
    "command": CommandProbe,
}
_STOPS: Final[dict[str, type[StopCondition]]] = {
    "service": ServiceStop,
    "probe": ProbeStop,
    "metric": MetricStop,
    "webhook": WebhookStop,
}


def plan_to_dict(plan: Plan) -> dict[str, Any]:
    """Return `plan` as data that `json.dumps` takes."""
    return dataclasses.asdict(plan)


def plan_from_dict(data: Mapping[str, Any]) -> Plan:
    """Return the plan that `plan_to_dict` made `data` from, also after a journey through JSON.

    Raises TypeError or KeyError for data of another shape: a plan of another version is never guessed.
    """
    return Plan(
        **{
            **_tuples(data),
            "mode": Mode(data["mode"]),
            "orders": tuple(_order(order) for order in data["orders"]),
            "services": tuple(Service(**_tuples(service)) for service in data["services"]),
            "probes": tuple(_probe(probe) for probe in data["probes"]),
            "findings": tuple(Finding(**finding) for finding in data["findings"]),
            "stops": tuple(_STOPS[stop["kind"]](**stop) for stop in data.get("stops", ())),
            "checkpoints": tuple(Checkpoint(**point) for point in data.get("checkpoints", ())),
        }
    )


def _order(data: Mapping[str, Any]) -> HostOrder:
    return HostOrder(**{**data, "mode": Mode(data["mode"]), "fault": fault_from_dict(data["fault"])})


def fault_from_dict(data: Mapping[str, Any]) -> FaultData:
    """Return the fault whose `dataclasses.asdict` is `data`."""
    fields = _tuples(data)
    if "select" in fields:
        fields["select"] = ProcessSelector(**fields["select"])
    return KINDS[data["kind"]](**fields)


def _probe(data: Mapping[str, Any]) -> PlannedProbe:
    return PlannedProbe(**{**data, "spec": _PROBES[data["spec"]["kind"]](**_tuples(data["spec"]))})


def _tuples(data: Mapping[str, Any]) -> dict[str, Any]:
    """JSON has lists where the models have tuples."""
    return {key: tuple(value) if isinstance(value, list) else value for key, value in data.items()}
