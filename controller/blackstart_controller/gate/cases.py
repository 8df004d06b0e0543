"""An attempt as test cases: a finding about the system fails, our own trouble is an error, the rest is
skipped.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from blackstart_controller.gate.model import INTERRUPTED, UNCONFIRMED, Attempt, Comparison, Gated, Json, Trend
from blackstart_controller.gate.places import START, Places, errors_of
from blackstart_controller.report.format import format_interval, format_seconds
from blackstart_controller.spec.yaml_source import Position

STOP_CONDITION = "stop condition "  # how a run says what halted it


class Status(StrEnum):
    PASSED = "passed"
    FAILED = "failed"
    ERROR = "error"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Case:
    """One thing that was tested. `position` is where the document says so; `seconds`: a measured recovery,
    or how long the run took.
    """

    name: str
    status: Status
    text: str = ""
    position: Position = START
    seconds: float | None = None
    warning: bool = False  # passed, and still to be looked at


def cases_of(gated: Gated, attempt: Attempt, *, fail_on_regression: bool = False) -> tuple[Case, ...]:
    """Every case of an attempt, in the order in which a run goes."""
    places = Places.of(gated.document)
    if attempt.run is None:
        return tuple(_not_started(attempt))
    report: Json = attempt.report or {}
    cases = [_baseline(attempt, places), *_injections(report, places)]
    cases += [_service(one, report, places) for one in report.get("services", ())]
    cases += [*_stops(attempt, places), _hypothesis(attempt, report, places), _ran(attempt), _revert(attempt)]
    cases += [_trend(one, places, fails=fail_on_regression) for one in attempt.comparisons]
    return tuple(cases)


def _not_started(attempt: Attempt) -> Iterator[Case]:
    wrong = errors_of(attempt.reason) if attempt.exit_code == 2 else []
    for position, what in wrong:
        yield Case(f"document, line {position}", Status.ERROR, what, position)
    if not wrong:
        yield Case("the run starts", Status.ERROR, attempt.reason)


def _verdict(attempt: Attempt) -> str:
    return str((attempt.run or {}).get("verdict") or "")


def _reason(attempt: Attempt) -> str:
    return attempt.reason or str((attempt.report or {}).get("sentence") or "")


def _injected(report: Json) -> bool:
    return bool(report) and report["injection"]["t0"] is not None


def _baseline(attempt: Attempt, places: Places) -> Case:
    name = "steady before"
    if _verdict(attempt) == "not_steady":
        return Case(name, Status.FAILED, _reason(attempt), places.key("services"))
    if _injected(attempt.report or {}):
        return Case(name, Status.PASSED)
    return Case(name, Status.SKIPPED, "the run did not come so far")


def _injections(report: Json, places: Places) -> Iterator[Case]:
    """One case per fault and target. Two faults of one kind on one host are numbered."""
    seen: dict[str, int] = {}
    for fault in report["injection"].get("faults", ()) if report else ():
        name = f"{fault['kind']} on {fault['host']}"
        seen[name] = seen.get(name, 0) + 1
        name += f" ({seen[name]})" if seen[name] > 1 else ""
        position = places.step(str(fault.get("path") or ""))
        refused = _refusal(report, str(fault["host"]))
        if fault["first_s"] is not None:
            yield Case(name, Status.PASSED, position=position)
        elif refused:
            yield Case(name, Status.ERROR, refused, position)
        else:
            yield Case(name, Status.SKIPPED, "not injected", position)


def _refusal(report: Json, host: str) -> str:
    told = [one for one in report.get("events", ()) if one["what"] in ("refused", "unreachable")]
    return "; ".join(str(one["detail"]) for one in told if one["host"] == host)


def _service(service: Json, report: Json, places: Places) -> Case:
    rto_s = service["objective"]["rto_s"]
    within = f" within {format_seconds(rto_s)}" if rto_s is not None else ""
    name, position = f"{service['name']} recovers{within}", places.service(str(service["name"]))
    recovery = service["recovery"]
    text = f"{service['outcome']}, {format_interval(recovery)}".removesuffix(", –")
    text += f" ({service['reason']})" if service.get("reason") else ""
    seconds = recovery["seconds"]
    if not _injected(report):
        return Case(name, Status.SKIPPED, "nothing was injected", position)
    if service["met"] is False or service["outcome"] == "not back":
        return Case(name, Status.FAILED, text, position, seconds)
    if service["outcome"] == "unknown" or (rto_s is not None and service["met"] is None):
        cut_short = report["verdict"] == "halted"
        status = Status.SKIPPED if rto_s is None or cut_short else Status.ERROR
        return Case(name, status, text, position, seconds)
    return Case(name, Status.PASSED, text, position, seconds)


def _stops(attempt: Attempt, places: Places) -> Iterator[Case]:
    by = str((attempt.run or {}).get("halted_by") or "")
    for name, position in places.stops():
        tripped = by == STOP_CONDITION + name
        status = Status.FAILED if tripped else Status.PASSED
        yield Case(f"{STOP_CONDITION}{name}", status, _reason(attempt) if tripped else "", position)


def _hypothesis(attempt: Attempt, report: Json, places: Places) -> Case:
    known = {"pass": Status.PASSED, "fail": Status.FAILED}
    status = known.get(_verdict(attempt), Status.SKIPPED)
    said = str(report.get("hypothesis") or "")
    name = "hypothesis" + (f": {said}" if said else "")
    return Case(name, status, str(report.get("sentence") or ""), places.key("hypothesis"))


def _ran(attempt: Attempt) -> Case:
    name, verdict = "ran to its end", _verdict(attempt)
    run: Json = attempt.run or {}
    if attempt.exit_code == INTERRUPTED or verdict in ("", "error"):
        return Case(name, Status.ERROR, _reason(attempt) or "the run's end is not known")
    if verdict == "halted":
        tripped = str(run.get("halted_by") or "").startswith(STOP_CONDITION)
        return Case(name, Status.FAILED if tripped else Status.ERROR, _reason(attempt))
    return Case(name, Status.PASSED, seconds=_took_s(run))


def _took_s(run: Json) -> float | None:
    """How long the run took, as the controller's clock says."""
    if not (run.get("created") and run.get("ended")):
        return None
    took = datetime.fromisoformat(str(run["ended"])) - datetime.fromisoformat(str(run["created"]))
    return took.total_seconds()


def _revert(attempt: Attempt) -> Case:
    confirmed = (attempt.run or {}).get("reverted") == "confirmed" and attempt.exit_code != UNCONFIRMED
    if confirmed:
        return Case("revert confirmed", Status.PASSED)
    undo = [
        f"{one['host']}: {command}"
        for one in (attempt.report or {}).get("undo", ())
        for command in (one["commands"] or ["blackstart-agent revert --all"])
    ]
    told = "not every fault is confirmed to be reverted; every fault ends at its lease, call someone"
    return Case("revert confirmed", Status.ERROR, "\n".join([told, *undo]))


def _trend(one: Comparison, places: Places, *, fails: bool) -> Case:
    name, position = f"{one.service} no slower than before", places.service(one.service)
    if one.trend is Trend.NO_VERDICT:
        return Case(name, Status.SKIPPED, one.text, position)
    if one.trend is Trend.NO_REGRESSION:
        return Case(name, Status.PASSED, one.text, position)
    status = Status.FAILED if fails else Status.PASSED
    return Case(name, status, one.text, position, warning=not fails)
