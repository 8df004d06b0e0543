"""The last offset of every connected host's clock, kept fresh in the background."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from time import monotonic

from blackstart_controller.errors import Unreachable
from blackstart_controller.fleet import clock
from blackstart_controller.fleet.dispatch import for_each
from blackstart_controller.fleet.session import HostSession
from blackstart_controller.runs.ports import ClockEstimate

log = logging.getLogger(__name__)
WATCHED_EVERY_S = 10.0
IDLE_EVERY_S = 300.0
IDLE_BURST = 2  # an idle clock is only shown; a run measures its own before it injects
TICK_S = 1.0
EXCHANGE_TIMEOUT_S = 1.0
WORKERS = 32  # more at once only measure each other


class Clocks:
    """Measures. `told` is awaited with each new estimate."""

    def __init__(
        self, sessions: Mapping[str, HostSession], told: Callable[[ClockEstimate], Awaitable[None]]
    ) -> None:
        self._sessions = sessions
        self._told = told
        self._estimates: dict[str, ClockEstimate] = {}
        self._due_s: dict[str, float] = {}
        self._watched: frozenset[str] = frozenset()

    def watch(self, hosts: Collection[str]) -> None:
        """Measure these hosts every 10 s from now on; all others every 5 min."""
        self._watched = frozenset(hosts)
        for host in hosts:
            self._due_s.pop(host, None)

    def connected(self, host: str) -> None:
        """A new stream: its host may have a new clock, and is measured at the next tick."""
        self._due_s.pop(host, None)

    def last(self, session: HostSession) -> ClockEstimate | None:
        """The last estimate for this boot of the host."""
        found = self._estimates.get(session.host)
        return found if found is not None and found.boot_id == session.hello.boot_id else None

    async def measure(self, hosts: Sequence[str], *, burst: int = clock.BURST) -> Mapping[str, ClockEstimate]:
        """A burst with each connected host; a host that does not answer is left out."""
        found: dict[str, ClockEstimate] = {}

        async def one(host: str) -> None:
            session = self._sessions.get(host)
            measured = await _burst(session, burst) if session is not None else None
            if measured is not None:
                self._estimates[host] = found[host] = measured
                self._due_s[host] = monotonic() + self._every_s(host)
                await self._tell(measured)

        await for_each(dict.fromkeys(hosts), one, workers=WORKERS)
        return found

    async def keep_fresh(self) -> None:
        """Measure whoever is due, for ever."""
        while True:
            now_s = monotonic()
            due = [host for host in self._sessions if self._due_s.get(host, 0.0) <= now_s]
            for host in due:
                self._due_s[host] = now_s + self._every_s(host)  # also for one that does not answer
            fresh = [host for host in due if host in self._watched or host not in self._estimates]
            await self.measure(fresh)
            await self.measure([host for host in due if host not in fresh], burst=IDLE_BURST)
            await asyncio.sleep(TICK_S)

    async def _tell(self, measured: ClockEstimate) -> None:
        try:
            await self._told(measured)
        except Exception:  # a listener that fails (a full disk) must not end the measuring
            log.exception("host %s: its clock offset could not be recorded", measured.host)

    def _every_s(self, host: str) -> float:
        return WATCHED_EVERY_S if host in self._watched else IDLE_EVERY_S


async def _burst(session: HostSession, count: int) -> ClockEstimate | None:
    exchanges: list[clock.Exchange] = []
    for _ in range(count):
        try:
            exchanges.append(await session.exchange(timeout_s=EXCHANGE_TIMEOUT_S))
        except Unreachable:
            break  # what is measured so far is still right
    return clock.estimate(session.host, session.hello.boot_id, exchanges)
