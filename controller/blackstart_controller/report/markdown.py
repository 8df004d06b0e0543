"""report.md: for a pull request, a ticket or a wiki."""

from __future__ import annotations

from collections.abc import Sequence

from blackstart_controller.report.format import format_interval, format_met, format_seconds, format_share
from blackstart_controller.report.json_report import interval, recovery_interval
from blackstart_controller.report.method import METHOD
from blackstart_controller.report.stops import result
from blackstart_controller.report.view import ReportView, ServiceView

SPECIAL = str.maketrans({c: f"\\{c}" for c in "\\`*_{}[]()#+!|~"} | {"<": "&lt;", ">": "&gt;", "&": "&amp;"})


def text(view: ReportView) -> str:
    """The report as Markdown (GitHub's flavour). Every text from outside is escaped."""
    lines = [f"# {safe(view.experiment)}: {view.verdict.word}", "", safe(view.verdict.sentence), ""]
    if view.hypothesis:
        lines += [f"> {safe(view.hypothesis)}", ""]
    lines += [
        *_undo(view),
        *_services(view.services),
        "",
        *_facts(view),
        "",
        *_faults(view),
        "",
        *_stops(view),
    ]
    lines += ["## How it was measured", "", METHOD, "", "## Limits", ""]
    lines += [f"- {safe(limit)}" for limit in view.limits]
    return "\n".join(lines) + "\n"


def _services(services: Sequence[ServiceView]) -> list[str]:
    lines = ["| service | outcome | recovery | after revert | objective | met | available | waited for |"]
    lines.append("|---|---|---|---|---|---|---|---|")
    for service in services:
        one = service.recovery
        cells = (
            safe(one.service),
            str(one.outcome) + (f", relapsed {one.relapses} ×" if one.relapses else ""),
            format_interval(recovery_interval(one)),
            format_interval(interval(one.after_revert)),
            format_seconds(one.objective.rto_s),
            format_met(one.met),
            format_share(one.availability),
            safe(one.waited_for or "–"),
        )
        lines.append(f"| {' | '.join(cells)} |")
    notes = [
        f"- {safe(s.recovery.service)}: {safe(s.recovery.reason)}" for s in services if s.recovery.reason
    ]
    return [*lines, "", *notes] if notes else lines


def _facts(view: ReportView) -> list[str]:
    facts = [f"- run `{code(view.run_id)}`, seed {view.seed}, {safe(view.mode)}"]
    if view.t0_iso is not None and view.skew_ms is not None:
        skew = f"{view.skew_ms:.2f} ms ± {view.skew_error_ms or 0:.2f} ms"
        facts.append(f"- T0 {safe(view.t0_iso)}, skew {skew}")
    if view.halted_by:
        facts.append(f"- halted by {safe(view.halted_by)}")
    facts.append(f"- revert {'confirmed' if view.reverted else '**not confirmed**'}")
    return facts


def _faults(view: ReportView) -> list[str]:
    lines = ["| host | site | fault | injected | ended |", "|---|---|---|---|---|"]
    for span in view.hosts:
        began = (
            "not injected" if span.last_s is None else f"T0 + {span.last_s:.3f} s ± {span.error_ms:.1f} ms"
        )
        ended = "–" if span.end_s is None else f"T0 + {span.end_s:.3f} s"
        lines.append(f"| {safe(span.host)} | {safe(span.site)} | {safe(span.kind)} | {began} | {ended} |")
    return lines


def _stops(view: ReportView) -> list[str]:
    if not view.stops:
        return []
    injected = view.t0_iso is not None
    lines = ["| stop condition | trips when | result |", "|---|---|---|"]
    for stop in view.stops:
        name = f"{safe(stop.name)} ({stop.kind})"
        lines.append(f"| {name} | {safe(stop.condition)} | {safe(result(stop, injected=injected))} |")
    return [*lines, ""]


def _undo(view: ReportView) -> list[str]:
    if not view.unreverted:
        return []
    lines = ["**Not every fault is confirmed to be reverted. Undo by hand:**", ""]
    for span in view.unreverted:
        commands = span.manual or ("blackstart-agent revert --all",)
        lines += [f"- on {safe(span.host)}: `{code(command)}`" for command in commands]
    return [*lines, ""]


def safe(words: str) -> str:
    """Text from outside, in one line, with nothing in it that Markdown or HTML would obey."""
    return " ".join(words.split()).translate(SPECIAL)


def code(words: str) -> str:
    """Text from outside, as it may stand between backticks."""
    return " ".join(words.split()).replace("`", "'")
