"""Every format tells the same story, keeps its shape, and lets no text from outside become markup."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from blackstart_controller.measure import measure
from blackstart_controller.measure.model import Interval
from blackstart_controller.measure.verdict import Ending, decide
from blackstart_controller.report import html, json_report, markdown
from blackstart_controller.report.build import build
from blackstart_controller.report.format import format_interval, format_seconds, format_share
from blackstart_controller.report.json_report import interval
from blackstart_controller.report.scale import Scale
from blackstart_controller.report.svg import timeline
from blackstart_controller.report.terminal import summary_lines
from blackstart_controller.report.view import EventView, ReportView
from controller.report_samples import DOWNS, UNTIL, finished, plan, sample_view, series_of

XSS = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "'-alert(1)-'",
    "</style><script>alert(1)</script>",
    "</title></svg><svg onload=alert(1)>",
    "{{ 7 * 7 }}{% raw %}",
    "javascript:alert(1)",
    "<!--<script>",
]


def test_report_json_has_the_promised_shape() -> None:
    report = json.loads(json_report.text(sample_view()))
    promised = "schema run experiment seed verdict reverted injection services events"
    assert set(promised.split()) <= set(report)
    assert report["schema"] == 1
    assert report["verdict"] == "fail"
    assert report["reverted"] == "confirmed"
    assert report["injection"]["t0"] == "2026-11-23T19:30:08.214Z"
    assert report["injection"]["hosts"] == ["l1", "m1", "p1"]
    assert report["injection"]["skew_ms"] == 0.6
    fields = {
        "name",
        "outcome",
        "recovery",
        "after_revert",
        "objective",
        "met",
        "lost_writes",
        "availability",
        "relapses",
        "waited_for",
    }
    for service in report["services"]:
        assert fields <= set(service)
        assert set(service["recovery"]) == {"seconds", "low", "high", "censored"}
        assert set(service["objective"]) == {"rto_s", "rpo_s"}


def test_report_json_tells_the_five_kinds_of_ends_apart() -> None:
    report = json_report.document(sample_view())
    by_name = {service["name"]: service for service in report["services"]}
    assert {name: one["outcome"] for name, one in by_name.items()} == {
        "messenger": "failed over",
        "news": "failed over",
        "login": "came back",
        "payments": "came back",
        "search": "not back",
        "mail": "unaffected",
    }
    for name, downs in DOWNS.items():
        if downs and downs[0][1] < 45:
            assert by_name[name]["recovery"]["low"] <= downs[0][1] <= by_name[name]["recovery"]["high"]
    assert by_name["search"]["recovery"]["seconds"] is None
    assert by_name["search"]["recovery"]["high"] is None
    assert by_name["search"]["recovery"]["censored"] is True
    assert by_name["payments"]["waited_for"] == "login"
    assert by_name["messenger"]["relapses"] == 1
    assert by_name["messenger"]["after_revert"] is None
    assert by_name["login"]["met"] is False


def test_the_terminal_needs_neither_the_template_engine_nor_the_measuring_code() -> None:
    program = (
        "import sys, blackstart_controller.report.terminal; "
        "print([m for m in sys.modules if m.split('.')[0] in ('jinja2', 'pydantic', 'sqlalchemy', 'grpc')])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_terminal_shows_verdict_services_and_skew() -> None:
    lines = summary_lines(json_report.document(sample_view()))
    assert lines[0].startswith("FAIL  The hypothesis is broken: ")
    assert re.split(r"  +", lines[2])[:4] == ["SERVICE", "OUTCOME", "RECOVERY", "AFTER REVERT"]
    assert re.match(r"news\s+failed over\s+2\.8\d s \(2\.\d\d–2\.\d\d\)\s+–\s+10 s\s+yes\s+–", lines[4])
    assert any(re.match(r"search\s+not back\s+> 44\.\d s", line) for line in lines)
    assert lines[-1] == "T0 2026-11-23T19:30:08.214Z, 3 hosts, skew 0.60 ms ± 0.24 ms"


def test_the_terminal_obeys_no_control_characters() -> None:
    report = json_report.document(sample_view())
    report["services"][0]["name"] = "\x1b[2Jevil\r\n"
    assert all(line.isprintable() for line in summary_lines(report))


def test_an_unconfirmed_revert_prints_the_commands_for_each_host_in_every_format() -> None:
    view = sample_view(reverted=False)
    command = "nft delete table netdev blackstart_o0"
    assert view.verdict.exit_code == 5
    assert command in html.text(view)
    assert command in markdown.text(view)
    assert any(command in line for line in summary_lines(json_report.document(view)))
    assert json_report.document(view)["reverted"] == "unconfirmed"


class Tags(HTMLParser):
    """Every tag and every attribute of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs


def poisoned(payload: str) -> ReportView:
    """A view in which every text from outside is the payload."""
    names = ("messenger", "payments")
    run = finished(names, reverted=False)
    recoveries = tuple(
        replace(one, service=payload, reason=payload, waited_for=payload) for one in run.recoveries
    )
    view = build(replace(run, events=(EventView(payload, 1.0, payload, payload, payload),), run_id=payload))
    return replace(
        view,
        experiment=payload,
        description=payload,
        hypothesis=payload,
        owner=payload,
        tags=(payload,),
        mode=payload,
        t0_iso=payload,
        limits=(payload,),
        verdict=replace(view.verdict, sentence=payload),
        hosts=tuple(
            replace(h, host=payload, site=payload, kind=payload, order_id=payload, manual=(payload,))
            for h in view.hosts
        ),
        services=tuple(
            replace(
                service,
                recovery=recovery,
                members=(payload,),
                depends_on=(payload,),
                observers=tuple(replace(o, observer=payload, site=payload) for o in service.observers),
            )
            for service, recovery in zip(view.services, recoveries, strict=True)
        ),
    )


@pytest.mark.parametrize("payload", XSS)
def test_no_text_from_outside_becomes_markup(payload: str) -> None:
    calm, hostile = Tags(), Tags()
    calm.feed(html.text(poisoned("x")))
    page = html.text(poisoned(payload))
    hostile.feed(page)
    assert hostile.tags == calm.tags
    assert not {name for name, _ in hostile.attributes if name.startswith("on")}
    assert "script" not in hostile.tags
    assert "49" not in re.findall(r"<h1>(.*?)</h1>", page)
    ET.fromstring(timeline(poisoned(payload)))  # the picture is well formed
    without_code = re.sub(r"`[^`\n]*`", "", markdown.text(poisoned(payload)))
    assert "<" not in without_code


def test_the_page_asks_nobody_for_anything() -> None:
    page = html.text(sample_view())
    assert not re.search(r"(src|href|action|@import|url\()\s*=?\s*[\"']?(https?:)?//", page)
    assert "<script" not in page
    assert "default-src &#39;none&#39;; style-src &#39;sha256-" in page or "default-src 'none'" in page
    assert len(page.encode()) < 200_000


def test_markdown_has_the_same_numbers_as_json() -> None:
    view = sample_view()
    text = markdown.text(view)
    for service in json_report.document(view)["services"]:
        assert f"| {service['name']} | {service['outcome']}" in text
        assert format_interval(service["recovery"]) in text


def test_a_run_that_injected_nothing_still_has_a_report() -> None:
    run = finished()
    verdict = decide(
        Ending.NOT_STEADY, (), reverted=True, why="messenger seen from m2: 3 of 30 samples failed"
    )
    recoveries = measure(run.plan, (), run.series, watched_until_ns=UNTIL)
    bare = replace(run, spans=(), recoveries=recoveries, verdict=verdict, t0_iso=None, events=())
    view = build(bare)
    assert json_report.document(view)["injection"] == {
        "t0": None,
        "skew_ms": None,
        "skew_error_ms": None,
        "completed_ms": None,
        "hosts": [],
        "faults": json_report.document(view)["injection"]["faults"],
    }
    assert "not injected" in html.text(view)
    assert "Nothing was injected." in summary_lines(json_report.document(view))
    assert "not steady" in markdown.text(view)


def test_a_run_without_samples_has_a_report() -> None:
    run = finished()
    recoveries = measure(run.plan, run.spans, (), watched_until_ns=UNTIL)
    verdict = decide(Ending.COMPLETED, recoveries, reverted=True)
    view = build(replace(run, series=(), recoveries=recoveries, verdict=verdict))
    assert verdict.word == "error"
    assert "saw nothing" in html.text(view)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (Interval(4.31, 4.264, 4.3551), "4.31 s (4.26–4.36)"),
        (Interval(300.0, 300.0, 300.0, censored=True), "> 300 s"),
        (Interval(44.9, 44.96, 44.96, censored=True), "> 44.9 s"),
        (Interval(0.0123, 0.0101, 0.0149), "0.012 s (0.010–0.015)"),
        (Interval(612.34, 612.29, 612.41), "612.3 s (612.2–612.5)"),
        (Interval(0.0, 0.0, 0.0), "0.000 s (0.000–0.000)"),
        (None, "–"),
    ],
)
def test_intervals_are_rounded_outwards(value: Interval | None, shown: str) -> None:
    assert format_interval(interval(value)) == shown


def test_small_formats() -> None:
    assert [format_seconds(x) for x in (None, 0.5, 10.0, 90.0, 300.0)] == [
        "–",
        "0.5 s",
        "10 s",
        "90 s",
        "5 min",
    ]
    assert [format_share(x) for x in (None, 1.0, 0.9999, 0.5)] == ["–", "100 %", "99.9 %", "50 %"]


@pytest.mark.parametrize("span", [(-3.0, 45.0), (-0.5, 1.0), (-3.0, 900.0), (-0.01, 0.05)])
def test_the_axis_has_round_marks_with_zero_among_them(span: tuple[float, float]) -> None:
    scale = Scale(*span, 0, 1000)
    assert 0.0 in scale.ticks()
    assert 3 <= len(scale.ticks()) <= 10
    assert (scale.x(span[0] - 1), scale.x(span[1] + 1)) == (0, 1000)


def test_a_thousand_hosts_fit_one_picture() -> None:
    run = finished()
    order = run.plan.orders[0]
    orders = tuple(replace(order, id=f"o-{n}", host=f"h{n}") for n in range(1000))
    spans = tuple(replace(run.spans[0], order_id=f"o-{n}", host=f"h{n}") for n in range(1000))
    sites = {f"h{n}": "pangyo" for n in range(1000)} | dict(run.sites)
    view = build(replace(run, plan=replace(plan(), orders=orders), spans=spans, sites=sites))
    assert "1000 hosts" in timeline(view)
    assert timeline(view).count('class="fault"') == 1
    assert series_of(run.plan.probes[0], (), 1).samples


def test_a_long_log_is_cut_on_the_page_and_whole_in_json() -> None:
    events = tuple(EventView("2026-11-23T19:30:08Z", 0.0, "m1", f"line {n}.") for n in range(700))
    view = replace(sample_view(), events=events)
    assert "line 499." in html.text(view) and "line 500." not in html.text(view)
    assert "The other 200 lines are in report.json." in html.text(view)
    assert len(json_report.document(view)["events"]) == 700
