"""Control's door for the API: each change is done and logged in one transaction, with who did it."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from blackstart_controller.control.lever import Engaged, Lever
from blackstart_controller.control.model import ControlEvent, Environment, LeverState
from blackstart_controller.control.ports import ControlStore
from blackstart_controller.errors import NotFound, UsageError
from blackstart_controller.runs.clock import Clock, iso
from blackstart_controller.runs.service import Runs
from blackstart_controller.security.operators import Operators
from blackstart_controller.security.ports import StoredToken
from blackstart_controller.security.roles import Role
from blackstart_controller.security.tokens import NewToken, Tokens
from blackstart_controller.store.model import StoreFailed

log = logging.getLogger(__name__)
ADMIN = "admin"  # the name in this controller's admin.json


@dataclass(frozen=True, slots=True)
class Control:
    operators: Operators
    lever: Lever
    store: ControlStore
    tokens: Tokens
    runs: Runs
    clock: Clock

    # ---- operators ----

    async def create_operator(self, by: str, name: str, role: Role, ttl_s: int) -> NewToken:
        """The token, shown once. One good token per name: two people never share one."""
        if name == ADMIN:
            raise UsageError("operator admin: the name in this controller's admin.json; choose another")
        secret, stored = self.tokens.new_operator(name, role, ttl_s=ttl_s)
        event = self._event(by, "operator.created", f"operator/{name}", {"role": role, "ttl_s": ttl_s})
        if not await self.store.add_operator(stored, event):
            raise UsageError(
                f"operator {name}: has a token already; choose another name, or: "
                f"blackstart operator revoke {name}"
            )
        self.operators.learn(stored)
        return NewToken(secret, stored.expires_s)

    async def all_operators(self) -> Sequence[StoredToken]:
        return await self.operators.all()

    async def revoke_operator(self, by: str, name: str) -> None:
        """Every token of `name` is refused from now on."""
        event = self._event(by, "operator.revoked", f"operator/{name}")
        digests = await self.store.remove_operator(name, event)
        if not digests:
            raise NotFound(f"operator {name}: there is none; `blackstart operator list` shows all")
        self.operators.forget(digests)

    # ---- environments ----

    async def environments(self) -> Sequence[Environment]:
        return await self.store.environments()

    async def environment(self, name: str) -> Environment:
        found = next((one for one in await self.store.environments() if one.name == name), None)
        if found is None:
            raise _no_environment(name)
        return found

    async def set_environment(self, by: str, environment: Environment) -> None:
        event = self._event(by, "environment.set", f"environment/{environment.name}", asdict(environment))
        await self.store.set_environment(environment, event)

    async def remove_environment(self, by: str, name: str) -> None:
        event = self._event(by, "environment.removed", f"environment/{name}")
        if not await self.store.remove_environment(name, event):
            raise _no_environment(name)

    # ---- runs and the lever ----

    async def approve(self, by: str, run_id: str, plan_hash: str | None) -> None:
        await self.runs.approve(run_id, by, plan_hash)
        await self._tell(self._event(by, "run.approved", f"run/{run_id}"))

    async def deny(self, by: str, run_id: str, reason: str) -> None:
        await self.runs.deny(run_id, by, reason)
        await self._tell(self._event(by, "run.denied", f"run/{run_id}", {"reason": reason}))

    def lever_state(self) -> LeverState | None:
        return self.lever.engaged()

    async def engage(self, by: str, reason: str) -> Engaged:
        return await self.lever.engage(by, reason)

    async def release(self, by: str, reason: str) -> bool:
        return await self.lever.release(by, reason)

    async def log(self) -> Sequence[ControlEvent]:
        return await self.store.events()

    async def _tell(self, event: ControlEvent) -> None:
        """The run's own log has it already, durably: failing here must not take the decision back."""
        try:
            await self.store.record(event)
        except StoreFailed as error:
            what = f"{event.type} of {event.subject} by {event.by}"
            log.error("%s is not in the log of control: %s", what, error)

    def _event(self, by: str, kind: str, subject: str, data: Mapping[str, Any] | None = None) -> ControlEvent:
        return ControlEvent(iso(self.clock.wall()), by, kind, subject, data or {})


def _no_environment(name: str) -> NotFound:
    return NotFound(f"environment {name}: there is none; `blackstart environment list` shows all")
