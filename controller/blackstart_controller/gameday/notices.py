"""What people are told of a game day. Pure. A zero-notice moment is in none of it."""

from __future__ import annotations

from blackstart_controller.gameday.decide import document_of
from blackstart_controller.gameday.model import Kept
from blackstart_controller.gameday.record import fold
from blackstart_controller.gameday.states import GameDayState
from blackstart_controller.notify.ports import Notice
from blackstart_controller.spec.duration import format_duration


def reminder(kept: Kept, before_ms: int) -> Notice:
    row, document = kept.row, document_of(kept.row)
    window = document.window
    if row.zero_notice:
        when = f"comes without notice, between {window.start:%Y-%m-%d %H:%M} and {window.end:%Y-%m-%d %H:%M}"
    else:
        when = f"begins in {format_duration(before_ms)}, at {window.start:%Y-%m-%d %H:%M}"
    people = f"owner {document.roles.owner}, abort owner {document.roles.abort_owner}"
    where = f", channel {document.comms.channel}" if document.comms.channel else ""
    return Notice(
        type="gameday.reminder",
        subject=f"gameday/{row.id}",
        text=f"Game day {row.id} ({row.title}) {when} ({window.zone}); {people}{where}",
        data={"gameday": row.id, "before_ms": before_ms, "window": [row.window_start, row.window_end]},
        id=f"gameday.reminder/{row.id}/{row.window_start}/{before_ms}",
    )


def report(kept: Kept) -> Notice:
    row, record = kept.row, fold(kept.entries)
    runs = [attempt for attempt in record.attempts if attempt.run]
    count = len(record.findings)
    findings = f"{count} finding{'s' * (count != 1)}" if count else "no findings"
    held = f"{len(runs)} of {len(row.experiments)} experiments run, {findings}"
    why = record.over.text if record.over else ""
    if row.state == GameDayState.MISSED:
        held = why
    elif row.state == GameDayState.ABORTED and why:
        held = f"{held}; {why}"
    return Notice(
        type="gameday.report",
        subject=f"gameday/{row.id}",
        text=f"Game day {row.id} ({row.title}) {row.state}: {held}. blackstart gameday report {row.id}",
        data={"gameday": row.id, "state": str(row.state), "runs": [one.run for one in runs]}
        | {"findings": count},
        id=f"gameday.report/{row.id}",
    )
