"""The game day of docs/gamedays.md is one that `blackstart` takes, and its commands exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from blackstart_controller.cli.gameday import gameday
from blackstart_controller.gameday.document import load_gameday

PAGE = Path(__file__).resolve().parents[2] / "docs" / "gamedays.md"
TEXT = PAGE.read_text()
COMMANDS = sorted(set(re.findall(r"^\$ blackstart gameday (\S+)", TEXT, re.M)))


def test_the_document_is_valid() -> None:
    (block,) = re.findall(r"```yaml\n(.*?)```", TEXT, re.S)
    assert load_gameday(block, str(PAGE)).name == "winter-drill"


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_of_the_page_exists(name: str) -> None:
    assert name in gameday.commands
