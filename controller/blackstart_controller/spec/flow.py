"""Steps: faults, and what puts them in an order: sequence, parallel, wait, repeat, waves.

How long a step takes and how many steps it unrolls to are sums, known without unrolling anything.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Final, TypeAlias

from pydantic import BeforeValidator, Discriminator, Field, Tag

from blackstart_controller.spec.amounts import Bare, HostSize
from blackstart_controller.spec.errors import one_of
from blackstart_controller.spec.faults import FaultStep, OnHosts
from blackstart_controller.spec.faults.base import MAX_HOLD, Later
from blackstart_controller.spec.types import Between, HostSelector, Strict, Whole, invalid
from blackstart_controller.spec.yaml_source import Path, shown

MAX_STEPS: Final = 100
MAX_UNROLLED: Final = 1_000
FORMS: Final = ("fault", "sequence", "parallel", "wait", "repeat", "waves")

Pause = Annotated[int, Between("0s", MAX_HOLD)]
Steady = Annotated[int, Between("10ms", "1h")]


def _known_form(value: object) -> object:
    """A fault that forgot its `fault` is told so by the faults; everything else must say what it is."""
    if isinstance(value, dict) and not any(key in value for key in (*FORMS, "for", "on")):
        given = ", ".join(map(shown, list(value)[:5]))
        meant = one_of(FORMS, next(iter(value), ""))
        raise invalid(f"needs one of the keys that say what a step is; {meant}; got {given or 'none'}")
    return value


def _form(value: object) -> str:
    """Tags stand in brackets, which no key of a document needs: `errors.py` takes them out of the path."""
    keys = value if isinstance(value, dict) else type(value).model_fields if isinstance(value, Strict) else ()
    return f"<{next((form for form in FORMS if form in keys), 'fault')}>"


class Waiting(Strict):
    """Nothing happens `for` so long; with `steady`, its end is a checkpoint."""

    length_ms: Annotated[int, Between("10ms", MAX_HOLD)] = Field(alias="for")
    steady_ms: Steady | None = Field(default=None, alias="steady")


class Wait(Strict):
    wait: Annotated[Waiting, Bare("for")]


class Sequence(Later):
    """One after the other: each begins when the one before has ended."""

    sequence: tuple[Step, ...] = Field(min_length=1, max_length=MAX_STEPS)


class Parallel(Later):
    """All begin together; it ends with its longest."""

    parallel: tuple[Step, ...] = Field(min_length=1, max_length=MAX_STEPS)


class Paused(Strict):
    """Between two rounds: `pause` so long; with `steady`, its end is a checkpoint."""

    pause_ms: Pause = Field(default=0, alias="pause")
    steady_ms: Steady | None = Field(default=None, alias="steady")


class Rounds(Paused):
    """The list, whose steps begin together, `times` times one after the other."""

    times: Annotated[int, Whole(1, MAX_UNROLLED)]
    steps: tuple[Step, ...] = Field(min_length=1, max_length=MAX_STEPS)


class Repeat(Later):
    repeat: Rounds


class Growing(Paused):
    """The fault on ever more of the hosts that `on` selects: each wave holds the hosts of the one before."""

    on: HostSelector
    sizes: tuple[HostSize, ...] = Field(min_length=1, max_length=MAX_STEPS)
    fault: Annotated[OnHosts, Field(discriminator="fault")]


class Waves(Later):
    waves: Growing


Step: TypeAlias = Annotated[
    Annotated[Annotated[FaultStep, Field(discriminator="fault")], Tag("<fault>")]
    | Annotated[Sequence, Tag("<sequence>")]
    | Annotated[Parallel, Tag("<parallel>")]
    | Annotated[Wait, Tag("<wait>")]
    | Annotated[Repeat, Tag("<repeat>")]
    | Annotated[Waves, Tag("<waves>")],
    Discriminator(_form),
    BeforeValidator(_known_form),
]
AnyStep: TypeAlias = FaultStep | Sequence | Parallel | Wait | Repeat | Waves

for _recursive in (Sequence, Parallel, Rounds, Repeat):
    _recursive.model_rebuild()


def length_ms(step: AnyStep) -> int:
    """Return how long after its own neighbours began the step has ended."""
    match step:
        case Wait():
            return step.wait.length_ms
        case Sequence():
            return step.at_ms + sum(map(length_ms, step.sequence))
        case Parallel():
            return step.at_ms + max(map(length_ms, step.parallel))
        case Repeat():
            rounds = step.repeat
            once_ms = max(map(length_ms, rounds.steps))
            return step.at_ms + rounds.times * once_ms + (rounds.times - 1) * rounds.pause_ms
        case Waves():
            waves = step.waves
            number = len(waves.sizes)
            return step.at_ms + number * waves.fault.hold_ms + (number - 1) * waves.pause_ms
    return step.at_ms + step.hold_ms


def unrolled(step: AnyStep) -> int:
    """Return how many faults and waits the step becomes."""
    match step:
        case Repeat():
            return step.repeat.times * (1 + sum(map(unrolled, step.repeat.steps)))
        case Sequence() | Parallel():
            return sum(map(unrolled, inside(step)))
        case Waves():
            return 2 * len(step.waves.sizes)
    return 1


def inside(step: AnyStep) -> tuple[AnyStep, ...]:
    """Return the steps that stand in `step`."""
    match step:
        case Sequence():
            return step.sequence
        case Parallel():
            return step.parallel
        case Repeat():
            return step.repeat.steps
    return ()


def every_step(steps: tuple[AnyStep, ...], path: Path = ("steps",)) -> Iterator[tuple[Path, AnyStep]]:
    """Yield each step of a document once with its path, those that hold others before what they hold."""
    for number, step in enumerate(steps):
        here = (*path, number)
        yield here, step
        yield from every_step(inside(step), (*here, *key_of(step)))


def key_of(step: AnyStep) -> Path:
    """Return the keys under which the steps in `step` stand."""
    match step:
        case Sequence():
            return ("sequence",)
        case Parallel():
            return ("parallel",)
        case Repeat():
            return ("repeat", "steps")
    return ()
