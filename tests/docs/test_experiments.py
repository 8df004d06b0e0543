"""Every document of docs/experiments.md is one that `blackstart` takes."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
from blackstart_controller.spec.document import Document
from blackstart_controller.spec.load import load_experiment
from ruamel.yaml import YAML

PAGE = Path(__file__).resolve().parents[2] / "docs" / "experiments.md"
BLOCKS = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), re.S)
REST = """
experiment: page
steps:
  - {fault: site.blackout, site: pangyo, for: 10s}
services:
  - {name: messenger, members: "role=m", probes: [{tcp: {address: "m1:80"}}]}
"""


def test_the_page_has_its_documents() -> None:
    assert len(BLOCKS) >= 4


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_what_the_page_shows_is_valid(number: int) -> None:
    yaml = YAML()
    shown = yaml.load(BLOCKS[number])
    whole = shown if "experiment" in shown else {**yaml.load(REST), **shown}
    text = io.StringIO()
    yaml.dump(whole, text)
    load_experiment(Document(text.getvalue(), str(PAGE)))
