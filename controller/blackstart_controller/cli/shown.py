"""A run as text: what it is, what it hit, and how that stands, for `run show` and `run list`."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from blackstart_controller.cli.output import columns, harmless
from blackstart_controller.errors import NotFound

if TYPE_CHECKING:
    from blackstart_controller.cli.client import Client  # heavy: for whoever asks, not for `--help`

Json = Mapping[str, Any]
FIELDS = {
    "id": "run",
    "experiment": "experiment",
    "state": "state",
    "waits_for": "waits for",
    "verdict": "verdict",
    "reverted": "revert",
    "exit_code": "exit code",
    "trigger": "started by",
    "operator": "operator",
    "approved_by": "approved by",
    "halted_by": "halted by",
    "reason": "reason",
    "created": "created",
    "ended": "ended",
    "plan_hash": "plan",
}
LIST = ("id", "experiment", "trigger", "state", "verdict", "reverted", "created")
LEFT_OUT = (
    "created",
    "trigger",
    "experiment",
    "reverted",
    "verdict",
)  # in this order, on a terminal that is too narrow
WIDE = 10_000  # not a terminal: nothing is left out


def report_of(client: Client, found: Json) -> Json | None:
    """The report of a run that has ended, where its faults and services stand; None when there is none."""
    if found.get("live"):
        return None
    try:
        report: Json = client.get("v1", "runs", str(found["id"]), "report.json")
    except NotFound:
        return None
    return report


def show_text(found: Json, report: Json | None) -> str:
    """`found` is the API's answer; `report` fills in for a run that does not live any more."""
    width = max(map(len, FIELDS.values()))
    head = [
        f"{label.ljust(width)}  {harmless(found[key])}"
        for key, label in FIELDS.items()
        if found.get(key) not in (None, "")
    ]
    live = found.get("live") or {}
    orders = [_order(order) for order in live.get("orders", ())] or _faults(report)
    services = [(name, "up" if up else "down") for name, up in live.get("services", {}).items()]
    services = services or [(one["name"], one["outcome"]) for one in (report or {}).get("services", ())]
    tables = [
        *_table(("HOST", "FAULT", "STATE", "AT", "ORDER"), orders),
        *_table(("SERVICE", "STATE"), services),
        *_table(("STOP CONDITION", "STATE", "READING"), [_stop(stop) for stop in live.get("stops", ())]),
        *_unconfirmed(found, report),
    ]
    return "\n".join([*head, *tables])


def list_text(runs: Sequence[Json], width: int | None = None) -> str:
    """One line for each run; the least important columns are left out where `width` is too small."""
    limit = shutil.get_terminal_size((WIDE, 24)).columns if width is None else width
    text = ""
    for count in range(len(LEFT_OUT) + 1):
        keys = [key for key in LIST if key not in LEFT_OUT[:count]]
        header = ["RUN" if key == "id" else key.upper() for key in keys]
        text = columns(header, [[_cell(run.get(key)) for key in keys] for run in runs])
        if max(map(len, text.splitlines())) <= limit:
            break
    return text


def _order(order: Json) -> tuple[object, ...]:
    gone = order.get("gone") and order["state"] not in ("planned", "refused", "disarmed", "reverted")
    at_s = order.get("at_s")
    when = "" if at_s is None else f"T0+{at_s:g}s for {order.get('hold_s') or 0:g}s"
    return order["host"], order["kind"], "reverted" if gone else order["state"], when, order["id"]


def _faults(report: Json | None) -> list[tuple[object, ...]]:
    """The same of a report: whether each fault took effect, and whether its end was proved."""
    faults = (report or {}).get("injection", {}).get("faults", ())
    return [(one["host"], one["kind"], _ended(one), _span(one), one.get("order")) for one in faults]


def _ended(fault: Json) -> str:
    if fault.get("last_s") is None:
        return "not injected"
    return "unconfirmed" if fault.get("end_s") is None else "reverted"


def _span(fault: Json) -> str:
    if fault.get("first_s") is None or fault.get("end_s") is None:
        return ""
    return f"T0+{fault['first_s']:.1f}s to T0+{fault['end_s']:.1f}s"


def _stop(stop: Json) -> tuple[object, ...]:
    return stop.get("name"), "tripped" if stop.get("tripped") else "ok", stop.get("reading")


def _unconfirmed(found: Json, report: Json | None) -> list[str]:
    """What to do by hand where the proof is missing."""
    undo = (report or {}).get("undo", ())
    if not undo or found.get("reverted") == "confirmed":
        return []
    commands = [
        f"  {one['host']}: {harmless(command)}"
        for one in undo
        for command in (one["commands"] or ["blackstart-agent revert --all"])
    ]
    return ["", "REVERT NOT CONFIRMED. Undo by hand:", *commands]


def _table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    cells = [[_cell(cell) for cell in row] for row in rows]
    return ["", columns(header, cells)] if cells else []


def _cell(value: object) -> str:
    return "" if value is None else harmless(value)
