"""Seeds over the controller's core and fake agents: never a fault without a lease, and at the end the truth.

A failing seed is printed; play it again with `history_of(SEED)`.
"""

from __future__ import annotations

import os

import pytest
from simulation.world import History, history_of
from support.virtual import run_virtual

SEEDS = int(os.environ.get("BLACKSTART_SEEDS", "200"))
DEEP_SEEDS = int(os.environ.get("BLACKSTART_DEEP_SEEDS", "5000"))
CHUNK = 50


def play(seeds: range) -> list[History]:
    return [run_virtual(history_of(seed)) for seed in seeds]


@pytest.mark.parametrize("first", range(0, SEEDS, CHUNK))
def test_no_history_leaves_a_fault_or_an_untrue_run(first: int) -> None:
    play(range(first, min(first + CHUNK, SEEDS)))


def test_one_seed_is_one_history() -> None:
    def told(history: History) -> tuple[object, ...]:
        assert history.row is not None
        return history.row.verdict, history.row.exit_code, history.row.reason, sorted(history.happened)

    assert [told(one) for one in play(range(5))] == [told(one) for one in play(range(5))]


def test_the_seeds_reach_what_they_are_for() -> None:
    histories = play(range(60))
    happened = set().union(*(history.happened for history in histories))
    assert {
        "controller killed",
        "stream lost",
        "agent killed",
        "halted",
        "revert stuck",
        "disk full",
        "late order",
        "stop condition tripped",
    } <= happened
    verdicts = {history.row.verdict for history in histories if history.row is not None}
    assert {"pass", "error", "halted"} <= verdicts


@pytest.mark.deep
@pytest.mark.parametrize("first", range(SEEDS, DEEP_SEEDS, CHUNK))
def test_no_history_of_many_leaves_a_fault_or_an_untrue_run(first: int) -> None:
    play(range(first, first + CHUNK))
