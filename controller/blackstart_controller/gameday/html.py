"""report.html of a game day: one file, no script, no network, in the style of a run's report."""

from __future__ import annotations

from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from blackstart_controller.gameday.formats import window_text
from blackstart_controller.gameday.view import DayView
from blackstart_controller.gameday.words import check_mark, offset_text
from blackstart_controller.report.format import OUTCOME_MARKS, format_interval, format_seconds
from blackstart_controller.report.html import VERDICTS, policy, style

STATES = {
    "planned": ("○", "Planned", "plain"),
    "running": ("▶", "Running", "halted"),
    "finished": ("✓", "Finished", "pass"),
    "aborted": ("■", "Aborted", "fail"),
    "missed": ("–", "Missed", "halted"),
}
RESULTS = {"held": ("✓", "yes"), "broken": ("✕", "no"), "inconclusive": ("?", ""), "": ("○", "")}


def text(view: DayView, base_url: str = "") -> str:
    """The whole page. `base_url`: of the controller, so that its runs can be followed from the page."""
    css = style() + _extra()
    mark, word, tone = STATES[view.state]
    return (
        _environment()
        .get_template("gameday.html.j2")
        .render(
            view=view,
            css=Markup(css),  # noqa: S704  (our own files, and the policy allows only their digest)
            csp=policy(css),
            base_url=base_url.rstrip("/"),
            state_mark=mark,
            state_word=word,
            state_tone=tone,
            window=window_text(view),
            verdicts=VERDICTS,
            marks=OUTCOME_MARKS,
            results=RESULTS,
        )
    )


@cache
def _environment() -> Environment:
    made = Environment(
        loader=PackageLoader("blackstart_controller.gameday"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["interval"] = format_interval
    made.filters["seconds"] = format_seconds
    made.filters["check"] = check_mark
    made.filters["offset"] = offset_text
    made.filters["clock"] = lambda at: at.replace("T", " ").removesuffix("Z")[:19] if at else ""
    return made


@cache
def _extra() -> str:
    source, _, _ = PackageLoader("blackstart_controller.gameday").get_source(_environment(), "gameday.css")
    return source
