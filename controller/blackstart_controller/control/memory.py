"""The port of control in memory: for tests and simulations. Nothing survives the process."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from blackstart_controller.control.model import ControlEvent, Environment
from blackstart_controller.control.ports import RecentRun
from blackstart_controller.security.memory import MemoryTokens
from blackstart_controller.security.ports import StoredToken
from blackstart_controller.store.model import RunRow, StoreFailed


class MemoryControl:
    """ControlStore. `runs` gives all runs, for the daily limit. Set `broken` to make `record` fail."""

    def __init__(
        self, tokens: MemoryTokens | None = None, runs: Callable[[], Sequence[RunRow]] = tuple
    ) -> None:
        self.broken = ""
        self._tokens = tokens or MemoryTokens()
        self._runs = runs
        self._environments: dict[str, Environment] = {}
        self._events: list[ControlEvent] = []

    async def environments(self) -> Sequence[Environment]:
        return [self._environments[name] for name in sorted(self._environments)]

    async def set_environment(self, environment: Environment, event: ControlEvent) -> None:
        self._environments[environment.name] = environment
        self._events.append(event)

    async def remove_environment(self, name: str, event: ControlEvent) -> bool:
        if self._environments.pop(name, None) is None:
            return False
        self._events.append(event)
        return True

    async def add_operator(self, token: StoredToken, event: ControlEvent) -> bool:
        live = [one for one in await self._tokens.operator_tokens() if one.expires_s > token.created_s]
        if any(one.name == token.name for one in live):
            return False
        await self._tokens.insert_token(token)
        self._events.append(event)
        return True

    async def remove_operator(self, name: str, event: ControlEvent) -> Sequence[str]:
        digests = [one.digest for one in await self._tokens.operator_tokens() if one.name == name]
        for digest in digests:
            await self._tokens.delete_token(digest)
        if digests:
            self._events.append(event)
        return digests

    async def record(self, event: ControlEvent) -> None:
        if self.broken:
            raise StoreFailed(f"the database refused a write: {self.broken}")
        self._events.append(event)

    async def events(self, limit: int = 200) -> Sequence[ControlEvent]:
        return self._events[-limit:]

    async def last_of(self, subject: str) -> ControlEvent | None:
        return next((event for event in reversed(self._events) if event.subject == subject), None)

    async def recent_runs(self, since: str) -> Sequence[RecentRun]:
        rows = [row for row in self._runs() if row.created >= since]
        return [RecentRun(row.environments, row.state, row.exit_code) for row in rows]
