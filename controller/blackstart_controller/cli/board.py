"""The live view's picture: what is known of a run in a few short lines, for any width and number of hosts.

Pure. Every state is a word; colour only helps the eye.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from rich.cells import cell_len
from rich.text import Text

from blackstart_controller.cli.known import Known, Order
from blackstart_controller.cli.plain import NS_PER_S, clock_face

PHASES = ("arming", "baseline", "injecting", "holding", "reverting", "settling")
STYLES: Mapping[str, str] = MappingProxyType(
    {
        "injected": "red",
        "firing": "red",
        "reverting": "cyan",
        "reverted": "green",
        "refused": "red",
        "down": "bold red",
        "up": "green",
        "tripped": "bold red",
    }
)
# Hosts in the order of how much they matter now, as words for people.
WORDS: Mapping[str, str] = MappingProxyType({"firing": "injecting", "planned": "waiting"})
HOST_ORDER = (
    "refused",
    "reverting",
    "injected",
    "firing",
    "armed",
    "arming",
    "planned",
    "disarmed",
    "reverted",
)
BREAKING = frozenset({"injecting", "holding"})
STEPS_SHOWN, CHECKS_SHOWN = 5, 3
INDENT = 9  # as wide as the longest word for a state


def picture(known: Known, mono_s: float, mark: str, width: int, height: int) -> list[Text]:
    """At most `height` lines of at most `width` cells; what matters most comes first."""
    now_s = known.now_s(mono_s)
    lines = [
        _headline(known, mark, now_s, mono_s),
        *_strip(known, width),
        *_attention(known),
        *_services(known, mono_s, width, up=False),
        *_steps(known, now_s),
        *_hosts(known, width),
        *_services(known, mono_s, width, up=True),
        *_stops(known),
        *_checkpoint(known, now_s),
    ]
    for line in lines:
        line.truncate(width, overflow="ellipsis")
    return lines[:height]


def _headline(known: Known, mark: str, now_s: float | None, mono_s: float) -> Text:
    line = Text.assemble(f"{mark} ", (known.phase.replace("_", " "), "bold"))
    if known.phase in BREAKING and now_s is not None:
        if now_s < 0:
            line.append(f" · T0 in {clock_face(-now_s)}")
        elif known.hold_s is not None and now_s < known.hold_s:
            line.append(f" · ends in {clock_face(known.hold_s - now_s)}")
    elif known.phase not in ("starting", "ended"):
        line.append(f" for {clock_face(_since_s(known, known.phase_ns, mono_s))}")
    leases = [order.lease_left_s for order in known.orders.values() if order.lease_left_s is not None]
    if leases and known.phase in BREAKING:
        line.append(f" · lease {max(0.0, min(leases)):.0f} s")
    return line


def _strip(known: Known, width: int) -> list[Text]:
    """Where the run is among its phases, if that fits."""
    if known.phase not in PHASES or width < len("   ".join(PHASES)) + 2:
        return []
    reached = PHASES.index(known.phase)
    parts = [
        (f"[{name}]", "bold") if index == reached else (name, "green" if index < reached else "dim")
        for index, name in enumerate(PHASES)
    ]
    return [Text(" > ").join(Text(*part) for part in parts)]


def _attention(known: Known) -> list[Text]:
    """What somebody must know or do now."""
    if known.phase == "awaiting_approval":
        return [
            Text("somebody else must agree, with the role approver:", "bold"),
            Text(f"  blackstart run approve {known.run_id}"),
        ]
    if known.phase != "halting":
        return []
    hosts = known.hosts()
    done = [
        host for host, state in hosts.items() if state not in ("reverting", "injected", "firing", "armed")
    ]
    said = Text(f"{len(done)} of {len(hosts)} hosts reverted", "bold")
    return [said, Text(f"halted {known.halted}")] if known.halted else [said]


def _services(known: Known, mono_s: float, width: int, *, up: bool) -> list[Text]:
    found = {name: since for name, (is_up, since) in sorted(known.services.items()) if is_up is up}
    if not found:
        return []
    told = [
        name if up or since is None else f"{name} {clock_face(_since_s(known, since, mono_s))}"
        for name, since in found.items()
    ]
    return [_row("up" if up else "down", named(told, width - INDENT - 1) or f"{len(told)} services")]


def _steps(known: Known, now_s: float | None) -> list[Text]:
    """A line for each fault of the document, those in effect first, then the next ones."""
    groups: dict[tuple[str, str, float | None, float | None], list[Order]] = {}
    for order in known.orders.values():
        groups.setdefault((order.path, order.kind, order.at_s, order.hold_s), []).append(order)
    ranked = sorted(groups.values(), key=lambda orders: _rank(orders, now_s))
    lines = [_step(orders, now_s, running=known.phase in BREAKING) for orders in ranked[:STEPS_SHOWN]]
    more = ranked[STEPS_SHOWN:]
    if more:
        ended = sum(all(order.over for order in orders) for orders in more)
        lines.append(Text(f"+{len(more)} more faults: {len(more) - ended} to come, {ended} ended", "dim"))
    return lines


def _rank(orders: Sequence[Order], now_s: float | None) -> tuple[int, float]:
    at_s = orders[0].at_s or 0.0
    if all(order.over for order in orders):
        return 2, -at_s
    return (1, at_s) if now_s is None or now_s < at_s else (0, at_s)


def _step(orders: Sequence[Order], now_s: float | None, *, running: bool) -> Text:
    """`host.blackout  3/3 injected  ends in 00:18`"""
    first = orders[0]
    state = next(name for name in HOST_ORDER if any(order.shown == name for order in orders))
    count = sum(order.shown == state for order in orders)
    line = Text.assemble(
        f"{first.kind or 'fault'}  {count}/{len(orders)} ", (WORDS.get(state, state), STYLES.get(state, ""))
    )
    if not running or now_s is None or first.at_s is None or all(order.over for order in orders):
        return line
    left_s = first.at_s + (first.hold_s or 0.0) - now_s
    if now_s < first.at_s:
        line.append(f"  begins in {clock_face(first.at_s - now_s)}")
    elif left_s > 0:
        line.append(f"  ends in {clock_face(left_s)}")
    else:
        line.append("  is ending")
    return line


def _hosts(known: Known, width: int) -> list[Text]:
    """The hosts in each state: how many, and the names of as many as fit."""
    hosts = known.hosts()
    lines = []
    for state in HOST_ORDER:
        members = [host for host, found in hosts.items() if found == state]
        if members:
            count = f"{len(members)} host{'s' if len(members) > 1 else ''}"
            names = named(members, width - INDENT - 3 - len(count))
            lines.append(_row(state, f"{count}: {names}" if names else count))
    return lines


def _stops(known: Known) -> list[Text]:
    lines = []
    for stop in known.stops[:CHECKS_SHOWN]:
        lines.append(Text.assemble(f"stop if {stop.name}: ", (stop.state, STYLES.get(stop.state, ""))))
        lines[-1].append(f" ({stop.detail})" if stop.detail else "")
    more = len(known.stops) - CHECKS_SHOWN
    return [*lines, Text(f"+{more} more stop conditions", "dim")] if more > 0 else lines


def _checkpoint(known: Known, now_s: float | None) -> list[Text]:
    """The next one."""
    coming = [one for one in known.checkpoints if now_s is None or one.at_s > now_s]
    if not coming or known.phase not in (*BREAKING, "baseline", "arming"):
        return []
    one = min(coming, key=lambda found: found.at_s)
    when = "" if now_s is None else f" in {clock_face(one.at_s - now_s)}"
    return [Text(f"checkpoint{when}: steady for {one.steady_s:g} s")]


def named(names: Sequence[str], width: int) -> str:
    """As many names as fit into `width`, and how many more there are; of a single name what fits of it.

    Empty when there are several and not even one fits.
    """
    if len(names) == 1:
        return names[0]
    for count in range(len(names), 0, -1):
        more = f" +{len(names) - count}" if count < len(names) else ""
        shown = " ".join(names[:count]) + more
        if cell_len(shown) <= width:
            return shown
    return ""


def _row(state: str, text: str) -> Text:
    return Text.assemble((WORDS.get(state, state).ljust(INDENT), STYLES.get(state, "")), " ", text)


def _since_s(known: Known, at_ns: int, mono_s: float) -> int:
    return max(0, (known.now_ns(mono_s) - at_ns) // NS_PER_S)
