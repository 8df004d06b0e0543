"""Labs for tests: names of their own, and nothing left of them however a test ends."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from blackstart_lab import api, errors
from blackstart_lab.requirements import check_machine
from blackstart_lab.state import LabState

_numbers = itertools.count(1)


@dataclass
class Labs:
    """Writes lab files and brings them up; `NAME` in a text stands for the lab's own name."""

    directory: Path
    names: list[str] = field(default_factory=list)

    def write(self, text: str) -> Path:
        name = f"t{os.getpid()}-{next(_numbers)}"
        self.names.append(name)
        path = self.directory / f"{name}.yaml"
        path.write_text(text.replace("NAME", name))
        return path

    def up(self, text: str) -> LabState:
        return api.up(self.write(text))

    def sh(self, state: LabState, host: str, script: str) -> str:
        """What the script wrote in the host; the test fails when it fails."""
        done = api.run(state.name, host, ["sh", "-c", script], timeout_s=60)
        assert done.returncode == 0, f"{script}: {done.returncode}: {done.stdout}{done.stderr}"
        return done.stdout


@pytest.fixture
def labs(tmp_path: Path) -> Iterator[Labs]:
    try:
        check_machine()
    except errors.CannotRun as error:
        pytest.skip(f"no lab here: {error}")
    made = Labs(tmp_path)
    yield made
    for name in made.names:
        api.down(name)


def eventually(met: Callable[[], bool], *, within_s: float = 10.0) -> None:
    """Return as soon as `met` holds; fail when it does not within `within_s`."""
    deadline = time.monotonic() + within_s
    while not met():
        assert time.monotonic() < deadline, f"not met within {within_s} s"
        time.sleep(0.05)
