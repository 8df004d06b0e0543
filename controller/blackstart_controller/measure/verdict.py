"""The run's one word, and the exit code that a pipeline sees."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from blackstart_controller.measure.model import Outcome, Recovery


class Ending(StrEnum):
    """How the run itself ended, whatever the services did."""

    COMPLETED = "completed"
    HALTED = "halted"
    NOT_STEADY = "not_steady"
    ERROR = "error"  # could not arm, could not inject everywhere, lost its controller


class Word(StrEnum):
    PASS = "pass"  # noqa: S105  (a verdict, not a password)
    FAIL = "fail"
    HALTED = "halted"
    NOT_STEADY = "not_steady"
    ERROR = "error"


EXIT_CODES = {Word.PASS: 0, Word.FAIL: 1, Word.NOT_STEADY: 3, Word.HALTED: 4, Word.ERROR: 6}
EXIT_UNREVERTED = 5  # beats all others


@dataclass(frozen=True, slots=True)
class Verdict:
    word: Word
    exit_code: int
    sentence: str  # for a person; ends with a full stop


def decide(ending: Ending, recoveries: Sequence[Recovery], *, reverted: bool, why: str = "") -> Verdict:
    """The verdict of a run. `why` is the reason of an ending that is not `completed`.

    A completed run passes when every objective is proved to be met and every service is back. A service with
    an objective that nobody could see fails it: what cannot be read counts as tripped.
    """
    word, sentence = _judge(ending, recoveries, why)
    if reverted:
        return Verdict(word, EXIT_CODES[word], sentence)
    return Verdict(word, EXIT_UNREVERTED, f"Not every fault is confirmed to be reverted. {sentence}")


def _judge(ending: Ending, recoveries: Sequence[Recovery], why: str) -> tuple[Word, str]:
    because = f": {why}" if why else ""
    match ending:
        case Ending.HALTED:
            return Word.HALTED, f"The run was halted{because}."
        case Ending.NOT_STEADY:
            return Word.NOT_STEADY, f"The system was not steady before, nothing was injected{because}."
        case Ending.ERROR:
            return Word.ERROR, f"The run could not be carried out{because}."
        case Ending.COMPLETED:
            return _completed(recoveries)


def _completed(recoveries: Sequence[Recovery]) -> tuple[Word, str]:
    if recoveries and all(one.outcome is Outcome.UNKNOWN for one in recoveries):
        return Word.ERROR, "Nothing could be measured: no service was seen well enough to be judged."
    wrong = [text for one in recoveries if (text := _fault_of(one))]
    if wrong:
        return Word.FAIL, f"The hypothesis is broken: {'; '.join(wrong)}."
    return Word.PASS, f"The hypothesis held: {_praise(recoveries)}."


def _fault_of(one: Recovery) -> str:
    if one.outcome is Outcome.NOT_BACK:
        return f"{one.service} is not back"
    if one.met is False:
        return f"{one.service} missed its objective"
    return f"{one.service} could not be judged" if _unjudged(one) else ""


def _unjudged(one: Recovery) -> bool:
    return one.met is None and one.objective.rto_s is not None


_SEEN = {
    Outcome.UNAFFECTED: "unaffected",
    Outcome.FAILED_OVER: "failed over while the fault held",
    Outcome.CAME_BACK: "came back only after it ended",
    Outcome.UNKNOWN: "could not be judged",
}


def _praise(recoveries: Sequence[Recovery]) -> str:
    judged = [one for one in recoveries if one.met is not None]
    objectives = f"{len(judged)} of {len(judged)} objectives met" if judged else "no objective was set"
    counts = Counter(one.outcome for one in recoveries)
    seen = [f"{counts[outcome]} {words}" for outcome, words in _SEEN.items() if counts[outcome]]
    return "; ".join(filter(None, (objectives, ", ".join(seen))))
