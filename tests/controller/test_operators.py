"""Tokens in memory: fresh to five seconds, and good for halting alone while the database cannot tell."""

from __future__ import annotations

import asyncio

import pytest
from blackstart_controller.errors import Unauthorised
from blackstart_controller.security.memory import MemoryTokens
from blackstart_controller.security.operators import FRESH_S, MAX_KNOWN, Operators
from blackstart_controller.security.ports import StoredToken
from blackstart_controller.security.roles import Operator, Permission, Role
from blackstart_controller.security.secret import Secret
from blackstart_controller.security.tokens import Tokens
from blackstart_controller.store.model import StoreFailed


class LosableTokens(MemoryTokens):
    """A store that can be lost, or hang."""

    lost = hangs = False
    reads = 0

    async def find_token(self, digest: str) -> StoredToken | None:
        self.reads += 1
        if self.hangs:
            await asyncio.Event().wait()
        if self.lost:
            raise StoreFailed("the database cannot be read: gone")
        return await super().find_token(digest)


class Desk:
    """Operators over a store that can be lost, with clocks that tests move."""

    def __init__(self) -> None:
        self.store = LosableTokens()
        self.now_s, self.mono_s = 1_000_000.0, 50.0
        self.tokens = Tokens(self.store, "a" * 64, now=lambda: self.now_s)
        self.operators = self.new()

    def new(self) -> Operators:
        return Operators(self.tokens, now=lambda: self.now_s, monotonic=lambda: self.mono_s)

    async def token(self, name: str = "bob") -> Secret:
        return (await self.tokens.create_operator(name, Role.ADMIN, ttl_s=3600)).token


@pytest.fixture
def desk() -> Desk:
    return Desk()


async def test_a_token_that_was_just_checked_is_not_looked_up_again(desk: Desk) -> None:
    token = await desk.token()
    for _ in range(10):
        assert await desk.operators.admit(token) == Operator("bob", Role.ADMIN)
    assert desk.store.reads == 1
    desk.mono_s += FRESH_S
    await desk.operators.admit(token)
    assert desk.store.reads == 2


async def test_a_token_that_vanishes_from_the_database_is_refused_five_seconds_later(desk: Desk) -> None:
    token = await desk.token()
    await desk.operators.admit(token)
    desk.store.tokens.clear()
    desk.mono_s += FRESH_S
    for _ in range(2):
        with pytest.raises(Unauthorised, match="unknown"):
            await desk.operators.admit(token)
    desk.store.lost = True
    with pytest.raises(StoreFailed):
        await desk.operators.admit(token)


@pytest.mark.parametrize("how", ["lost", "hangs"])
async def test_without_the_database_a_known_token_may_halt_and_nothing_else(desk: Desk, how: str) -> None:
    token = await desk.token()
    operators = desk.new()
    await operators.load()  # as a controller that was started again: nobody has used it since
    setattr(desk.store, how, True)
    async with asyncio.timeout(1.5):
        operator = await operators.admit(token)
    assert [permission for permission in Permission if operator.may(permission)] == [Permission.HALT]


async def test_an_expired_token_does_not_halt_either(desk: Desk) -> None:
    token = await desk.token()
    await desk.operators.load()
    desk.store.lost = True
    desk.now_s += 3600
    with pytest.raises(Unauthorised, match="expired"):
        await desk.operators.admit(token)


async def test_a_viewer_does_not_halt_without_the_database_either(desk: Desk) -> None:
    assert not any(Operator("vera", Role.VIEWER, halt_only=True).may(one) for one in Permission)


async def test_memory_is_bounded_whoever_comes(desk: Desk) -> None:
    for n in range(MAX_KNOWN + 10):
        desk.operators.learn(StoredToken(f"d{n}", "operator", 0, 2_000_000, name="n", role="viewer"))
    assert len(desk.operators._known) == MAX_KNOWN
    with pytest.raises(Unauthorised):
        await desk.operators.admit(Secret("bsk_" + "x" * 43))
    assert len(desk.operators._known) == MAX_KNOWN, "who is unknown leaves nothing behind"


async def test_the_last_use_is_known_to_a_minute(desk: Desk) -> None:
    token = await desk.token()
    for seconds in (0, 30, 70):
        desk.now_s, desk.mono_s = 1_000_000.0 + seconds, 50.0 + seconds
        await desk.operators.admit(token)
        await asyncio.sleep(0)
    [stored] = await desk.operators.all()
    assert stored.used_s == 1_000_070
