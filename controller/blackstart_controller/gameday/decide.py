"""What each act adds to a game day, or why it may not be. Pure: the store asks these in its transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import lru_cache

from blackstart_controller.errors import NotFound, Refused, UsageError
from blackstart_controller.gameday.document import GameDayDocument, Item, load_gameday
from blackstart_controller.gameday.model import ITSELF, Change, EntryKind, GameDay, Kept, NewEntry
from blackstart_controller.gameday.record import Record, fold
from blackstart_controller.gameday.states import GameDayState, check_state, check_transition

SEVERITIES = ("low", "medium", "high", "critical")
RESULTS = ("held", "broken", "inconclusive")
BEGUN = (GameDayState.RUNNING, GameDayState.FINISHED, GameDayState.ABORTED)


def document_of(row: GameDay) -> GameDayDocument:
    """The document was valid when it was stored."""
    return _read(row.document, row.file)


@lru_cache(maxsize=128)  # frozen, and read at every look at the timers
def _read(text: str, file: str) -> GameDayDocument:
    return load_gameday(text, file)


# ---- before the day ---------------------------------------------------------------------------------------


def tick(kept: Kept, by: str, item: str) -> Change:
    """`item`: the number of a line, or a part of its text that no other line has."""
    check_state(kept.row.id, kept.row.state, GameDayState.PLANNED)
    checklist = document_of(kept.row).checklist
    number = _line(kept.row.id, checklist, item)
    line = checklist[number]
    if line.item is None and line.check != "url":
        raise Refused(
            f"checklist line {number + 1} ({item_text(line)}) checks itself; only its own answer counts"
        )
    last = fold(kept.entries).checks.get(number)
    if line.item is None and last is not None and not last.ok and not last.unreadable:
        raise Refused(f"checklist line {number + 1} ({item_text(line)}) was read, and says: {last.detail}")
    return Change((NewEntry(EntryKind.TICKED, by, item_text(line), {"item": number}),))


def item_text(item: Item) -> str:
    return item.item or item.label or item.check or ""


def _line(gameday_id: str, checklist: Sequence[Item], wanted: str) -> int:
    if wanted.isdecimal() and 1 <= int(wanted) <= len(checklist):
        return int(wanted) - 1
    found = [n for n, one in enumerate(checklist) if wanted.casefold() in item_text(one).casefold()]
    if len(found) == 1:
        return found[0]
    how_many = "no line" if not found else f"{len(found)} lines"
    raise UsageError(
        f"checklist item {wanted!r}: {how_many} of game day {gameday_id} match; use its number, "
        f"1 to {len(checklist)}"
    )


def unfinished(document: GameDayDocument, record: Record, *, people: bool = True) -> list[str]:
    """Every line of the checklist that is not good. `people`: theirs too, not only what checks itself."""
    reasons = []
    for number, item in enumerate(document.checklist):
        known = record.checks.get(number)
        if (item.item is not None and not people) or (known is not None and known.ok):
            continue
        why = known.detail if known else "nobody has ticked it"
        reasons.append(f"{number + 1} {item_text(item)}: {why}")
    return reasons


# ---- the day ----------------------------------------------------------------------------------------------


def start(kept: Kept, by: str, override: str, now: datetime) -> Change:
    """People start a day in its window, with a checklist that is complete, or they say why not."""
    check_transition(kept.row.id, kept.row.state, GameDayState.RUNNING)
    reasons = unfinished(document_of(kept.row), fold(kept.entries)) + outside_window(kept.row, now)
    if reasons and not override:
        told = "\n".join(f"  {reason}" for reason in reasons)
        raise Refused(
            f"game day {kept.row.id}: not ready:\n{told}\n"
            "tick what is done with `blackstart gameday check --done ITEM`, or say why it may start "
            "with --override REASON"
        )
    data = {"override": override, "not_ready": reasons} if reasons else {}
    text = f"not ready, and started all the same: {override}" if reasons else ""
    return Change((NewEntry(EntryKind.STARTED, by, text, data),), GameDayState.RUNNING)


def start_unannounced(kept: Kept) -> Change | None:
    """A zero-notice day begins, or it is missed for what a check says; None when it is over already."""
    if kept.row.state != GameDayState.PLANNED:
        return None
    reasons = unfinished(document_of(kept.row), fold(kept.entries), people=False)
    if reasons:
        return missed(kept, "its moment came, and it was not ready: " + "; ".join(reasons))
    entry = NewEntry(EntryKind.STARTED, ITSELF, "the moment that was chosen for it has come")
    return Change((entry,), GameDayState.RUNNING)


def missed(kept: Kept, why: str) -> Change | None:
    if kept.row.state != GameDayState.PLANNED:
        return None
    return Change((NewEntry(EntryKind.MISSED, ITSELF, why),), GameDayState.MISSED)


def go(kept: Kept, by: str, override: str, now: datetime) -> Change:
    """Somebody passes the hold point before the next experiment."""
    row, record = kept.row, fold(kept.entries)
    check_state(row.id, row.state, GameDayState.RUNNING)
    if (attempt := record.open_attempt) is not None:
        what = f"run {attempt.run}" if attempt.run else "a run that is being started"
        raise Refused(f"game day {row.id}: {what} is under way; wait for it, or abort")
    if record.next_index >= len(row.experiments):
        raise Refused(f"game day {row.id}: no experiment is left; `blackstart gameday finish` ends it")
    if (reasons := outside_window(row, now)) and not override:
        raise Refused(f"game day {row.id}: {reasons[0]}; say why it goes on with --override REASON")
    name = row.experiments[record.next_index].name
    data = {"index": record.next_index, "experiment": name} | ({"override": override} if override else {})
    return Change((NewEntry(EntryKind.GO, by, override, data),))


def outside_window(row: GameDay, now: datetime) -> list[str]:
    if now < datetime.fromisoformat(row.window_start):
        return [f"its window opens only at {row.window_start}"]
    if now >= datetime.fromisoformat(row.window_end):
        return [f"its window closed at {row.window_end}"]
    return []


def abort(kept: Kept, by: str, reason: str) -> Change | None:
    """None when it is aborted already: an abort that is sent twice is no error."""
    if kept.row.state == GameDayState.ABORTED:
        return None
    check_transition(kept.row.id, kept.row.state, GameDayState.ABORTED)
    return Change((NewEntry(EntryKind.ABORTED, by, reason),), GameDayState.ABORTED)


def finish(kept: Kept, by: str) -> Change:
    check_transition(kept.row.id, kept.row.state, GameDayState.FINISHED)
    record = fold(kept.entries)
    if (attempt := record.open_attempt) is not None:
        raise Refused(f"game day {kept.row.id}: run {attempt.run} is under way; wait for it, or abort")
    text = "" if record.findings else "no findings so far"
    return Change((NewEntry(EntryKind.FINISHED, by, text),), GameDayState.FINISHED)


# ---- what was learnt --------------------------------------------------------------------------------------


def judge(kept: Kept, by: str, number: int, result: str, text: str) -> Change:
    """`number` counts from 1, as people see the hypotheses."""
    check_state(kept.row.id, kept.row.state, *BEGUN)
    hypotheses = document_of(kept.row).hypotheses
    if not 1 <= number <= len(hypotheses):
        raise NotFound(f"game day {kept.row.id}: no hypothesis {number}; it has {len(hypotheses)}")
    data = {"hypothesis": number - 1, "result": result}
    return Change((NewEntry(EntryKind.HYPOTHESIS, by, text, data),))


def retest(kept: Kept, by: str, number: int, run: str) -> Change:
    found = fold(kept.entries).findings
    if not 1 <= number <= len(found):
        raise NotFound(f"game day {kept.row.id}: no finding {number}; it has {len(found)}")
    return Change((NewEntry(EntryKind.RETEST, by, "", {"finding": number, "run": run}),))


def finding(kept: Kept, by: str, text: str, told: Mapping[str, str]) -> Change:
    """`told`: severity, owner, action and retest (a date, or "")."""
    check_state(kept.row.id, kept.row.state, *BEGUN)
    return Change((NewEntry(EntryKind.FINDING, by, text, dict(told)),))
