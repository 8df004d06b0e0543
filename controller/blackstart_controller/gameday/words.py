"""Marks and moments of a game day in words. Loads nothing: the command line uses it too."""

from __future__ import annotations


def check_mark(ok: bool | None) -> str:
    return {True: "✓", False: "✕", None: "○"}[ok]


def offset_text(after_s: float | None) -> str:
    """`T+00:12:05`, `T−00:01:00` before the start, "" when there was none."""
    if after_s is None:
        return ""
    seconds = round(abs(after_s))
    sign = "−" if after_s < 0 and seconds else "+"
    return f"T{sign}{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
