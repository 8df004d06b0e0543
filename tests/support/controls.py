"""Control over a real database and a real lever file, for tests that wire a controller themselves."""

from __future__ import annotations

from pathlib import Path

from blackstart_controller.control.admission import Admissions
from blackstart_controller.control.lever import Lever
from blackstart_controller.control.leverfile import LeverFile
from blackstart_controller.control.service import Control
from blackstart_controller.notify.ports import Nobody
from blackstart_controller.runs.clock import Clock
from blackstart_controller.runs.service import Runs
from blackstart_controller.security.operators import Operators
from blackstart_controller.security.tokens import Tokens
from blackstart_controller.store.control import SqlControl
from blackstart_controller.store.sqlite import SqliteStore


async def open_admissions(folder: Path, store: SqliteStore, clock: Clock) -> tuple[Lever, Admissions]:
    """Close the lever in the end."""
    kept = SqlControl(store)
    lever = await Lever.open(LeverFile(folder / "lever"), kept, clock, Nobody(), retry_s=0.05)
    return lever, Admissions(kept, lever, clock)


async def open_control(lever: Lever, store: SqliteStore, tokens: Tokens, runs: Runs, clock: Clock) -> Control:
    lever.attach(runs.halt_all)
    operators = Operators(tokens)
    await operators.load()
    return Control(operators, lever, SqlControl(store), tokens, runs, clock)
