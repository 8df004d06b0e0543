"""A run's log in a person's words: what many hosts say alike becomes one line."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

Event = Mapping[str, Any]
PHASES = {
    "awaiting_approval": "waiting for approval: somebody else must agree",
    "planned": "planned",
    "arming": "arming: every target checks its policy and prepares",
    "baseline": "baseline: everything must be steady before anything is broken",
    "injecting": "injecting",
    "holding": "holding: every fault is in effect",
    "reverting": "reverting",
    "settling": "settling: waiting for the services",
    "halting": "halting: everything is reverted",
    "ended": "ended",
}
# In the log and in the report, but no news to somebody who watches: what follows from them is shown.
QUIET = frozenset(
    {
        "resolved",
        "arming",
        "armed",
        "armed_all",
        "arming_late",
        "armed_late",
        "injecting",
        "proved",
        "reverting",
    }
)
GROUPED = frozenset({"injected", "reverted", "disarmed", "refused", "unreachable"})
TELL_ALL = frozenset({"ended", "service_up", "service_down"})  # their sentences leave nothing out
NAMED = 4  # so many hosts are named, more are counted
LATE = re.compile(r"(-?\d+) us after T0")
Key = tuple[str, str, str]


class Story:
    """Tell it every event in order; it answers with what is to be shown now. `flush` brings the rest."""

    def __init__(self) -> None:
        self._groups: dict[Key, list[tuple[str, Event]]] = {}
        self._told: set[str] = set()

    def lines(self, mark: str, event: Event) -> list[str]:
        kind = str(event.get("type", "event"))
        if kind in QUIET:
            return []
        if kind in GROUPED and event.get("host"):
            key = (kind, _fault(event), "" if kind == "injected" else _detail(event))
            self._groups.setdefault(key, []).append((mark, event))
            return []
        return [*self.flush(), f"{mark} {self._sentence(event)}"]

    @property
    def waiting(self) -> bool:
        return bool(self._groups)

    def flush(self) -> list[str]:
        """A line for each group of hosts that said the same."""
        groups, self._groups = self._groups, {}
        return [f"{members[0][0]} {self._together(key, members)}" for key, members in groups.items()]

    def _together(self, key: Key, members: Sequence[tuple[str, Event]]) -> str:
        kind, fault, detail = key
        hosts = sorted({str(event["host"]) for _mark, event in members})
        if kind in ("refused", "unreachable"):
            self._told.add(detail)
            said = "unreachable" if kind == "unreachable" else "refuses" if len(hosts) == 1 else "refuse"
            return f"{who(hosts)} {said}: {detail}"
        if kind == "injected":
            detail = _spread([_detail(event) for _mark, event in members])
        known = any(one in detail or detail in one for one in self._told) if detail else True
        return f"{who(hosts)}: {fault} {kind}".replace(":  ", ": ") + ("" if known else f" ({detail})")

    def _sentence(self, event: Event) -> str:
        """What one event says; a reason that was told before is not told again."""
        reason = "" if event.get("type") in TELL_ALL else _detail(event)
        if reason and any(one in reason for one in self._told):
            reason = ""
        elif reason and event.get("type") == "state":
            self._told.add(reason)
        where = f"{event['host']}: " if event.get("host") else ""
        text = f"{where}{sentence(event)}"
        return f"{text}: {reason}" if reason and not text.endswith(reason) else text


def sentence(event: Event) -> str:
    """What happened, without where and why."""
    data = event.get("data") or {}
    kind = str(event.get("type", "event"))
    match kind:
        case "state":
            return PHASES.get(str(data.get("state")), str(data.get("state")))
        case "t0":
            return f"T0 is at {data.get('at', '')}"
        case "service_up" | "service_down":
            return f"service {data.get('service')} is {kind.removeprefix('service_')}"
        case "halt":
            return f"halted by {data.get('by')}"
        case "ended":
            return f"ended: {data.get('verdict', '')}".rstrip(": ")
        case _:
            return " ".join(filter(None, (_fault(event), kind.replace("_", " "))))


def who(hosts: Sequence[str]) -> str:
    """`a, b`; many hosts are a number and the first few."""
    if len(hosts) <= NAMED:
        return ", ".join(hosts)
    return f"{len(hosts)} hosts ({', '.join(hosts[:NAMED])} …)"


def _spread(details: Sequence[str]) -> str:
    """From the earliest to the latest of what each host said; any other text as it is."""
    late = [int(found[1]) for text in details if (found := LATE.fullmatch(text))]
    if len(late) != len(details) or not late:
        return "; ".join(dict.fromkeys(filter(None, details)))
    span = f"{min(late)}" if min(late) == max(late) else f"{min(late)} to {max(late)}"
    return f"{span} us after its moment"


def _fault(event: Event) -> str:
    return str((event.get("data") or {}).get("fault_kind") or "")


def _detail(event: Event) -> str:
    data = event.get("data") or {}
    listed = "; ".join(str(one) for one in data.get("reasons", ()))
    return str(listed or data.get("reason") or data.get("detail") or data.get("text") or "")
