"""How a run ends whose controller died under it. It is never continued: nobody watched meanwhile."""

from __future__ import annotations

from blackstart_controller.measure.verdict import Ending
from blackstart_controller.runs.context import Result
from blackstart_controller.runs.states import RunState
from blackstart_controller.store.model import RunRow

RESTARTED = "the controller was restarted while the run was under way"
NOT_BEGUN = "the controller was restarted before the run began; nothing was injected: start it again"


def interrupted(row: RunRow) -> Result:
    """A run that was being halted stays halted; any other has no result."""
    if row.halted_by:
        return Result(Ending.HALTED, row.reason or RESTARTED, halted_by=row.halted_by)
    begun = row.state not in (RunState.CREATED, RunState.AWAITING_APPROVAL, RunState.PLANNED)
    return Result(Ending.ERROR, RESTARTED if begun else NOT_BEGUN)
