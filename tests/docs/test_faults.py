"""docs/faults.md has a section for each kind: with its rung, and an example that `blackstart` takes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from blackstart_agent.faults import FAULTS
from blackstart_controller.spec.document import Document
from blackstart_controller.spec.load import load_experiment

PAGE = Path(__file__).resolve().parents[2] / "docs" / "faults.md"
SECTIONS = dict(re.findall(r"^## (\S+)\n(.*?)(?=^## |\Z)", PAGE.read_text(), re.S | re.M))
ONLY_IN_DOCUMENTS = {"site.blackout"}
HEAD = "experiment: page\n"


def test_every_kind_has_its_section_and_nothing_else_has() -> None:
    assert set(SECTIONS) == set(FAULTS) | ONLY_IN_DOCUMENTS


@pytest.mark.parametrize("kind", FAULTS)
def test_the_page_names_the_rung_that_the_kind_has(kind: str) -> None:
    assert re.findall(r"Rung: (\w+)", SECTIONS[kind]) == [FAULTS[kind].rung]


@pytest.mark.parametrize("kind", [*FAULTS, *ONLY_IN_DOCUMENTS])
def test_the_examples_of_a_kind_are_valid_and_show_it(kind: str) -> None:
    shown = re.findall(r"```yaml\n(.*?)```", SECTIONS[kind], re.S)
    assert shown
    for block in shown:
        loaded = load_experiment(Document(HEAD + block, str(PAGE)))
        assert kind in {step.fault for step in loaded.steps}  # type: ignore[union-attr]
