"""A timeline folded into what is known now. Pure; nothing else is stored of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from blackstart_controller.gameday.model import ITSELF, Entry, EntryKind


@dataclass(frozen=True, slots=True)
class CheckState:
    """The last word on one line of the checklist."""

    ok: bool
    detail: str
    by: str
    at: str
    unreadable: bool = False  # the source said nothing


@dataclass(frozen=True, slots=True)
class Attempt:
    """Somebody said go for the experiment `index`. `run` comes with its start, `ended` with its end."""

    index: int
    seq: int
    by: str
    at: str
    run: str = ""
    refused: str = ""
    ended: Entry | None = None

    @property
    def open(self) -> bool:
        return not self.refused and self.ended is None


@dataclass(frozen=True, slots=True)
class Judgement:
    result: str
    text: str
    by: str
    at: str


@dataclass(frozen=True, slots=True)
class Retest:
    run: str
    by: str
    at: str


@dataclass(frozen=True, slots=True)
class Finding:
    """What was learnt, and what is done about it. `number` counts from 1."""

    number: int
    text: str
    severity: str
    owner: str
    action: str
    retest: str  # a date, or ""
    by: str
    at: str
    retests: tuple[Retest, ...] = ()


@dataclass(slots=True)
class Record:
    """Filled by `fold`, and read only after it."""

    checks: dict[int, CheckState] = field(default_factory=dict)
    attempts: list[Attempt] = field(default_factory=list)
    judgements: dict[int, Judgement] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    reminded: set[int] = field(default_factory=set)
    reported: bool = False
    planned_at: str = ""
    started_at: str = ""
    override: str = ""
    over: Entry | None = None

    @property
    def open_attempt(self) -> Attempt | None:
        return next((attempt for attempt in self.attempts if attempt.open), None)

    @property
    def next_index(self) -> int:
        """The first experiment that no run has begun of."""
        return 1 + max((attempt.index for attempt in self.attempts if attempt.run), default=-1)

    def attempt_of(self, index: int) -> Attempt | None:
        """The one that counts: with a run, else the last."""
        tried = [attempt for attempt in self.attempts if attempt.index == index]
        return next((attempt for attempt in tried if attempt.run), tried[-1] if tried else None)


def fold(entries: Sequence[Entry]) -> Record:
    """What the timeline says, all in all."""
    record = Record()
    for entry in entries:
        _take(record, entry)
    return record


def _take(record: Record, entry: Entry) -> None:
    match entry.kind:
        case EntryKind.PLANNED:  # anew: what was checked was another plan
            record.checks.clear()
            record.reminded.clear()
            record.planned_at = entry.at
        case EntryKind.REMINDED:
            record.reminded.update(entry.data["before_ms"])
        case EntryKind.STARTED:
            record.started_at, record.override = entry.at, entry.data.get("override", "")
        case EntryKind.ABORTED | EntryKind.FINISHED | EntryKind.MISSED:
            record.over = entry
        case EntryKind.REPORTED:
            record.reported = True
        case EntryKind.TICKED | EntryKind.CHECKED:
            _checked(record, entry)
        case EntryKind.GO:
            record.attempts.append(Attempt(entry.data["index"], entry.seq, entry.author, entry.at))
        case EntryKind.RUN_STARTED | EntryKind.RUN_REFUSED | EntryKind.RUN_ENDED:
            _of_run(record, entry)
        case EntryKind.HYPOTHESIS | EntryKind.FINDING | EntryKind.RETEST:
            _learnt(record, entry)


def _learnt(record: Record, entry: Entry) -> None:
    data = entry.data
    if entry.kind == EntryKind.HYPOTHESIS:
        judged = Judgement(data["result"], entry.text, entry.author, entry.at)
        record.judgements[data["hypothesis"]] = judged
    elif entry.kind == EntryKind.FINDING:
        told = {key: data[key] for key in ("severity", "owner", "action", "retest")}
        number = len(record.findings) + 1
        record.findings.append(Finding(number, entry.text, **told, by=entry.author, at=entry.at))
    else:
        found = record.findings[data["finding"] - 1]
        again = Retest(data["run"], entry.author, entry.at)
        record.findings[found.number - 1] = replace(found, retests=(*found.retests, again))


def _checked(record: Record, entry: Entry) -> None:
    """A person's word stands in for a source that cannot be read, until the source speaks again."""
    if entry.kind == EntryKind.TICKED:
        record.checks[entry.data["item"]] = CheckState(True, entry.text, entry.author, entry.at)
        return
    for one in entry.data["results"]:
        unreadable = bool(one["unreadable"])
        known = record.checks.get(one["item"])
        if unreadable and known is not None and known.ok and known.by != ITSELF:
            continue
        said = CheckState(one["ok"], one["detail"], ITSELF, entry.at, unreadable)
        record.checks[one["item"]] = said


def _of_run(record: Record, entry: Entry) -> None:
    for number, attempt in enumerate(record.attempts):
        if attempt.seq != entry.data["go"]:
            continue
        if entry.kind == EntryKind.RUN_STARTED:
            record.attempts[number] = replace(attempt, run=entry.data["run"])
        elif entry.kind == EntryKind.RUN_REFUSED:
            record.attempts[number] = replace(attempt, refused=entry.text or "refused")
        else:
            record.attempts[number] = replace(attempt, run=entry.data["run"], ended=entry)
