"""The report of a game day as JSON and as Markdown. The page is in `html`; all three write one view down."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from blackstart_controller.gameday.view import CheckView, DayView, FindingView, RunView
from blackstart_controller.gameday.words import check_mark, offset_text
from blackstart_controller.report.format import format_interval, format_met, format_seconds
from blackstart_controller.report.markdown import code, safe


def document(view: DayView) -> dict[str, Any]:
    """The report as JSON types. Fields are only ever added."""
    return asdict(view)


def json_text(view: DayView) -> str:
    return json.dumps(document(view), ensure_ascii=False, indent=2) + "\n"


def markdown_text(view: DayView) -> str:
    """GitHub's flavour. Every text from outside is escaped."""
    lines = [f"# {safe(view.title)}: {view.state}", "", *_head(view)]
    lines += ["", "## Experiments", "", *_experiments(view)]
    lines += ["", "## Hypotheses", "", *(_hypotheses(view) or ["None was written down."])]
    lines += ["", "## Findings", "", *(_findings(view.findings) or [view.findings_text])]
    lines += ["", "## Timeline", "", *_timeline(view)]
    lines += ["", "## Checklist", "", *([_check(one) for one in view.checklist] or ["There was none."])]
    return "\n".join(lines) + "\n"


def window_text(view: DayView) -> str:
    start, end = (view.window[key].replace("T", " ").removesuffix(":00") for key in ("start", "end"))
    return f"{start} to {end} {view.window['zone']}"


def _head(view: DayView) -> list[str]:
    roles = view.roles
    facts = [
        ("game day", f"`{code(view.id)}`"),
        ("window", safe(window_text(view))),
        ("started", safe(view.started_at) or "not started"),
        ("ended", safe(f"{view.ended_at} {view.ended_why}".strip()) or "not yet"),
        ("owner", safe(roles["owner"])),
        ("abort owner", safe(roles["abort_owner"])),
        ("coordinator", safe(roles["coordinator"])),
        ("scribe", safe(roles["scribe"])),
        ("observers", safe(", ".join(roles["observers"]))),
        ("started although not ready", safe(view.override)),
    ]
    lines = [f"- {name}: {text}" for name, text in facts if text]
    return [safe(view.description), "", *lines] if view.description else lines


def _experiments(view: DayView) -> list[str]:
    lines = ["| experiment | verdict | service | outcome | recovery | objective | met |", "|" + "---|" * 7]
    for one in view.experiments:
        first = f"{one.number} {safe(one.name)}"
        if one.run is None:
            lines.append(f"| {first} | {safe(one.state)} {safe(one.why)} | | | | | |")
            continue
        lines += _run_lines(first, one.run)
    runs = [f"- {safe(one.name)}: run `{code(one.run.run)}`" for one in view.experiments if one.run]
    return [*lines, "", *runs] if runs else lines


def _run_lines(first: str, run: RunView) -> list[str]:
    verdict = f"{safe(run.verdict)}, revert {safe(run.reverted)}"
    if not run.services:
        return [f"| {first} | {verdict} | | | | | |"]
    return [
        f"| {first if not number else ''} | {verdict if not number else ''} | {safe(one.name)} | "
        f"{safe(one.outcome)} | {format_interval(one.recovery)} | {format_seconds(one.rto_s)} | "
        f"{format_met(one.met)} |"
        for number, one in enumerate(run.services)
    ]


def _hypotheses(view: DayView) -> list[str]:
    return [
        f"- **{one.result or 'not judged'}**: {safe(one.text)}"
        + (f" (within {safe(one.within)})" if one.within else "")
        + (f": {safe(one.note)}" if one.note else "")
        for one in view.hypotheses
    ]


def _findings(findings: Sequence[FindingView]) -> list[str]:
    if not findings:
        return []
    lines = ["| # | severity | finding | action | owner | re-test by | re-tested |", "|" + "---|" * 7]
    for one in findings:
        again = ", ".join(f"`{code(r.run.run)}` {safe(r.run.verdict)}" for r in one.retests)
        lines.append(
            f"| {one.number} | {safe(one.severity)} | {safe(one.text)} | {safe(one.action)} | "
            f"{safe(one.owner)} | {safe(one.retest)} | {again} |"
        )
    return lines


def _timeline(view: DayView) -> list[str]:
    return [
        f"- {offset_text(one.after_s) or one.at} {safe(one.author)}: {safe(one.kind)}"
        + (f": {safe(one.text)}" if one.text else "")
        for one in view.timeline
    ]


def _check(one: CheckView) -> str:
    told = f": {safe(one.detail)}" if one.detail else ""
    return f"- {check_mark(one.ok)} {safe(one.text)}{told}" + (f" ({safe(one.by)})" if one.by else "")
