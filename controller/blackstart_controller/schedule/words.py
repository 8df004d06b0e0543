"""What people write of a schedule, read into a `Spec`. Every error says what is allowed.

The words are what is stored: what they mean is never kept twice.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, TypedDict

from blackstart_controller.errors import UsageError
from blackstart_controller.schedule.cron import checked
from blackstart_controller.schedule.holiday import check_country
from blackstart_controller.schedule.model import Cron, Once, Random, Spec, Timing
from blackstart_controller.schedule.windows import parse_window
from blackstart_controller.schedule.zones import zone_of
from blackstart_controller.spec.duration import parse_duration

NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", re.ASCII)
DAY_S = 24 * 3600.0
MIN_GAP_S, MAX_MEAN_S = 60.0, 366 * DAY_S
_LONG = re.compile(r"(?:(\d{1,4})d)?(.*)", re.ASCII)


class Words(TypedDict, total=False):
    """One of `cron`, `at`, `mean`; the rest as the options of `schedule add`."""

    cron: str
    at: str
    mean: str
    min_gap: str
    zone: str
    windows: list[str]
    calendars: list[str]
    holidays: list[str]
    jitter: str
    missed: str
    overlap: str


def spec_of(words: Mapping[str, Any], seed: int) -> Spec:
    """What the words mean; UsageError for the first wrong one. Whether calendars exist is not known here."""
    zone_of(zone := str(words.get("zone", "")))
    for code in (holidays := tuple(words.get("holidays", ()))):
        check_country(code)
    return Spec(
        timing=_timing(words),
        zone=zone,
        windows=tuple(parse_window(text) for text in words.get("windows", ())),
        calendars=tuple(words.get("calendars", ())),
        holidays=holidays,
        jitter_s=_seconds("jitter", words.get("jitter") or "0s", at_most_s=DAY_S),
        within_s=_policy("missed", words.get("missed") or "skip", "within"),
        wait_s=_policy("overlap", words.get("overlap") or "skip", "wait"),
        seed=seed,
    )


def when_text(words: Mapping[str, Any]) -> str:
    """The timing in one line."""
    if "cron" in words:
        return str(words["cron"])
    if "at" in words:
        return f"once, {words['at']}"
    return f"random, every {words['mean']} on average, {words['min_gap']} apart"


def check_name(what: str, name: str) -> None:
    if NAME.fullmatch(name) is None:
        raise UsageError(
            f"{what} {name[:80]!r}: names are 1 to 63 of a-z, 0-9 and -, such as weekly-blackout"
        )


def _timing(words: Mapping[str, Any]) -> Timing:
    given = [name for name in ("cron", "at", "mean") if words.get(name)]
    if len(given) != 1:
        raise UsageError(
            "schedule: give one of a cron expression, one moment (at), or random with mean and gap"
        )
    if given == ["cron"]:
        return Cron(checked(words["cron"]))
    if given == ["at"]:
        return Once(_moment(words["at"]))
    mean_s = _seconds("mean", words["mean"], at_most_s=MAX_MEAN_S)
    gap_s = _seconds("min-gap", words.get("min_gap") or "", at_most_s=MAX_MEAN_S)
    if not MIN_GAP_S <= gap_s <= mean_s:
        raise UsageError(
            f"random: min-gap {words.get('min_gap')} must be 1m or more, and at most the mean {words['mean']}"
        )
    return Random(mean_s, gap_s)


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is not None or moment.microsecond:
        raise UsageError(
            f"at {text[:40]!r}: write a local time of the schedule's zone, such as 2026-12-01T10:00"
        )
    return moment


def _policy(option: str, text: str, word: str) -> float | None:
    """`skip` is None; `WORD:DURATION` the seconds."""
    if text == "skip":
        return None
    given, colon, duration = text.partition(":")
    if given != word or not colon:
        raise UsageError(f"{option} {text[:40]!r}: allowed are skip and {word}:DURATION, such as {word}:10m")
    return _seconds(option, duration, at_most_s=7 * DAY_S)


def _seconds(option: str, text: str, *, at_most_s: float) -> float:
    """Durations as everywhere, and days before them: 2d, 1d12h."""
    match = _LONG.fullmatch(text)
    days, rest = match.groups() if match else (None, text)
    try:
        seconds = int(days or 0) * DAY_S + (parse_duration(rest) / 1000 if rest or not days else 0.0)
    except ValueError as error:
        raise UsageError(f"{option} {text[:40]!r}: {error}; days are allowed here, as in 2d") from error
    if seconds > at_most_s:
        raise UsageError(f"{option} {text}: at most {at_most_s / DAY_S:g}d")
    return seconds
