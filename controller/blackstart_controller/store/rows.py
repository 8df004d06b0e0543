"""Between rows and frozen data: JSON text, compressed protobuf."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from typing import Any

from blackstart_proto.v1 import agent_pb2
from sqlalchemy import RowMapping

from blackstart_controller.runs.ports import ClockEstimate
from blackstart_controller.store.model import Draft, HostRow, NewRun, OrderRow, RunEvent, RunRow

COMPRESSION = 6


def run_values(run: NewRun) -> dict[str, Any]:
    return {
        "id": run.id,
        "experiment": run.experiment,
        "file": run.file,
        "document": run.document,
        "plan": run.plan,
        "plan_hash": run.plan_hash,
        "created": run.created,
        "boot_id": run.boot_id,
        "operator": run.operator,
        "trigger": run.trigger,
        "idempotency_key": run.idempotency_key,
        "state": run.state,
        "environments": ",".join(run.environments),
    }


def run_row(row: Mapping[str, Any] | RowMapping) -> RunRow:
    return RunRow(**{**row, "environments": environments_of(row["environments"])})


def environments_of(text: str) -> tuple[str, ...]:
    return tuple(text.split(",")) if text else ()


def order_row(row: RowMapping) -> OrderRow:
    return OrderRow(**row)


def event_of(run_id: str, seq: int, draft: Draft) -> RunEvent:
    return RunEvent(
        run_id, seq, draft.at_ns, draft.at, draft.boot_id, draft.type, draft.host, draft.order_id, draft.data
    )


def event_values(event: RunEvent) -> dict[str, Any]:
    return {
        "run_id": event.run_id,
        "seq": event.seq,
        "at_ns": event.at_ns,
        "at": event.at,
        "boot_id": event.boot_id,
        "type": event.type,
        "host": event.host,
        "order_id": event.order_id,
        "data": json.dumps(event.data, ensure_ascii=False, separators=(",", ":")),
    }


def event_row(row: RowMapping) -> RunEvent:
    return RunEvent(**{**row, "data": json.loads(row["data"])})


def host_values(host: HostRow) -> dict[str, Any]:
    return {
        "name": host.name,
        "site": host.site,
        "labels": json.dumps(dict(host.labels), sort_keys=True),
        "addresses": json.dumps(host.addresses),
        "first_seen": host.first_seen,
        "last_seen": host.last_seen,
        "revoked": int(host.revoked),
    }


def host_row(row: RowMapping) -> HostRow:
    return HostRow(
        name=row["name"],
        site=row["site"],
        labels=json.loads(row["labels"]),
        addresses=tuple(json.loads(row["addresses"])),
        first_seen=row["first_seen"],
        last_seen=row["last_seen"],
        revoked=bool(row["revoked"]),
    )


def estimate_row(row: RowMapping) -> ClockEstimate:
    return ClockEstimate(row["host"], row["host_boot_id"], row["offset_ns"], row["error_ns"], row["at_ns"])


def pack(batch: agent_pb2.SampleBatch) -> bytes:
    return zlib.compress(batch.SerializeToString(), COMPRESSION)


def unpack(blob: bytes) -> agent_pb2.SampleBatch:
    return agent_pb2.SampleBatch.FromString(zlib.decompress(blob))
