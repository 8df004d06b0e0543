"""An outbox that forgets, for tests and simulations. Held to the same contract as the one in SQL."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace

from blackstart_controller.notify.model import Change, Delivery, Stamped, State, Target


class MemoryOutbox:
    """Implements `notify.outbox.Outbox`."""

    def __init__(self) -> None:
        self._targets: dict[str, Target] = {}
        self._rows: dict[int, Delivery] = {}
        self._last = 0

    async def targets(self) -> Sequence[Target]:
        return [self._targets[name] for name in sorted(self._targets)]

    async def add_target(self, target: Target, at_most: int) -> str | None:
        if target.name in self._targets:
            return f"notify target {target.name}: there is one already; remove it first"
        if len(self._targets) >= at_most:
            return f"there are {at_most} notify targets already; remove one first"
        self._targets[target.name] = target
        return None

    async def remove_target(self, name: str, at: str) -> bool:
        if self._targets.pop(name, None) is None:
            return False
        for one in await self.waiting(name):
            self._rows[one.id] = replace(one, state=State.GIVEN_UP, error="the target was removed", ended=at)
        return True

    async def put(self, notices: Sequence[Stamped]) -> frozenset[str]:
        known = {(row.target, row.notice_id) for row in self._rows.values()}
        told = set()
        for notice in notices:
            for target in self._targets.values():
                key = (target.name, notice.notice_id)
                if target.wants(notice.type, notice.at) and key not in known:
                    known.add(key)
                    told.add(target.name)
                    self._insert(target.name, notice)
        return frozenset(told)

    async def waiting(self, target: str) -> Sequence[Delivery]:
        return [row for row in self._rows.values() if (row.target, row.state) == (target, State.WAITING)]

    async def change(self, delivery_id: int, change: Change) -> None:
        row = self._rows[delivery_id]
        if row.state == State.WAITING:
            self._rows[delivery_id] = replace(row, **asdict(change))

    async def merge(
        self,
        target: str,
        choose: Callable[[Sequence[Delivery]], Sequence[Delivery]],
        digest: Callable[[Sequence[Delivery]], Stamped],
    ) -> None:
        if not (chosen := choose(await self.waiting(target))):
            return
        notice = digest(chosen)
        for one in chosen:
            self._rows[one.id] = replace(
                one, state=State.MERGED, merged_into=notice.notice_id, ended=notice.at
            )
        self._insert(target, notice)

    async def log(self, limit: int) -> Sequence[Delivery]:
        return list(reversed(self._rows.values()))[:limit]

    async def prune(self, keep: int) -> None:
        for row in (await self.log(len(self._rows)))[keep:]:
            if row.state != State.WAITING:
                del self._rows[row.id]

    def _insert(self, target: str, notice: Stamped) -> None:
        self._last += 1
        self._rows[self._last] = Delivery(id=self._last, target=target, **asdict(notice))
