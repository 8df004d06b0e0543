"""Steps to moments: what begins when after T0. Pure, and no host is known here."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from dataclasses import dataclass
from typing import TypeAlias

from blackstart_controller.plan.model import Checkpoint
from blackstart_controller.spec.amounts import Size
from blackstart_controller.spec.errors import dotted
from blackstart_controller.spec.experiment import Experiment
from blackstart_controller.spec.faults import Breakage
from blackstart_controller.spec.faults.base import Pick
from blackstart_controller.spec.faults.host import SiteBlackout
from blackstart_controller.spec.flow import (
    AnyStep,
    Growing,
    Parallel,
    Paused,
    Repeat,
    Rounds,
    Sequence,
    Wait,
    Waves,
)
from blackstart_controller.spec.selector import Selector
from blackstart_controller.spec.yaml_source import Path


@dataclass(frozen=True, slots=True)
class Picked:
    """The hosts that `on` selects, or some of them."""

    on: Selector
    pick: Pick | None


@dataclass(frozen=True, slots=True)
class Wave:
    """The first hosts of the selected ones in the order that the seed gives: of the largest of `sizes`.

    `first` is the number of the first wave's fault: all waves of a step share one order.
    """

    on: Selector
    sizes: tuple[Size, ...]
    first: int


Aim: TypeAlias = Picked | Wave | str  # a text is a site


@dataclass(frozen=True, slots=True)
class Timed:
    """One fault that begins `at_ms` after T0. `number` counts the faults; `path` is the document's."""

    number: int
    path: str
    fault: Breakage
    at_ms: int
    aim: Aim


@dataclass(frozen=True, slots=True)
class Flow:
    """Every fault and every checkpoint of an experiment. `end_ms`: when the last step has ended."""

    faults: tuple[Timed, ...]
    checkpoints: tuple[Checkpoint, ...]
    end_ms: int


def unroll(experiment: Experiment) -> Flow:
    """Return the moments of all steps. `check_experiment` has bounded how many there are."""
    unroller = _Unroller()
    walk = unroller.together(experiment.steps, ("steps",), 0)
    faults: list[Timed] = []
    checkpoints: list[Checkpoint] = []
    while True:
        try:
            moment = next(walk)
        except StopIteration as ended:
            in_time = sorted(checkpoints, key=lambda point: point.at_s)
            return Flow(tuple(faults), tuple(in_time), ended.value)
        if isinstance(moment, Timed):
            faults.append(moment)
        else:
            checkpoints.append(moment)


Walk: TypeAlias = Generator[Timed | Checkpoint, None, int]


class _Unroller:
    """Each walk yields what it places and returns when it has ended, in milliseconds after T0."""

    def __init__(self) -> None:
        self._placed = 0

    def together(self, steps: Iterable[AnyStep], path: Path, begin_ms: int) -> Walk:
        end_ms = begin_ms
        for number, step in enumerate(steps):
            end_ms = max(end_ms, (yield from self._step(step, (*path, number), begin_ms)))
        return end_ms

    def _step(self, step: AnyStep, path: Path, begin_ms: int) -> Walk:
        if isinstance(step, Wait):
            return (yield from self._pause(step.wait.length_ms, step.wait.steady_ms, path, begin_ms))
        begin_ms += step.at_ms
        match step:
            case Sequence():
                return (yield from self._sequence(step, (*path, "sequence"), begin_ms))
            case Parallel():
                return (yield from self.together(step.parallel, (*path, "parallel"), begin_ms))
            case Repeat():
                return (yield from self._rounds(step.repeat, (*path, "repeat"), begin_ms))
            case Waves():
                return (yield from self._waves(step.waves, (*path, "waves"), begin_ms))
            case SiteBlackout():
                return (yield from self._fault(step, path, begin_ms, step.site))
        aim = Picked(step.on, step.pick)
        return (yield from self._fault(step, path, begin_ms, aim))

    def _fault(self, fault: Breakage, path: Path, begin_ms: int, aim: Aim) -> Walk:
        yield Timed(self._placed, dotted(path), fault, begin_ms, aim)
        self._placed += 1
        return begin_ms + fault.hold_ms

    def _pause(self, length_ms: int, steady_ms: int | None, path: Path, begin_ms: int) -> Walk:
        end_ms = begin_ms + length_ms
        if steady_ms is not None:
            yield Checkpoint(at_s=end_ms / 1000, steady_s=steady_ms / 1000, path=dotted(path))
        return end_ms

    def _sequence(self, step: Sequence, path: Path, begin_ms: int) -> Walk:
        for number, inner in enumerate(step.sequence):
            begin_ms = yield from self._step(inner, (*path, number), begin_ms)
        return begin_ms

    def _between(self, paused: Paused, path: Path, begin_ms: int) -> Walk:
        return (yield from self._pause(paused.pause_ms, paused.steady_ms, (*path, "pause"), begin_ms))

    def _rounds(self, rounds: Rounds, path: Path, begin_ms: int) -> Walk:
        for number in range(rounds.times):
            if number:
                begin_ms = yield from self._between(rounds, path, begin_ms)
            begin_ms = yield from self.together(rounds.steps, (*path, "steps"), begin_ms)
        return begin_ms

    def _waves(self, waves: Growing, path: Path, begin_ms: int) -> Walk:
        first = self._placed
        for number in range(len(waves.sizes)):
            if number:
                begin_ms = yield from self._between(waves, path, begin_ms)
            aim = Wave(waves.on, waves.sizes[: number + 1], first)
            begin_ms = yield from self._fault(waves.fault, (*path, "sizes", number), begin_ms, aim)
        return begin_ms
