"""What a gate found: files, their attempts, and how each service compares with earlier runs. Frozen data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeAlias

from blackstart_controller.spec.document import Document

Json: TypeAlias = Mapping[str, Any]

PASSED, MISSED, INVALID, NOT_STEADY, HALTED, UNCONFIRMED, TROUBLE, REFUSED, INTERRUPTED = (
    0,
    1,
    2,
    3,
    4,
    5,
    6,
    7,
    130,
)
# The first of these that any attempt had is the gate's. What was not tested stands before what was tested and
# missed: who tolerates a 1 must not thereby tolerate a stage that tested nothing.
ORDER = (UNCONFIRMED, INTERRUPTED, HALTED, TROUBLE, REFUSED, INVALID, NOT_STEADY, MISSED, PASSED)
WORDS = {
    PASSED: "passed",
    MISSED: "missed",
    INVALID: "invalid",
    NOT_STEADY: "not steady",
    HALTED: "halted",
    UNCONFIRMED: "revert not confirmed",
    TROUBLE: "could not be run",
    REFUSED: "refused",
    INTERRUPTED: "interrupted",
}
LAST = frozenset({UNCONFIRMED, INTERRUPTED, HALTED})  # somebody or something said stop: nothing more begins
RETRIED = frozenset({MISSED, NOT_STEADY, TROUBLE})


def worst(codes: Iterable[int]) -> int:
    """The exit code that beats the others; 0 of none, and a code that is not ours counts as 6."""
    known = {code if code in ORDER else TROUBLE for code in codes}
    return next((code for code in ORDER if code in known), PASSED)


@dataclass(frozen=True, slots=True)
class Span:
    """A recovery of `low_s` to `high_s` seconds; None: longer than `low_s`, and nobody knows how much."""

    low_s: float
    high_s: float | None


class Trend(StrEnum):
    REGRESSION = "regression"
    NO_REGRESSION = "no regression"
    NO_VERDICT = "no verdict"


@dataclass(frozen=True, slots=True)
class Comparison:
    """One service's recovery against earlier passed runs of the same plan.

    `chance`: so often, at most, is this called a regression when nothing has changed; None: not known.
    """

    service: str
    trend: Trend
    sentence: str
    now: Span | None
    slowest: Span | None
    runs: int
    chance: float | None = None

    @property
    def text(self) -> str:
        by_chance = f"; by chance at most once in {round(1 / self.chance)} times" if self.chance else ""
        return f"{self.trend}: {self.sentence}{by_chance}"


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try of a file. `run` is as the API shows it; None: none was started, and `reason` says why."""

    number: int
    exit_code: int
    run: Json | None = None
    report: Json | None = None
    reason: str = ""
    comparisons: tuple[Comparison, ...] = ()

    @property
    def run_id(self) -> str:
        return str(self.run["id"]) if self.run else ""


@dataclass(frozen=True, slots=True)
class Gated:
    """One file, and every attempt at it. `skipped` says why there is none, or why its result counts for
    nothing.
    """

    document: Document
    experiment: str
    attempts: tuple[Attempt, ...] = ()
    skipped: str = ""

    @property
    def exit_code(self) -> int:
        """The worst of all attempts: a retry tells more, it never hides a failure."""
        return PASSED if self.skipped else worst(attempt.exit_code for attempt in self.attempts)

    @property
    def flaky(self) -> bool:
        codes = {attempt.exit_code for attempt in self.attempts}
        return PASSED in codes and len(codes) > 1

    @property
    def regressions(self) -> tuple[Comparison, ...]:
        return tuple(
            one for attempt in self.attempts for one in attempt.comparisons if one.trend is Trend.REGRESSION
        )

    @property
    def word(self) -> str:
        if self.skipped or not self.attempts:
            return "skipped" if self.skipped else "not run"
        return ("flaky, " if self.flaky else "") + WORDS[self.exit_code]


@dataclass(frozen=True, slots=True)
class Gate:
    """The whole stage. `trouble`: what kept it from running at all, with the exit code `trouble_code`."""

    files: tuple[Gated, ...]
    fail_on_regression: bool = False
    trouble: str = ""
    trouble_code: int = PASSED

    @property
    def exit_code(self) -> int:
        codes = [one.exit_code for one in self.files]
        if self.fail_on_regression and any(one.regressions for one in self.files):
            codes.append(MISSED)
        return worst([*codes, self.trouble_code])
