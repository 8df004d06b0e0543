"""What is known of every host, connected or not, as plans see it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from blackstart_proto.v1 import agent_pb2

from blackstart_controller.plan.fleet import FleetSnapshot, HostView

_OPENS = frozenset({agent_pb2.EVENT_KIND_ARMED, agent_pb2.EVENT_KIND_INJECTED})
_CLOSES = frozenset({agent_pb2.EVENT_KIND_REVERTED, agent_pb2.EVENT_KIND_DISARMED})


class Roster:
    """Hosts by name. A host that leaves stays, not connected, as it was."""

    def __init__(self, known: Sequence[HostView], controller_addresses: Sequence[str]) -> None:
        self._views = {view.name: replace(view, connected=False) for view in known}
        self._open: dict[str, set[str]] = {}
        self._controller_addresses = tuple(controller_addresses)

    def connected(self, hello: agent_pb2.Hello) -> None:
        self._views[hello.host] = view_of(hello)
        self.reported(hello.host, hello.open.faults)

    def lost(self, host: str) -> None:
        self._views[host] = replace(self._views[host], connected=False)

    def forget(self, host: str) -> None:
        """A revoked host is no target any more."""
        self._views.pop(host, None)
        self._open.pop(host, None)

    def reported(self, host: str, faults: Sequence[agent_pb2.OpenFault]) -> None:
        self._open[host] = {
            fault.order_id for fault in faults if fault.state != agent_pb2.FAULT_STATE_REVERTED
        }

    def happened(self, host: str, event: agent_pb2.HostEvent) -> None:
        """Keep the number of open faults true between two reports."""
        orders = self._open.setdefault(host, set())
        if event.kind in _OPENS:
            orders.add(event.order_id)
        elif event.kind in _CLOSES:
            orders.discard(event.order_id)

    def snapshot(self) -> FleetSnapshot:
        hosts = tuple(self._now(view) for _, view in sorted(self._views.items()))
        return FleetSnapshot(hosts=hosts, controller_addresses=self._controller_addresses)

    def host(self, name: str) -> HostView | None:
        """One host as `snapshot` has it, without the cost of all the others."""
        view = self._views.get(name)
        return None if view is None else self._now(view)

    def _now(self, view: HostView) -> HostView:
        return replace(view, open_faults=len(self._open.get(view.name, ())))


def view_of(hello: agent_pb2.Hello) -> HostView:
    """The host as its agent describes it; `host` and `site` are labels that it cannot choose otherwise."""
    return HostView(
        name=hello.host,
        site=hello.site,
        labels={**hello.labels, "host": hello.host, "site": hello.site},
        addresses=tuple(hello.addresses),
        connected=True,
        fault_kinds=tuple(hello.fault_kinds),
        unsupported=dict(hello.unsupported),
        probe_kinds=tuple(hello.probe_kinds),
        open_faults=len(hello.open.faults),
    )
