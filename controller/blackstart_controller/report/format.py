"""Numbers as people read them. Bounds are rounded outwards, so that what is printed still contains the
truth.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

OUTCOME_MARKS = {"unaffected": "●", "failed over": "↷", "came back": "↩", "not back": "✕", "unknown": "?"}


def format_interval(interval: Mapping[str, Any] | None) -> str:
    """`4.31 s (4.26–4.36)`, `> 300 s` when censored, `under 0.12 s` when none was seen, else `–`.

    Takes an interval as report.json has it: seconds, low, high, censored.
    """
    if interval is None or interval.get("low") is None:
        return "–"
    if interval["censored"]:
        return f"> {_down(float(interval['low']), _digits(float(interval['low'])) - 1)} s"
    low, high = float(interval["low"]), float(interval["high"])
    digits = _digits(high)
    if interval["seconds"] is None:
        return f"under {_up(high, digits)} s"
    seconds = float(interval["seconds"])
    return f"{seconds:.{digits}f} s ({_down(low, digits)}–{_up(high, digits)})"


def format_seconds(seconds: float | None) -> str:
    """`10 s`, `0.5 s`, `5 min`, `–` for None."""
    if seconds is None:
        return "–"
    if seconds >= 120 and seconds % 60 == 0:
        return f"{seconds / 60:g} min"
    return f"{seconds:g} s"


def format_moment(seconds: float, digits: int = 3) -> str:
    """A moment relative to T0 in seconds, with a real minus sign."""
    return f"{seconds:.{digits}f}".replace("-", "−")


def format_share(share: float | None) -> str:
    """A share as percent; never 100 % unless it is."""
    if share is None:
        return "–"
    percent = math.floor(share * 1000) / 10
    return f"{percent:g} %"


def format_met(met: bool | None) -> str:
    return {True: "yes", False: "no", None: "–"}[met]


def _digits(value: float) -> int:
    """Three decimals below a tenth of a second, two below 100 s, then one."""
    return 3 if value < 0.1 else 2 if value < 100 else 1


def _down(value: float, digits: int) -> str:
    digits = max(0, digits)
    return f"{math.floor(round(value * 10**digits, 6)) / 10**digits:.{digits}f}"


def _up(value: float, digits: int) -> str:
    return f"{math.ceil(round(value * 10**digits, 6)) / 10**digits:.{digits}f}"
