"""report.json: outside tools read it. Fields are only ever added; the shape of those that exist is fixed."""

from __future__ import annotations

import json
from typing import Any

from blackstart_controller.measure.model import Interval, Recovery
from blackstart_controller.report.view import (
    Band,
    EventView,
    HostSpan,
    ObserverView,
    ReportView,
    ServiceView,
    StopView,
)

SCHEMA = 1


def document(view: ReportView) -> dict[str, Any]:
    """The report as JSON types."""
    return {
        "schema": SCHEMA,
        "run": view.run_id,
        "experiment": view.experiment,
        "seed": view.seed,
        "verdict": str(view.verdict.word),
        "reverted": "confirmed" if view.reverted else "unconfirmed",
        "injection": {
            "t0": view.t0_iso,
            "skew_ms": _rounded(view.skew_ms),
            "hosts": sorted({span.host for span in view.hosts if span.last_s is not None}),
            "skew_error_ms": _rounded(view.skew_error_ms),
            "completed_ms": _rounded(view.completed_ms),
            "faults": [_host(span) for span in view.hosts],
        },
        "services": [_service(service) for service in view.services],
        "events": [_event(event) for event in view.events],
        "sentence": view.verdict.sentence,
        "exit_code": view.verdict.exit_code,
        "description": view.description,
        "hypothesis": view.hypothesis,
        "owner": view.owner,
        "tags": list(view.tags),
        "mode": view.mode,
        "watch": {"from_s": view.from_s, "until_s": _rounded(view.until_s)},
        "limits": list(view.limits),
        "halted_by": view.halted_by or None,
        "stops": [_stop(stop) for stop in view.stops],
        "undo": [{"host": s.host, "order": s.order_id, "commands": list(s.manual)} for s in view.unreverted],
    }


def text(view: ReportView) -> str:
    """The document as it is written to disk."""
    return json.dumps(document(view), ensure_ascii=False, indent=2) + "\n"


def interval(value: Interval | None) -> dict[str, Any] | None:
    """Seconds, low, high, censored. A censored value has no `seconds` and no `high`: it must not be
    averaged.
    """
    if value is None:
        return None
    if value.censored:
        return {"seconds": None, "low": _rounded(value.low), "high": None, "censored": True}
    return {
        "seconds": _rounded(value.seconds),
        "low": _rounded(value.low),
        "high": _rounded(value.high),
        "censored": False,
    }


def recovery_interval(one: Recovery) -> dict[str, Any] | None:
    """As `interval`. Of an unaffected service: no `seconds`, and a `high` below which an outage may hide."""
    if one.unseen_s is not None:
        return {"seconds": None, "low": 0.0, "high": _rounded(one.unseen_s), "censored": False}
    return interval(one.recovery)


def _service(service: ServiceView) -> dict[str, Any]:
    one: Recovery = service.recovery
    nothing = {"seconds": None, "low": None, "high": None, "censored": False}
    return {
        "name": one.service,
        "outcome": str(one.outcome),
        "recovery": recovery_interval(one) or nothing,
        "after_revert": interval(one.after_revert),
        "objective": {"rto_s": one.objective.rto_s, "rpo_s": one.objective.rpo_s},
        "met": one.met,
        "lost_writes": one.lost_writes,
        "availability": None if one.availability is None else round(one.availability, 6),
        "relapses": one.relapses,
        "waited_for": one.waited_for,
        "reason": one.reason,
        "members": list(service.members),
        "depends_on": list(service.depends_on),
        "observers": [_observer(observer) for observer in service.observers],
    }


def _observer(observer: ObserverView) -> dict[str, Any]:
    return {
        "observer": observer.observer,
        "site": observer.site,
        "samples": observer.samples,
        "unusable": observer.unusable,
        "worst_lag_ms": _rounded(observer.worst_lag_ms),
        "outages": [_band(band) for band in observer.bands],
    }


def _band(band: Band) -> dict[str, Any]:
    return {
        "start_low_s": _rounded(band.start_low_s),
        "start_high_s": _rounded(band.start_high_s),
        "end_low_s": _rounded(band.end_low_s),
        "end_high_s": _rounded(band.end_high_s),
    }


def _host(span: HostSpan) -> dict[str, Any]:
    return {
        "host": span.host,
        "site": span.site,
        "order": span.order_id,
        "kind": span.kind,
        "path": span.path,
        "first_s": _rounded(span.first_s),
        "last_s": _rounded(span.last_s),
        "end_s": _rounded(span.end_s),
        "error_ms": _rounded(span.error_ms),
    }


def _stop(stop: StopView) -> dict[str, Any]:
    """`tripped_s`: seconds after T0; null when it has not tripped, or when there was no T0 yet."""
    tripped = stop.tripped
    return {
        "name": stop.name,
        "kind": stop.kind,
        "condition": stop.condition,
        "tripped": tripped is not None,
        "tripped_s": None if tripped is None else _rounded(tripped.s),
        "reason": "" if tripped is None else tripped.reason,
    }


def _event(event: EventView) -> dict[str, Any]:
    shown = {"at": event.at, "s": _rounded(event.s), "host": event.host, "what": event.what}
    return {**shown, "detail": event.detail}


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 6)
