"""The figures as rows of a table, each beside what it should be, and the ratios that must hold anywhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Figures = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Row:
    """One figure in some columns. `at_most` is the goal of the `judged` column, in the row's unit."""

    name: str
    unit: str
    values: Mapping[str, float | None]
    goal: str = ""
    judged: str = ""
    at_most: float | None = None
    digits: int = 1

    @property
    def missed(self) -> bool:
        value = self.values.get(self.judged)
        return self.at_most is not None and value is not None and value > self.at_most


@dataclass(frozen=True, slots=True)
class Table:
    title: str
    columns: Sequence[str]
    rows: Sequence[Row]


@dataclass(slots=True)
class Ratios:
    """What must hold on any machine, because both sides were measured in the same run."""

    broken: list[str] = field(default_factory=list)

    def need(self, holds: bool, text: str) -> None:
        if not holds:
            self.broken.append(text)


def fleet_table(bare: Figures, hub: Figures, controller: Figures, agents: int) -> Table:
    def row(
        name: str, unit: str, key: str, goal: str = "", judged: str = "", most: float | None = None
    ) -> Row:
        found = {"bare": bare.get(key), "hub": hub.get(key), "controller": controller.get(key)}
        return Row(name, unit, found, goal, judged, most)

    scale = agents / 1000
    rows = [
        row(
            "question to every agent: the last one got it", "ms", "fan_out_last_ms", *_most("hub", 50 * scale)
        ),
        row("  the first one got it", "ms", "fan_out_first_ms"),
        row("  every answer is there", "ms", "fan_out_answered_ms"),
        row("  CPU, answer included", "µs/agent", "fan_out_us", *_most("hub", 70)),
        row("halt-all: the last agent got it", "ms", "halt_last_ms", *_most("controller", 60 * scale)),
        row("memory", "KiB/agent", "kib_per_agent", *_most("controller", 100)),
        row("memory in all", "MiB", "rss_mib"),
        row("CPU of connecting, first clock reading included", "µs/agent", "connect_us"),
        row("all connected at once", "s", "connected_s"),
        row("idle CPU", "% of a core", "idle_percent", *_most("controller", 0.5 * scale)),
    ]
    title = f"{agents} simulated agents, mutual TLS, one TCP connection each"
    return Table(title, ("bare", "hub", "controller"), rows)


def return_table(controller: Figures, agents: int) -> Table:
    def row(name: str, unit: str, key: str, most: float | None = None, goal: str = "") -> Row:
        return Row(name, unit, {"controller": controller[key]}, goal, "controller", most, digits=2)

    rows = [
        row("the new one serves again", "s", "ready_s", 0.6, "≤ 0.6 from exec"),
        row("the last agent is back, from the kill", "s", "back_s"),
        row("  from when it serves again", "s", "back_after_ready_s", 3.0, "≤ 3"),
        Row("agents back", "", {"controller": controller["back"]}, f"{agents}", digits=0),
        Row("agents lost", "", {"controller": controller["lost"]}, "0", "controller", 0, digits=0),
    ]
    return Table("Controller killed (kill -9) and started again", ("controller",), rows)


def agent_table(footprint: Figures) -> Table:
    parts = footprint["parts"]
    columns = ("guardian", "link", "sentry", "all")

    def row(name: str, unit: str, key: str, goal: str, judged: str, most: float | None, digits: int) -> Row:
        values = {part: figures[key] for part, figures in parts.items()}
        values["all"] = None if key == "rss_mib" else sum(values.values())  # shared pages would count thrice
        return Row(name, unit, values, goal, judged, most, digits)

    rows = [
        row("resident memory", "MiB", "rss_mib", "link ≤ 42", "link", 42, 1),
        row("  its own (private dirty)", "MiB", "private_mib", "link ≤ 18", "link", 18, 1),
        row("  its share (PSS)", "MiB", "pss_mib", "all ≤ 59", "all", 59, 1),
        row("idle CPU, connected", "% of a core", "idle_percent", "all ≤ 0.2", "all", 0.2, 3),
        row("threads", "", "threads", "", "", None, 0),
        Row("start: exec to stream", "ms", {"all": footprint["start_ms"]}, "≤ 180", "all", 180, 0),
    ]
    return Table("A real agent, idle and connected", columns, rows)


def start_table(starts: Figures, heavy: Sequence[str]) -> Table:
    ratio = starts["help_ms"] / starts["python_ms"]
    rows = [
        Row("blackstart --help", "ms", {"time": starts["help_ms"]}, "≤ 80", "time", 80),
        Row("python -c pass", "ms", {"time": starts["python_ms"]}),
        Row("  ratio", "×", {"time": ratio}, "≤ 6", "time", 6),
        Row("python -c 'import grpc'", "ms", {"time": starts["grpc_ms"]}),
        Row(
            f"heavy modules loaded: {', '.join(heavy) or 'none'}", "", {"time": len(heavy)}, "0", "time", 0, 0
        ),
    ]
    return Table("Cold start of the command line", ("time",), rows)


def broken_ratios(bare: Figures, hub: Figures, controller: Figures, heavy: Sequence[str]) -> list[str]:
    ratios = Ratios()
    ratio = hub["fan_out_us"] / bare["fan_out_us"]
    ratios.need(ratio <= 2, f"the hub's fan-out costs {ratio:.2f} times the CPU of a bare loop; at most 2")
    ratios.need(controller["lost"] == 0, f"{controller['lost']:g} agents never came back after kill -9")
    ratios.need(not heavy, f"blackstart --help loads {', '.join(heavy)}")
    return ratios.broken


def lines(table: Table) -> list[str]:
    width = max(len(f"{row.name}, {row.unit}") for row in table.rows) + 2
    head = f"{'':{width}}" + "".join(f"{column:>12}" for column in table.columns) + "   goal"
    return ["", table.title, head, *(_line(row, table.columns, width) for row in table.rows)]


def _line(row: Row, columns: Sequence[str], width: int) -> str:
    label = f"{row.name}, {row.unit}" if row.unit else row.name
    cells = []
    for column in columns:
        value = row.values.get(column)
        cells.append(f"{'–' if value is None else format(value, f'.{row.digits}f'):>12}")
    return f"{label:{width}}{''.join(cells)}   {row.goal}{'  MISSED' if row.missed else ''}".rstrip()


def _most(judged: str, limit: float) -> tuple[str, str, float]:
    return f"{judged} ≤ {limit:g}", judged, limit
