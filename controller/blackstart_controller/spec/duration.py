"""Durations as people write them: `200ms`, `10s`, `5m`, `1h`, `1m30s`. Kept as whole milliseconds."""

from __future__ import annotations

import re
from typing import Final

_MS: Final = {"h": 3_600_000, "m": 60_000, "s": 1_000, "ms": 1}
_PATTERN: Final = re.compile(r"(?:(\d{1,9})h)?(?:(\d{1,9})m(?!s))?(?:(\d{1,9})s)?(?:(\d{1,9})ms)?", re.ASCII)
PATTERN: Final = r"^(?=[0-9])([0-9]{1,9}h)?([0-9]{1,9}m(?!s))?([0-9]{1,9}s)?([0-9]{1,9}ms)?$"
EXAMPLES: Final = "200ms, 10s, 5m, 1h, 1m30s"


def parse_duration(text: str) -> int:
    """Return the milliseconds that `text` says, or raise ValueError with the fix.

    Whole numbers with units, largest unit first, each unit at most once.
    """
    match = _PATTERN.fullmatch(text)
    if not text or match is None:
        raise ValueError(f"{text!r} is no duration; {_fix(text)}")
    hours, minutes, seconds, milliseconds = (int(part or 0) for part in match.groups())
    return hours * _MS["h"] + minutes * _MS["m"] + seconds * _MS["s"] + milliseconds


def format_duration(ms: int) -> str:
    """Return the shortest text that `parse_duration` reads as `ms` (0 or more)."""
    if ms == 0:
        return "0s"
    parts = []
    for unit, size_ms in _MS.items():
        count, ms = divmod(ms, size_ms)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts)


def _fix(text: str) -> str:
    if re.fullmatch(r"\d{1,9}", text):
        return f"a unit is missing: write {text}s or {text}ms"
    fraction = re.fullmatch(r"(\d{0,9}\.\d{1,9})(h|m|s|ms)?", text)
    if fraction and (ms := round(float(fraction[1]) * _MS[fraction[2] or "s"])):
        return f"whole numbers only: write {format_duration(ms)}"
    return f"write it like {EXAMPLES}"
