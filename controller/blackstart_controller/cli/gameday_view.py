"""A game day for a person at a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from blackstart_controller.cli.output import columns
from blackstart_controller.gameday.words import check_mark, offset_text

Json = Mapping[str, Any]


def day_lines(day: Json) -> list[str]:
    """The whole day."""
    parts = [
        agenda_lines(day),
        checklist_lines(day),
        _hypotheses(day["hypotheses"]),
        _findings(day),
        _timeline(day["timeline"]),
    ]
    return [line for part in parts for line in (*part, "")][:-1]


def agenda_lines(day: Json, plans: Sequence[Json] = ()) -> list[str]:
    """When, who, and what in which order. `plans`: how many hosts each experiment hits as things are now."""
    window, roles = day["window"], day["roles"]
    lines = [
        f"{day['id']}  {day['state']}",
        day["title"],
        f"window       {window['start']} to {window['end']} {window['zone']}",
        *([f"starts       {day['starts_at'] or 'without notice'}"] if day["zero_notice"] else []),
        f"owner        {roles['owner']}",
        f"abort owner  {roles['abort_owner']}",
        "",
    ]
    hosts = {plan["experiment"]: plan["hosts"] for plan in plans}
    header = ("", "EXPERIMENT", "HOLD", *(["HOSTS"] if plans else []), "STATE", "VERDICT", "RUN")
    rows = [
        (
            one["number"],
            one["name"],
            "hold" if one["hold"] else "follows",
            *([_count(hosts.get(one["name"]))] if plans else []),
            one["state"],
            (one["run"] or {}).get("verdict"),
            (one["run"] or {}).get("run"),
        )
        for one in day["experiments"]
    ]
    return [*lines, *columns(header, rows).splitlines()]


def checklist_lines(day: Json) -> list[str]:
    if not day["checklist"]:
        return ["no checklist"]
    return [
        f"{check_mark(one['ok'])} {one['number']:>2}  {one['text']}"
        + (f": {one['detail']}" if one["detail"] else "")
        + (f"  ({one['by']})" if one["by"] else "")
        for one in day["checklist"]
    ]


def _count(hosts: int | None) -> str:
    return "?" if hosts is None else str(hosts)


def _hypotheses(hypotheses: Sequence[Json]) -> list[str]:
    return [
        f"hypothesis {one['number']}  {one['result'] or 'not judged'}: {one['text']}"
        + (f"; {one['note']}" if one["note"] else "")
        for one in hypotheses
    ] or ["no hypotheses"]


def _findings(day: Json) -> list[str]:
    if not day["findings"]:
        return [day["findings_text"]]
    header = ("FINDING", "SEVERITY", "OWNER", "RE-TEST", "RE-TESTED", "WHAT")
    rows = [
        (
            one["number"],
            one["severity"],
            one["owner"],
            one["retest"],
            ", ".join(again["run"]["verdict"] for again in one["retests"]),
            one["text"],
        )
        for one in day["findings"]
    ]
    return columns(header, rows).splitlines()


def _timeline(timeline: Sequence[Json]) -> list[str]:
    return [
        f"{one['at'][:19].replace('T', ' ')}  {offset_text(one['after_s']):>10}  "
        f"{one['author']}: {one['kind']}" + (f": {one['text']}" if one["text"] else "")
        for one in timeline
    ]
