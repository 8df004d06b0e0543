"""Is a service slower to come back than it was? Says so only where the numbers can carry it.

The rule is an exact rank test: when nothing has changed, each of n + 1 passed runs is as likely as any
other to be the slowest, so that the newest one is it with a probability of 1 / (n + 1). Recoveries are
intervals, and the new one must lie wholly above all earlier ones, by a margin; both make a false alarm
rarer than that, never more frequent. Of a run that did not pass no chance is told: the earlier ones were
chosen for having passed. A censored recovery (longer than it was watched) has no upper end and is never
averaged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from blackstart_controller.gate.model import Comparison, Json, Span, Trend

FEWEST = 5  # with fewer, the newest run is the slowest by chance in one of five cases or more


def compare(report: Json, earlier: Sequence[Json], *, margin: float) -> tuple[Comparison, ...]:
    """One comparison per service of `report` with the reports of `earlier` runs of the same plan.

    `margin` is 0.2 for "slower by more than 20 %".
    """
    found = (_compare(service, earlier, margin) for service in report["services"])
    return tuple(found if report["verdict"] == "pass" else map(_without_chance, found))


def span_of(service: Json) -> Span | None:
    """The recovery in a service of report.json; None when nobody could see it."""
    recovery = service["recovery"]
    if recovery["low"] is None:
        return None
    return Span(float(recovery["low"]), None if recovery["censored"] else float(recovery["high"]))


def words(span: Span) -> str:
    """`4.26–4.36 s`, `> 60 s`."""
    if span.high_s is None:
        return f"> {span.low_s:.3g} s"
    return f"{span.low_s:.2f}–{span.high_s:.2f} s"


def _compare(service: Json, earlier: Sequence[Json], margin: float) -> Comparison:
    name, now = str(service["name"]), span_of(service)
    spans = [span for report in earlier if (span := _seen(report, name)) is not None]
    count = len(spans)
    slowest = max(spans, key=_top, default=None)
    if now is None:
        return _none(name, now, slowest, count, "its recovery was not seen in this run")
    if slowest is None or count < FEWEST:
        told = f"{count} earlier run{'' if count == 1 else 's'} cannot show a regression; it takes {FEWEST}"
        return _none(name, now, slowest, count, told)
    if slowest.high_s is None:
        told = f"an earlier recovery is only known to be {words(slowest)}: there is no upper end to exceed"
        return _none(name, now, slowest, count, told)
    limit_s = slowest.high_s * (1 + margin)
    against = f"{words(now)}, the slowest of {count} earlier runs {words(slowest)}, margin {margin:.0%}"
    if now.low_s > limit_s:
        return Comparison(name, Trend.REGRESSION, against, now, slowest, count, 1 / (count + 1))
    return Comparison(name, Trend.NO_REGRESSION, against, now, slowest, count)


def _without_chance(found: Comparison) -> Comparison:
    return replace(found, chance=None)


def _none(name: str, now: Span | None, slowest: Span | None, count: int, why: str) -> Comparison:
    return Comparison(name, Trend.NO_VERDICT, why, now, slowest, count)


def _seen(report: Json, name: str) -> Span | None:
    return next((span_of(one) for one in report["services"] if one["name"] == name), None)


def _top(span: Span) -> float:
    return float("inf") if span.high_s is None else span.high_s
