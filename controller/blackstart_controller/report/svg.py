"""The timeline picture, drawn here and not in the browser: it prints, needs no script and works offline.

Rows: one per site and kind of fault, then one per service and observer. Colour is never the only sign:
outages are hatched, their uncertain edges dotted, the moment of return is a ring with a whisker.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from blackstart_controller.measure.model import Outcome
from blackstart_controller.report.format import format_interval
from blackstart_controller.report.json_report import recovery_interval
from blackstart_controller.report.scale import Scale
from blackstart_controller.report.view import Band, HostSpan, ObserverView, ReportView, ServiceView

WIDTH, LEFT, RIGHT = 1000, 208, 984
ROW, BAR, HEAD, TOP = 26, 14, 30, 34
MAX_LABEL = 30


def timeline(view: ReportView) -> str:
    """The whole picture as an svg element."""
    scale = Scale(view.from_s, view.until_s, LEFT, RIGHT)
    faults = _fault_rows(view)
    body, y = [], TOP
    for label, spans in faults:
        body.append(_fault_row(scale, label, spans, y))
        y += ROW
    for service in view.services:
        body.append(_service_rows(scale, service, y))
        y += HEAD + ROW * max(1, len(service.observers))
    height = y + 34
    parts = [
        _frame(height),
        *_shade(scale, view, y),
        *_axis(scale, y),
        *body,
        *_marks(scale, view, y),
        "</svg>",
    ]
    return "\n".join(parts)


def _frame(height: float) -> str:
    return f"""<svg class="timeline" viewBox="0 0 {WIDTH} {height}" role="img" aria-labelledby="tl-t tl-d">
<title id="tl-t">Faults and outages over time</title>
<desc id="tl-d">Seconds relative to T0. One row per fault and site, and one per service and observer.</desc>
<defs>
<pattern id="hatch" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">
<rect class="down-fill" width="6" height="6"/><rect class="down-line" width="2" height="6"/></pattern>
<pattern id="dots" width="4" height="4" patternUnits="userSpaceOnUse">
<circle class="down-line" cx="2" cy="2" r="1"/></pattern>
</defs>"""


def _axis(scale: Scale, bottom: float) -> Iterable[str]:
    for tick in scale.ticks():
        x = scale.x(tick)
        yield f'<line class="grid" x1="{x}" x2="{x}" y1="{TOP - 8}" y2="{bottom}"/>'
        yield f'<text class="tick" x="{x}" y="{bottom + 16}">{tick:g}</text>'
    yield f'<text class="unit" x="{RIGHT}" y="{bottom + 31}">seconds after T0</text>'


def _shade(scale: Scale, view: ReportView, bottom: float) -> Iterable[str]:
    """Where any fault held, over the whole height."""
    starts = [span.first_s for span in view.hosts if span.first_s is not None]
    if not starts:
        return
    ends = [
        span.end_s if span.end_s is not None else view.until_s
        for span in view.hosts
        if span.first_s is not None
    ]
    x, x2 = scale.x(min(starts)), scale.x(max(ends))
    yield f'<rect class="held" x="{x}" y="{TOP - 8}" width="{x2 - x:.2f}" height="{bottom - TOP + 8}"/>'


def _marks(scale: Scale, view: ReportView, bottom: float) -> Iterable[str]:
    injected = [span for span in view.hosts if span.first_s is not None]
    if not injected:
        return
    yield _mark(scale.x(0.0), "T0", bottom, "end")
    ends = [span.end_s for span in injected if span.end_s is not None]
    if len(ends) == len(injected):
        yield _mark(scale.x(max(ends)), "reverted", bottom, "start")


def _mark(x: float, text: str, bottom: float, anchor: str) -> str:
    shift = -5 if anchor == "end" else 5
    return (
        f'<line class="mark" x1="{x}" x2="{x}" y1="{TOP - 22}" y2="{bottom}"/>'
        f'<text class="mark-text" text-anchor="{anchor}" x="{x + shift}" y="{TOP - 14}">{text}</text>'
    )


def _fault_rows(view: ReportView) -> list[tuple[str, list[HostSpan]]]:
    rows: dict[tuple[str, str], list[HostSpan]] = {}
    for span in view.hosts:
        rows.setdefault((span.site or span.host, span.kind), []).append(span)
    return [(f"{site} · {kind}", spans) for (site, kind), spans in rows.items()]


def _fault_row(scale: Scale, label: str, spans: Sequence[HostSpan], y: float) -> str:
    parts = [_label(label, y, "fault-label")]
    for start, end, hosts in _merged(spans, scale.until_s):
        x, width = scale.x(start), max(3.0, scale.x(end) - scale.x(start))
        names = escape(", ".join(hosts))
        parts.append(
            f"<g><title>{names}: {start:.3f} s to {end:.3f} s</title>"
            f'<rect class="fault" x="{x}" y="{y}" width="{width:.2f}" height="{BAR}" rx="3"/>'
        )
        text = f"{len(hosts)} host{'s' if len(hosts) != 1 else ''}"
        parts.append(_inside(x, width, y, text, "fault-text") + "</g>")
    if not any(span.first_s is not None for span in spans):
        parts.append(f'<text class="none" x="{LEFT + 8}" y="{y + 11}">not injected</text>')
    return "".join(parts)


def _merged(spans: Sequence[HostSpan], until_s: float) -> list[tuple[float, float, list[str]]]:
    """Spans that began within 50 ms of each other and ended so are one bar."""
    bars: list[tuple[float, float, list[str]]] = []
    for span in sorted(spans, key=lambda s: s.first_s or 0.0):
        if span.first_s is None:
            continue
        end = until_s if span.end_s is None else span.end_s
        for number, (start, other, hosts) in enumerate(bars):
            if abs(start - span.first_s) < 0.05 and abs(other - end) < 0.5:
                bars[number] = (start, max(other, end), [*hosts, span.host])
                break
        else:
            bars.append((span.first_s, end, [span.host]))
    return bars


def _service_rows(scale: Scale, service: ServiceView, y: float) -> str:
    name = service.recovery.service
    parts = [
        f'<line class="rule" x1="8" x2="{RIGHT}" y1="{y + 4}" y2="{y + 4}"/>',
        f'<text class="service" x="8" y="{y + 22}">{escape(_short(name))}</text>',
        f'<text class="outcome" x="{RIGHT}" y="{y + 22}">{escape(_result(service))}</text>',
    ]
    for number, observer in enumerate(service.observers):
        blind = service.recovery.outcome is Outcome.UNKNOWN and not observer.bands
        parts.append(_observer_row(scale, observer, y + HEAD + number * ROW, blind=blind))
    return "".join(parts)


def _result(service: ServiceView) -> str:
    took = format_interval(recovery_interval(service.recovery))
    return service.recovery.outcome if took == "–" else f"{service.recovery.outcome} · {took}"


def _observer_row(scale: Scale, observer: ObserverView, y: float, *, blind: bool) -> str:
    where = f" ({observer.site})" if observer.site else ""
    usable = observer.samples > observer.unusable
    line = "up" if usable and not blind else "unseen"
    middle = y + BAR / 2
    parts = [
        _label(f"from {observer.observer}{where}", y, "observer"),
        f'<line class="{line}" x1="{LEFT}" x2="{RIGHT}" y1="{middle}" y2="{middle}"/>',
    ]
    if not usable:
        parts.append(f'<text class="none" x="{LEFT + 8}" y="{y + 11}">saw nothing</text>')
    return "".join(parts + [_band(scale, band, y) for band in observer.bands])


def _band(scale: Scale, band: Band, y: float) -> str:
    """Dotted from the earliest to the latest possible edge, hatched where it was surely down."""
    outer_start = band.start_high_s if band.start_low_s is None else band.start_low_s
    outer_end = scale.until_s if band.end_high_s is None else band.end_high_s
    inner_end = scale.until_s if band.end_high_s is None else max(band.end_low_s, band.start_high_s)
    x, x2 = scale.x(outer_start), scale.x(outer_end)
    core, core2 = scale.x(band.start_high_s), scale.x(inner_end)
    ended = "not back" if band.end_high_s is None else f"back {band.end_low_s:.3f} to {band.end_high_s:.3f} s"
    parts = [
        f"<g><title>down from {outer_start:.3f} to {band.start_high_s:.3f} s, {ended}</title>",
        f'<rect class="ground" x="{x}" y="{y}" width="{max(2.0, x2 - x):.2f}" height="{BAR}"/>',
        f'<rect class="edge" x="{x}" y="{y}" width="{max(2.0, x2 - x):.2f}" height="{BAR}"/>',
        f'<rect class="down" x="{core}" y="{y}" width="{max(2.0, core2 - core):.2f}" height="{BAR}"/>',
        _end(scale, band, x2, y),
    ]
    return "".join(parts) + "</g>"


def _end(scale: Scale, band: Band, x2: float, y: float) -> str:
    middle = y + BAR / 2
    if band.end_high_s is None:
        tip = f"{x2 + 8},{middle} {x2 - 1},{y - 1} {x2 - 1},{y + BAR + 1}"
        return f'<polygon class="open" points="{tip}"/>' + _inside(x2 - 70, 70, y, "not back", "band-text")
    low, high = scale.x(band.end_low_s), scale.x(band.end_high_s)
    at = (low + high) / 2
    return (
        f'<line class="whisker" x1="{low}" x2="{high}" y1="{middle}" y2="{middle}"/>'
        f'<circle class="back" cx="{at:.2f}" cy="{middle}" r="4"/>'
    )


def _inside(x: float, width: float, y: float, text: str, css: str) -> str:
    if width < len(text) * 7:
        return ""
    return f'<text class="{css}" x="{x + width / 2:.2f}" y="{y + 11}">{escape(text)}</text>'


def _label(text: str, y: float, css: str) -> str:
    return (
        f'<text class="{css}" x="8" y="{y + 11}">{escape(_short(text))}<title>{escape(text)}</title></text>'
    )


def _short(text: str) -> str:
    return text if len(text) <= MAX_LABEL else text[: MAX_LABEL - 1] + "…"
