"""Every mistake in an experiment is told with its place, and with what is allowed there."""

from __future__ import annotations

import random
import time
from itertools import pairwise
from pathlib import Path

import pytest
from blackstart_controller.errors import InvalidDocument
from blackstart_controller.spec.document import Document
from blackstart_controller.spec.experiment import Experiment
from blackstart_controller.spec.faults.host import SiteBlackout
from blackstart_controller.spec.faults.network import Partition
from blackstart_controller.spec.load import load_experiment, read_document
from controller.documents import EXPERIMENT, Mistake, changed, read_mistakes

MISTAKES = read_mistakes("experiment")


def load(text: str) -> Experiment:
    return load_experiment(Document(text, "x.yaml"))


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.name)
def test_each_mistake_gives_one_error_at_its_place(mistake: Mistake) -> None:
    with pytest.raises(InvalidDocument) as caught:
        load(changed(EXPERIMENT, mistake.old, mistake.new))
    assert str(caught.value) == f"x.yaml:{mistake.expected}"
    assert caught.value.exit_code == 2


def test_a_good_document_becomes_a_frozen_experiment() -> None:
    experiment = load(EXPERIMENT)
    first, _, cut, *_ = experiment.steps
    assert isinstance(first, SiteBlackout)
    assert isinstance(cut, Partition)
    assert (experiment.name, experiment.seed, experiment.lease_ms) == ("pangyo-goes-dark", 7, 15_000)
    assert (first.site, first.hold_ms, cut.peers.site, cut.ports) == ("pangyo", 30_000, "busan", (6379,))
    assert experiment.services[1].objective.rto_ms == 10_000
    with pytest.raises(ValueError, match="frozen"):
        experiment.seed = 8  # type: ignore[misc]


def test_the_smallest_document_has_safe_defaults() -> None:
    text = "experiment: small\nsteps: [{fault: site.blackout, site: a, for: 1s}]\n"
    experiment = load(text)
    assert (experiment.mode, experiment.lease_ms, experiment.seed) == ("tethered", 15_000, 0)
    assert (experiment.baseline_ms, experiment.settle_ms, experiment.watch_ms) == (3_000, 2_000, 60_000)


def test_several_mistakes_are_listed_in_the_order_of_the_file() -> None:
    text = changed(changed(EXPERIMENT, "seed: 7", "seed: x"), "every: 100ms", "every: 100")
    with pytest.raises(InvalidDocument) as caught:
        load(changed(text, "tags: [site]", "tagz: [site]"))
    places = [line.split(": ")[0] for line in str(caught.value).splitlines()]
    assert places == ["x.yaml:4:1", "x.yaml:5:7", "x.yaml:47:12"]


def test_at_most_twenty_errors_are_listed() -> None:
    steps = "\n".join("  - {fault: site.blackout, site: A, for: 1s}" for _ in range(33))
    with pytest.raises(InvalidDocument) as caught:
        load(f"experiment: x\nsteps:\n{steps}\n")
    lines = str(caught.value).splitlines()
    assert len(lines) == 21
    assert lines[-1] == "... and 13 more"


BOMBS = {
    "a megabyte of text": "a: " + "x" * 1_000_000,
    "billion laughs": 'a: &a ["x","x"]\n'
    + "".join(f"{b}: &{b} [*{a},*{a}]\n" for a, b in pairwise("abcdefgh")),
    "a deep list": "[" * 100_000,
    "a deep mapping": "{a: " * 60_000,
    "deep block lists": "- " * 100_000,
    "a quarter megabyte of items": "[" + "a," * 130_000 + "]",
    "an unclosed quote": "'" + "''" * 130_000,
    "directives": "%a b\n" * 50_000,
    "documents": "---\n" * 60_000,
}


@pytest.mark.parametrize("text", BOMBS.values(), ids=BOMBS)
def test_a_bomb_is_refused_fast(text: str) -> None:
    started = time.perf_counter()
    with pytest.raises(InvalidDocument):
        load(text)
    assert time.perf_counter() - started < 3


def test_three_hundred_random_mutations_only_ever_give_invalid_document() -> None:
    chance = random.Random(20221015)
    alphabet = "{}[]:,-&*!|>'\"%@`#?\n\t \\0123456789abcxyz\x00é\u2028\ud800"
    for _ in range(300):
        text = list(EXPERIMENT)
        for _ in range(chance.randint(1, 12)):
            where = chance.randrange(len(text))
            match chance.randrange(3):
                case 0:
                    text[where] = chance.choice(alphabet)
                case 1:
                    text.insert(where, chance.choice(alphabet))
                case _:
                    del text[where : where + chance.randint(1, 40)]
        try:
            load("".join(text))
        except InvalidDocument as error:
            assert all(line.startswith(("x.yaml:", "... and ")) for line in str(error).splitlines())


def test_a_file_that_cannot_be_read_is_an_invalid_document(tmp_path: Path) -> None:
    with pytest.raises(InvalidDocument, match=r"absent.yaml:1:1: cannot be read: No such file"):
        read_document(tmp_path / "absent.yaml")
    with pytest.raises(InvalidDocument, match=r":1:1: cannot be read: Is a directory"):
        read_document(tmp_path)


def test_a_file_of_another_encoding_is_told_with_the_place(tmp_path: Path) -> None:
    path = tmp_path / "latin.yaml"
    path.write_bytes("experiment: a\nowner: J\xf6rg\n".encode("latin-1"))
    with pytest.raises(InvalidDocument, match=r"latin.yaml:2:9: not UTF-8 text: .*; save it as UTF-8"):
        read_document(path)


def test_a_huge_file_is_refused_without_being_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "huge.yaml"
    with path.open("wb") as file:
        file.truncate(1 << 40)  # sparse: a terabyte that takes no disk
    with pytest.raises(InvalidDocument, match="at most 131072 bytes"):
        read_document(path)
