"""What somebody who watches a run knows of it: from its log, and from the controller's answers meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from blackstart_controller.cli.output import harmless
from blackstart_controller.cli.plain import NS_PER_S
from blackstart_controller.cli.story import Event

Poll = Callable[[], Mapping[str, Any]]  # asks the controller for the run as it is now
# How far an order has come. News that arrives late never takes it back.
RANK: Mapping[str, int] = MappingProxyType(
    {
        "planned": 0,
        "arming": 1,
        "armed": 2,
        "firing": 3,
        "injected": 4,
        "reverting": 5,
        "refused": 6,
        "disarmed": 6,
        "reverted": 6,
    }
)
OVER = frozenset({"refused", "disarmed", "reverted"})
# Of a host with several orders, the one to be shown: what is on the host before what will be or was.
SHOWN_FIRST = ("reverting", "injected", "firing", "armed", "arming", "planned", "refused", "disarmed")
_STATE_AFTER = {"inject_failed": "reverting", "revert_failed": "reverting"}


@dataclass(frozen=True, slots=True)
class Order:
    """`at_s` and `hold_s` are None until the controller has told them."""

    host: str
    kind: str = ""
    state: str = "planned"
    at_s: float | None = None  # after T0
    hold_s: float | None = None
    path: str = ""
    gone: bool = False
    lease_left_s: float | None = None

    @property
    def shown(self) -> str:
        """The state in a word."""
        return "reverted" if self.gone and self.state not in OVER else self.state

    @property
    def over(self) -> bool:
        return self.shown in OVER

    def advanced(self, state: str) -> Order:
        return replace(self, state=state) if RANK.get(state, 0) > RANK.get(self.state, 0) else self


@dataclass(frozen=True, slots=True)
class StopSeen:
    """A condition that ends the run early, and how it stands: ok or tripped, and what was read last."""

    name: str
    state: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class CheckpointSeen:
    at_s: float
    steady_s: float


@dataclass(slots=True)
class Known:
    """Times `_ns` are the controller's, as in the run's events."""

    run_id: str = ""
    phase: str = "starting"
    phase_ns: int = 0  # since when
    t0_ns: int | None = None
    hold_s: float | None = None  # from T0 to the end of the last fault
    orders: dict[str, Order] = field(default_factory=dict)
    services: dict[str, tuple[bool, int | None]] = field(default_factory=dict)  # up, since when if seen
    stops: tuple[StopSeen, ...] = ()
    checkpoints: tuple[CheckpointSeen, ...] = ()
    halted: str = ""
    _newest_ns: int = 0
    _heard_s: float = 0.0

    def heard(self, event: Event, mono_s: float) -> None:
        """One more event of the log, at `mono_s` of this process's own clock."""
        self._at(int(event.get("at_ns", 0)), mono_s)
        data, kind = event.get("data") or {}, str(event.get("type"))
        self.run_id = str(event.get("run_id") or self.run_id)
        match kind:
            case "state":
                self.phase, self.phase_ns = harmless(data.get("state")), int(event.get("at_ns", 0))
            case "t0":
                self.t0_ns = int(data["t0_ns"])
            case "service_up" | "service_down":
                self.services[harmless(data.get("service"))] = (
                    kind == "service_up",
                    int(event.get("at_ns", 0)),
                )
            case "halt":
                why = f": {data['reason']}" if data.get("reason") else ""
                self.halted = harmless(f"by {data.get('by')}{why}")
            case _ if event.get("order_id"):
                self._order_told(event, _STATE_AFTER.get(kind, kind))

    def polled(self, answer: Mapping[str, Any], mono_s: float) -> None:
        """The run as the controller sees it now; nothing when it does not live any more."""
        self.run_id = str(answer.get("id") or self.run_id)
        live = answer.get("live")
        if not isinstance(live, Mapping):
            return
        if self.t0_ns is not None and live.get("now_s") is not None:
            self._at(self.t0_ns + int(float(live["now_s"]) * NS_PER_S), mono_s)
        for told in live.get("orders", ()):
            before = self.orders.get(str(told["id"]), Order(harmless(told["host"])))
            self.orders[str(told["id"])] = _as_told(before, told)
        for name, up in live.get("services", {}).items():
            if self.services.get(harmless(name), (None, None))[0] is not bool(up):
                self.services[harmless(name)] = (bool(up), None)  # its event says since when
        self.hold_s = live.get("hold_s", self.hold_s)
        self.stops = tuple(_stop(told) for told in live.get("stops", ()))
        self.checkpoints = tuple(
            CheckpointSeen(float(told["at_s"]), float(told["steady_s"]))
            for told in live.get("checkpoints", ())
        )

    def now_ns(self, mono_s: float) -> int:
        return self._newest_ns + int((mono_s - self._heard_s) * NS_PER_S)

    def now_s(self, mono_s: float) -> float | None:
        """Seconds after T0; None while that is not set."""
        return None if self.t0_ns is None else (self.now_ns(mono_s) - self.t0_ns) / NS_PER_S

    def hosts(self) -> dict[str, str]:
        """Each host and the state to be shown for it."""
        states: dict[str, set[str]] = {}
        for order in self.orders.values():
            states.setdefault(order.host, set()).add(order.shown)
        return {
            host: next((state for state in SHOWN_FIRST if state in found), "reverted")
            for host, found in sorted(states.items())
        }

    def _order_told(self, event: Event, state: str) -> None:
        key = str(event["order_id"])
        kind = harmless((event.get("data") or {}).get("fault_kind") or "")
        order = self.orders.get(key, Order(harmless(event.get("host"))))
        self.orders[key] = replace(order, kind=kind or order.kind).advanced(state)

    def _at(self, at_ns: int, mono_s: float) -> None:
        """The controller's clock shows at least `at_ns`; it never goes back."""
        if at_ns > self.now_ns(mono_s) or not self._newest_ns:
            self._newest_ns, self._heard_s = at_ns, mono_s


def _as_told(before: Order, told: Mapping[str, Any]) -> Order:
    order = before.advanced(str(told.get("state", "")))
    return replace(
        order,
        kind=harmless(told.get("kind") or order.kind),
        at_s=told.get("at_s"),
        hold_s=told.get("hold_s"),
        path=harmless(told.get("path") or ""),
        gone=bool(told.get("gone")) and order.state != "planned",
        lease_left_s=told.get("lease_left_s"),
    )


def _stop(told: Mapping[str, Any]) -> StopSeen:
    state = "tripped" if told.get("tripped") else "ok"
    return StopSeen(harmless(told.get("name")), state, harmless(told.get("reading") or ""))
