"""What many tests of the command line stand on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fakecontroller import Fake, fake_controller


@pytest.fixture
def fake(tmp_path: Path) -> Iterator[Fake]:
    with fake_controller(tmp_path) as found:
        yield found
