"""Everything that is shown of a game day, as frozen data: the API and every format only write it down."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from blackstart_controller.gameday.decide import document_of, item_text
from blackstart_controller.gameday.document import GameDayDocument
from blackstart_controller.gameday.due import starts_shown
from blackstart_controller.gameday.model import EntryKind, Kept
from blackstart_controller.gameday.record import CheckState, Record, fold
from blackstart_controller.gameday.states import GameDayState
from blackstart_controller.report.json_report import recovery_interval
from blackstart_controller.report.view import ReportView
from blackstart_controller.runs.clock import iso

NO_FINDINGS = "No findings were recorded."
SCHEMA = 1


@dataclass(frozen=True, slots=True)
class ServiceLine:
    """A line of a run's table. `recovery` as in report.json."""

    name: str
    outcome: str
    recovery: Mapping[str, Any] | None
    rto_s: float | None
    met: bool | None


@dataclass(frozen=True, slots=True)
class RunView:
    run: str
    experiment: str
    verdict: str  # or the state that it is in
    reverted: str
    sentence: str = ""
    services: tuple[ServiceLine, ...] = ()


@dataclass(frozen=True, slots=True)
class ExperimentView:
    """`state`: waiting, under way, ended, refused, not run."""

    number: int
    name: str
    hold: bool
    state: str
    why: str
    go_by: str
    go_at: str
    run: RunView | None


@dataclass(frozen=True, slots=True)
class HypothesisView:
    """`result`: held, broken, inconclusive; "" before anybody has judged."""

    number: int
    text: str
    within: str
    result: str
    note: str
    by: str


@dataclass(frozen=True, slots=True)
class CheckView:
    """`ok` is None before anybody has looked."""

    number: int
    text: str
    check: str
    ok: bool | None
    detail: str
    by: str
    at: str


@dataclass(frozen=True, slots=True)
class RetestView:
    run: RunView
    by: str
    at: str


@dataclass(frozen=True, slots=True)
class FindingView:
    number: int
    text: str
    severity: str
    owner: str
    action: str
    retest: str
    by: str
    at: str
    retests: tuple[RetestView, ...]


@dataclass(frozen=True, slots=True)
class EntryView:
    """`after_s`: seconds after the day was started; negative before, None when it never was."""

    seq: int
    at: str
    after_s: float | None
    kind: str
    author: str
    text: str


@dataclass(frozen=True, slots=True)
class DayView:
    """`starts_at` is None for whom it is secret. `ended_at` and `started_at` are "" before."""

    schema: int
    id: str
    title: str
    description: str
    state: str
    revision: int
    zero_notice: bool
    window: Mapping[str, str]
    window_utc: tuple[str, str]
    starts_at: str | None
    started_at: str
    ended_at: str
    ended_why: str
    override: str
    planned_by: str
    tags: tuple[str, ...]
    roles: Mapping[str, Any]
    scope: Mapping[str, Any]
    comms: Mapping[str, Any]
    checklist: tuple[CheckView, ...]
    experiments: tuple[ExperimentView, ...]
    hypotheses: tuple[HypothesisView, ...]
    findings: tuple[FindingView, ...]
    findings_text: str
    timeline: tuple[EntryView, ...]


def run_view(report: ReportView) -> RunView:
    """A finished run in a few lines."""
    lines = tuple(
        ServiceLine(
            one.recovery.service,
            str(one.recovery.outcome),
            recovery_interval(one.recovery),
            one.recovery.objective.rto_s,
            one.recovery.met,
        )
        for one in report.services
    )
    reverted = "confirmed" if report.reverted else "unconfirmed"
    verdict = report.verdict
    return RunView(report.run_id, report.experiment, str(verdict.word), reverted, verdict.sentence, lines)


def run_ids(kept: Kept) -> list[str]:
    """Every run that a view of this day speaks of."""
    record = fold(kept.entries)
    own = [attempt.run for attempt in record.attempts if attempt.run]
    return own + [again.run for found in record.findings for again in found.retests]


def build(kept: Kept, runs: Mapping[str, RunView], *, secrets_too: bool) -> DayView:
    """`runs`: what is known of each of `run_ids(kept)`. `secrets_too`: whoever looks may approve."""
    row, record, document = kept.row, fold(kept.entries), document_of(kept.row)
    window = document.window
    return DayView(
        schema=SCHEMA,
        id=row.id,
        title=row.title,
        description=document.description,
        state=str(row.state),
        revision=row.revision,
        zero_notice=row.zero_notice,
        window={"start": window.start.isoformat(), "end": window.end.isoformat(), "zone": window.zone},
        window_utc=(row.window_start, row.window_end),
        starts_at=starts_shown(row, secrets_too=secrets_too),
        started_at=record.started_at,
        ended_at=record.over.at if record.over else "",
        ended_why=record.over.text if record.over else "",
        override=record.override,
        planned_by=row.planned_by,
        tags=document.tags,
        roles=document.roles.model_dump(),
        scope=document.scope.model_dump(by_alias=True),
        comms=document.comms.model_dump(),
        checklist=_checklist(document, record),
        experiments=_experiments(kept, record, runs),
        hypotheses=_hypotheses(document, record),
        findings=_findings(record, runs),
        findings_text="" if record.findings else NO_FINDINGS,
        timeline=_timeline(kept, record),
    )


def _checklist(document: GameDayDocument, record: Record) -> tuple[CheckView, ...]:
    views = []
    for number, item in enumerate(document.checklist):
        known = record.checks.get(number) or CheckState(False, "", "", "")
        ok = known.ok if known.at else None
        detail = "" if known.detail == item_text(item) else known.detail
        view = CheckView(number + 1, item_text(item), item.check or "", ok, detail, known.by, known.at)
        views.append(view)
    return tuple(views)


def _experiments(kept: Kept, record: Record, runs: Mapping[str, RunView]) -> tuple[ExperimentView, ...]:
    views = []
    alive = kept.row.state in (GameDayState.PLANNED, GameDayState.RUNNING)
    for index, one in enumerate(kept.row.experiments):
        attempt = record.attempt_of(index)
        if attempt is None:
            state = "waiting" if alive else "not run"
            views.append(ExperimentView(index + 1, one.name, one.hold, state, "", "", "", None))
            continue
        state = "refused" if attempt.refused else "ended" if attempt.ended else "under way"
        run = runs.get(attempt.run) if attempt.run else None
        told = (state, attempt.refused, attempt.by, attempt.at, run)
        views.append(ExperimentView(index + 1, one.name, one.hold, *told))
    return tuple(views)


def _hypotheses(document: GameDayDocument, record: Record) -> tuple[HypothesisView, ...]:
    views = []
    for number, one in enumerate(document.hypotheses):
        judged = record.judgements.get(number)
        told = (judged.result, judged.text, judged.by) if judged else ("", "", "")
        views.append(HypothesisView(number + 1, one.text, one.within, *told))
    return tuple(views)


def _findings(record: Record, runs: Mapping[str, RunView]) -> tuple[FindingView, ...]:
    return tuple(
        FindingView(
            number=one.number,
            text=one.text,
            severity=one.severity,
            owner=one.owner,
            action=one.action,
            retest=one.retest,
            by=one.by,
            at=one.at,
            retests=tuple(
                RetestView(runs.get(again.run) or RunView(again.run, "", "unknown", ""), again.by, again.at)
                for again in one.retests
            ),
        )
        for one in record.findings
    )


def _timeline(kept: Kept, record: Record) -> tuple[EntryView, ...]:
    zero = datetime.fromisoformat(record.started_at) if record.started_at else None
    return tuple(
        EntryView(
            seq=one.seq,
            at=iso(datetime.fromisoformat(one.at)),
            after_s=(datetime.fromisoformat(one.at) - zero).total_seconds() if zero else None,
            kind=str(one.kind),
            author=one.author,
            text=_words(one.kind, one.text, one.data),
        )
        for one in kept.entries
    )


def _words(kind: EntryKind, text: str, data: Mapping[str, Any]) -> str:
    """An entry in words, where its data says more than its text."""
    match kind:
        case EntryKind.GO:
            return _joined(str(data["experiment"]), text)
        case EntryKind.HYPOTHESIS:
            return _joined(f"{data['hypothesis'] + 1} {data['result']}", text)
        case EntryKind.FINDING:
            return f"{data['severity']}: {text}"
        case EntryKind.RETEST:
            return f"finding {data['finding']}: run {data['run']}"
        case EntryKind.RUN_STARTED | EntryKind.RUN_ENDED:
            return f"{text} (run {data['run']})"
        case EntryKind.REMINDED:
            return "people were reminded"
    return text


def _joined(first: str, then: str) -> str:
    return f"{first}: {then}" if then else first
