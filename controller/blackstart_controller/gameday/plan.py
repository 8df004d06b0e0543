"""A game day as it is handed in: its experiments' texts, what a row holds of it, and what is odd about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import pairwise

from blackstart_controller.errors import InvalidDocument, UsageError
from blackstart_controller.gameday.checks import Planned
from blackstart_controller.gameday.document import GameDayDocument, load_gameday, window_of
from blackstart_controller.gameday.model import ExperimentText, GameDay
from blackstart_controller.gameday.moment import chosen_moment
from blackstart_controller.gameday.states import GameDayState
from blackstart_controller.plan.model import Plan
from blackstart_controller.runs.clock import iso
from blackstart_controller.spec.document import Document
from blackstart_controller.spec.load import load_experiment


def new_row(text: str, file: str, texts: Mapping[str, str], *, by: str, seed: int, now: datetime) -> GameDay:
    """The row of a day that is planned now. Raises InvalidDocument, also for what is wrong in an experiment.

    `texts` holds the text of every file that the document names.
    """
    document = load_gameday(text, file)
    start, end = window_of(document)
    if end <= now:
        raise UsageError(f"{file}: the window closed at {iso(end)}; plan one that is still to come")
    moment = chosen_moment(max(start, now), end, seed) if document.zero_notice else start
    return GameDay(
        id=f"{document.name}-{document.window.start:%Y-%m-%d}",
        name=document.name,
        title=document.title,
        document=text,
        file=file,
        experiments=_experiments(document, file, texts),
        state=GameDayState.PLANNED,
        revision=0,
        zero_notice=document.zero_notice,
        seed=seed,
        window_start=iso(start),
        window_end=iso(end),
        starts_at=iso(moment),
        planned_by=by,
        created=iso(now),
        changed=iso(now),
    )


def _experiments(
    document: GameDayDocument, file: str, texts: Mapping[str, str]
) -> tuple[ExperimentText, ...]:
    made, wrong = [], []
    for entry in document.experiments:
        named = entry.file or f"{file}#{entry.name}"
        text = texts.get(entry.file, "") if entry.file else entry.document or ""
        if entry.file and entry.file not in texts:
            raise UsageError(f"{file}: the text of {entry.file} is missing; send it in `experiments`")
        made.append(ExperimentText(entry.name, named, text, dict(entry.values), entry.hold))
        try:
            load_experiment(Document(text, named, entry.values))
        except InvalidDocument as error:
            wrong.append(str(error))
    if wrong:
        raise InvalidDocument("\n".join(wrong))
    return tuple(made)


def warnings(row: GameDay, planned: Sequence[Planned]) -> list[str]:
    """What people should know before the day: plans that fail now, and steps that do not rise."""
    found = [f"{one.name}: {one.why}" for one in planned if one.plan is None]
    found += [f"{one.name}: {reason}" for one in planned if one.plan for reason in one.plan.errors]
    sized = [(one.name, radius(one.plan)) for one in planned if one.plan]
    for (before, larger), (after, smaller) in pairwise(sized):
        if smaller < larger:
            found.append(
                f"{after} hits less ({_size(smaller)}) than {before} before it ({_size(larger)}): "
                "begin small, let the blast radius rise"
            )
    return found


def radius(plan: Plan) -> tuple[int, int]:
    """How many hosts are hit, and by how many orders: compared in this order."""
    hosts = {order.host for order in plan.orders}
    return len(hosts), len(plan.orders)


def _size(measured: tuple[int, int]) -> str:
    hosts, orders = measured
    return f"{hosts} host{'s' * (hosts != 1)}, {orders} order{'s' * (orders != 1)}"
