"""The summary at the end of a run, plain text, from report.json alone: the command line has nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from blackstart_controller.report.format import (
    format_interval,
    format_met,
    format_seconds,
)

HEADINGS = ("SERVICE", "OUTCOME", "RECOVERY", "AFTER REVERT", "OBJECTIVE", "MET", "WAITED FOR")


def summary_lines(report: Mapping[str, Any]) -> list[str]:
    """Verdict, sentence and one row per service. Control characters in names are shown, not obeyed."""
    rows = [HEADINGS, *(_row(service) for service in report["services"])]
    lines = [f"{report['verdict'].upper()}  {report.get('sentence', '')}".rstrip(), ""]
    lines += _table(rows)
    notes = [f"  {one['name']}: {one['reason']}" for one in report["services"] if one["reason"]]
    notes += [
        f"  {one['name']}: relapsed {one['relapses']} ×" for one in report["services"] if one["relapses"]
    ]
    lines += ["", *notes] if notes else []
    lines += ["", _injection(report["injection"])]
    if report["reverted"] != "confirmed":
        lines += ["", "REVERT NOT CONFIRMED. Undo by hand:", *_undo(report.get("undo", ()))]
    return [_harmless(line) for line in lines]


def _notes(service: Mapping[str, Any]) -> list[str]:
    relapsed = f"relapsed {service['relapses']} ×" if service["relapses"] else ""
    return [f"  {service['name']}: {text}" for text in (relapsed, service.get("reason")) if text]


def _row(service: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        service["name"],
        service["outcome"],
        format_interval(service["recovery"]),
        format_interval(service["after_revert"]),
        format_seconds(service["objective"]["rto_s"]),
        format_met(service["met"]),
        service["waited_for"] or "–",
    )


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]


def _injection(injection: Mapping[str, Any]) -> str:
    if injection["t0"] is None:
        return "Nothing was injected."
    hosts = injection["hosts"]
    skew = "" if injection["skew_ms"] is None else f", skew {injection['skew_ms']:.2f} ms"
    error = "" if injection.get("skew_error_ms") is None else f" ± {injection['skew_error_ms']:.2f} ms"
    return f"T0 {injection['t0']}, {len(hosts)} host{'s' if len(hosts) != 1 else ''}{skew}{error}"


def _undo(undo: Sequence[Mapping[str, Any]]) -> list[str]:
    return [
        f"  {one['host']}: {command}"
        for one in undo
        for command in (one["commands"] or ["blackstart-agent revert --all"])
    ]


def _harmless(line: str) -> str:
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in line)
