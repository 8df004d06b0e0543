"""What the fleet tells, brought to the run that it concerns. Implements `ports.FleetListener`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from typing import Protocol

from blackstart_proto.v1 import agent_pb2

from blackstart_controller.errors import Unreachable
from blackstart_controller.runs.build import EVENT_TYPES, World, event_data
from blackstart_controller.runs.clock import iso
from blackstart_controller.runs.context import RunContext
from blackstart_controller.runs.ending import NOT_OPEN, heard
from blackstart_controller.runs.facts import reduce
from blackstart_controller.runs.log import draft
from blackstart_controller.runs.ports import ClockEstimate
from blackstart_controller.runs.rejoin import rejoin
from blackstart_controller.runs.states import RunState
from blackstart_controller.store.model import Draft, HostRow, SpoolKey, StoreFailed

_OPENS = frozenset({agent_pb2.EVENT_KIND_ARMED, agent_pb2.EVENT_KIND_INJECTED})


class Directory(Protocol):
    """Where runs are found."""

    def context(self, run_id: str) -> RunContext | None:
        """A run that is alive, or has ended without every proof."""
        ...

    def contexts(self) -> Iterable[RunContext]: ...


class Listener:
    def __init__(self, world: World, runs: Directory) -> None:
        self._world = world
        self._runs = runs

    async def stored_event(self, host: str, event: agent_pb2.HostEvent) -> None:
        """The event is durable, once, and its run knows it. What is of no run of this host is kept unread."""
        ctx = self._runs.context(event.run_id) or self._of_order(event)
        facts = None if ctx is None else ctx.facts.get(event.order_id)
        state = None
        if ctx is not None and facts is not None and facts.host == host:
            # Known before it is stored: with a dead database a halt still sees what has been reverted.
            facts = reduce(facts, event)
            ctx.facts[event.order_id] = facts
            state = facts.state
        line = await self._line_of(host, event, ctx)
        key = SpoolKey(host, event.spool, event.seq)
        await self._world.store.append_host_event(key, event, line, state)
        if ctx is not None:
            ctx.log.pulse.beat()
        if event.kind in _OPENS and (ctx is None or ctx.state == RunState.ENDED):
            await self._revert_orphans(host, [event.order_id])

    async def stored_samples(self, host: str, batch: agent_pb2.SampleBatch) -> None:
        ctx = self._runs.context(batch.run_id)
        known = ctx is not None or await self._world.store.run(batch.run_id) is not None
        new = known and await self._world.store.store_samples(host, batch)
        if ctx is None or ctx.state == RunState.ENDED:
            with contextlib.suppress(Unreachable):  # it missed the end of the run: nobody looks any more
                await self._world.fleet.stop_probes(host, batch.run_id)
            return
        if not new:
            return
        ctx.samples.add(host, batch, self._world.clocks)
        await self._show_services(ctx)
        ctx.log.pulse.beat()

    async def clock_measured(self, estimate: ClockEstimate) -> None:
        in_run = bool(self._concerned(estimate.host))
        self._world.clocks.add(estimate, in_run=in_run)
        if in_run:
            with contextlib.suppress(StoreFailed):  # only a restart would need it
                await self._world.store.add_estimate(estimate, self._world.clock.boot_id)

    async def host_connected(self, host: str, open_faults: Sequence[agent_pb2.OpenFault]) -> None:
        """The host is remembered; what it has open of no living run is reverted."""
        concerned = self._concerned(host)
        for ctx in concerned:  # before anything is written: a lease may have less than a second left
            heard(ctx, host, open_faults)
            await rejoin(ctx, host)
        with contextlib.suppress(StoreFailed):  # the next stream will tell it again
            await self._remember(host)
        for ctx in concerned:
            await ctx.log.try_add("host_connected", {"open_faults": len(open_faults)}, host=host)
        orphans = [fault.order_id for fault in open_faults if self._is_orphan(fault)]
        if orphans:
            await self._revert_orphans(host, orphans)

    async def host_lost(self, host: str) -> None:
        for ctx in self._concerned(host):
            await ctx.log.try_add("host_lost", host=host)
            ctx.log.pulse.beat()

    def _concerned(self, host: str) -> list[RunContext]:
        return [ctx for ctx in self._runs.contexts() if host in ctx.targets or host in ctx.observers]

    async def _revert_orphans(self, host: str, order_ids: Sequence[str]) -> None:
        with contextlib.suppress(Unreachable):  # lost again: its next stream lists them again
            await self._world.fleet.revert(
                host, order_ids, "no living run of this controller knows this fault"
            )

    def _of_order(self, event: agent_pb2.HostEvent) -> RunContext | None:
        """An agent that does not know an order cannot say of which run it is."""
        if event.run_id:
            return None
        ctx = next((one for one in self._runs.contexts() if event.order_id in one.facts), None)
        event.run_id = "" if ctx is None else ctx.id
        return ctx

    def _is_orphan(self, fault: agent_pb2.OpenFault) -> bool:
        if fault.state in NOT_OPEN:
            return False
        ctx = self._runs.context(fault.run_id)
        return ctx is None or fault.order_id not in ctx.facts

    async def _line_of(self, host: str, event: agent_pb2.HostEvent, ctx: RunContext | None) -> Draft | None:
        """The event as a line of its run's log; None when it is of no order of this host."""
        if ctx is None:
            orders = {order.id: order.host for order in await self._world.store.orders(event.run_id)}
        else:
            orders = {order_id: facts.host for order_id, facts in ctx.facts.items()}
        if orders.get(event.order_id) != host or event.kind not in EVENT_TYPES:
            return None
        mapping = self._world.clocks.mapping(host, event.boot_id, event.mono_ns)
        at_ns = None if mapping is None else event.mono_ns + mapping.offset_ns
        kind = EVENT_TYPES[event.kind]
        return draft(
            self._world.clock, kind, host=host, order_id=event.order_id, data=event_data(event), at_ns=at_ns
        )

    async def _show_services(self, ctx: RunContext) -> None:
        """A service that went down or came back is a line in the log: for people, not for measuring."""
        for service, up in ctx.samples.up().items():
            if ctx.shown_up.get(service) != up:
                ctx.shown_up[service] = up
                await ctx.log.try_add(
                    "service_up" if up else "service_down", {"service": service, "text": service}
                )

    async def _remember(self, host: str) -> None:
        now = iso(self._world.clock.wall())
        view = self._world.fleet.host(host)
        if view is not None:
            row = HostRow(view.name, view.site, view.labels, view.addresses, now, now)
            await self._world.store.saw_host(row)
