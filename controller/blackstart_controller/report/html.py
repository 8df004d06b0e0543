"""report.html: one file, no script, no network. Every text from outside is escaped by the template engine."""

from __future__ import annotations

import base64
import hashlib
from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from blackstart_controller.report.format import (
    OUTCOME_MARKS,
    format_interval,
    format_met,
    format_moment,
    format_seconds,
    format_share,
)
from blackstart_controller.report.json_report import interval, recovery_interval
from blackstart_controller.report.method import METHOD
from blackstart_controller.report.stops import result
from blackstart_controller.report.svg import timeline
from blackstart_controller.report.view import ReportView

LOG_LINES = 500  # shown on the page; report.json has them all

VERDICTS = {
    "pass": ("✓", "Passed"),
    "fail": ("✕", "Failed"),
    "halted": ("■", "Halted"),
    "not_steady": ("≈", "Not steady"),
    "error": ("!", "Error"),
}


def text(view: ReportView) -> str:
    """The whole page."""
    css = style()
    mark, word = VERDICTS[str(view.verdict.word)]
    return (
        _environment()
        .get_template("report.html.j2")
        .render(
            view=view,
            css=Markup(css),  # noqa: S704  (our own file, and the policy below allows only its digest)
            csp=policy(css),
            picture=Markup(timeline(view)),  # noqa: S704  (svg.py escapes every text it draws)
            verdict_mark=mark,
            verdict_word=word,
            marks=OUTCOME_MARKS,
            method=METHOD,
            stop_result=result,
            log_lines=LOG_LINES,
        )
    )


@cache
def _environment() -> Environment:
    made = Environment(
        loader=PackageLoader("blackstart_controller.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["interval"] = lambda value: format_interval(interval(value))
    made.filters["recovery"] = lambda one: format_interval(recovery_interval(one))
    made.filters["seconds"] = format_seconds
    made.filters["share"] = format_share
    made.filters["met"] = format_met
    made.filters["moment"] = format_moment
    return made


def policy(css: str) -> str:
    """The content security policy of a page that has this style, and nothing else."""
    return f"default-src 'none'; style-src 'sha256-{_digest(css)}'; base-uri 'none'; form-action 'none'"


@cache
def style() -> str:
    """The style of every page that blackstart writes."""
    source, _, _ = PackageLoader("blackstart_controller.report").get_source(_environment(), "report.css")
    return source


def _digest(css: str) -> str:
    return base64.b64encode(hashlib.sha256(css.encode()).digest()).decode()
