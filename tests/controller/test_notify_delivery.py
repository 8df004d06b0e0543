"""Deliveries over virtual time: in order, at least once, no faster than agreed; nobody waits for another."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from blackstart_controller.errors import NotFound, Refused, UsageError
from blackstart_controller.notify.decide import BURST, EVERY_S, MERGE_OVER
from blackstart_controller.notify.memory import MemoryOutbox
from blackstart_controller.notify.model import DIGEST, Change, Delivery, Kind, Outcome, Stamped, State, Target
from blackstart_controller.notify.ports import Notice
from blackstart_controller.notify.service import MAX_IN_MEMORY, STORE_WAIT_S, NewTarget, Notify
from blackstart_controller.store.model import StoreFailed
from support.virtual import VirtualClock, run_virtual

HOUR_S = 3600.0


@dataclass
class Line:
    """A channel that remembers what arrived and when. `fails_until_s`: on the loop's clock."""

    sent: list[tuple[float, str, str]] = field(default_factory=list)
    tried: int = 0
    fails_until_s: dict[str, float] = field(default_factory=dict)
    outcome: Outcome = field(default_factory=lambda: Outcome("HTTP 500"))
    takes_s: dict[str, float] = field(default_factory=dict)
    breaks: bool = False

    def refusal(self, url: str) -> str | None:
        return None if url.startswith("https://") else "not https"

    def shown(self, url: str) -> str:
        return "…"

    async def send(self, target: Target, delivery: Delivery) -> Outcome:
        self.tried += 1
        await asyncio.sleep(self.takes_s.get(target.name, 0.0))
        now_s = asyncio.get_running_loop().time()
        if self.breaks:
            self.breaks = False
            raise RuntimeError("canary")
        if now_s < self.fails_until_s.get(target.name, 0.0):
            return self.outcome
        self.sent.append((now_s, target.name, delivery.text))
        return Outcome()

    def texts(self, target: str = "ops") -> list[str]:
        return [text for _at, name, text in self.sent if name == target]


class FlakyOutbox(MemoryOutbox):
    """A database that is away until told otherwise."""

    away = False

    async def put(self, notices: Sequence[Stamped]) -> frozenset[str]:
        self._check()
        return await super().put(notices)

    async def waiting(self, target: str) -> Sequence[Delivery]:
        self._check()
        return await super().waiting(target)

    async def change(self, delivery_id: int, change: Change) -> None:
        self._check()
        await super().change(delivery_id, change)

    def _check(self) -> None:
        if self.away:
            raise StoreFailed("the disk is gone")


@dataclass
class World:
    outbox: FlakyOutbox = field(default_factory=FlakyOutbox)
    line: Line = field(default_factory=Line)

    async def begin(self) -> Notify:
        """One life of a controller."""
        notify = Notify(self.outbox, {Kind.WEBHOOK: self.line}, VirtualClock())
        await notify.start()
        return notify


async def add(notify: Notify, name: str = "ops", *types: str) -> None:
    await notify.add(NewTarget(name, Kind.WEBHOOK, "https://x", types or ("*",)), "alice")


def notice(number: int, type_: str = "run.ended") -> Notice:
    return Notice(type_, f"run/{number}", f"text {number}")


def now_s() -> float:
    return asyncio.get_running_loop().time()


def test_notices_arrive_in_order_at_every_target_that_wants_them() -> None:
    async def scene() -> None:
        world = World()
        notify = await world.begin()
        await add(notify, "all")
        await add(notify, "lever", "lever.*")
        for number in range(5):
            await notify.publish(notice(number))
        await notify.publish(notice(5, "lever.engaged"))
        await asyncio.sleep(1)
        assert world.line.texts("all") == [f"text {n}" for n in range(6)]
        assert world.line.texts("lever") == ["text 5"]
        await notify.close()

    run_virtual(scene())


def test_a_target_that_is_away_gets_everything_in_order_when_it_is_back() -> None:
    async def scene() -> None:
        world = World()
        notify = await world.begin()
        await add(notify)
        world.line.fails_until_s["ops"] = now_s() + 5 * HOUR_S
        for number in range(5):
            await notify.publish(notice(number))
        await asyncio.sleep(6 * HOUR_S)
        assert world.line.texts() == [f"text {n}" for n in range(5)]
        assert world.line.tried < 120, "back-off grows"
        await notify.close()

    run_virtual(scene())


def test_after_a_day_a_notice_is_given_up_and_shown_and_the_next_is_tried() -> None:
    async def scene() -> None:
        world = World()
        notify = await world.begin()
        await add(notify)
        world.line.fails_until_s["ops"] = now_s() + 26 * HOUR_S
        await notify.publish(notice(1))
        await asyncio.sleep(20 * HOUR_S)
        await notify.publish(notice(2))
        await asyncio.sleep(8 * HOUR_S)
        second, first = await notify.log(10)
        assert (first.state, first.error) == (State.GIVEN_UP, "HTTP 500")
        assert (second.state, world.line.texts()) == (State.DELIVERED, ["text 2"])
        await notify.close()

    run_virtual(scene())


def test_a_slow_target_delays_no_other() -> None:
    async def scene() -> None:
        world = World()
        notify = await world.begin()
        await add(notify, "slow")
        await add(notify, "fast")
        world.line.takes_s["slow"] = HOUR_S
        started_s = now_s()
        for number in range(3):
            await notify.publish(notice(number))
        await asyncio.sleep(1)
        assert world.line.texts("fast") == ["text 0", "text 1", "text 2"]
        assert now_s() - started_s < 2
        assert world.line.texts("slow") == []
        await notify.close()

    run_virtual(scene())


def test_a_flood_is_slowed_down_then_merged_and_every_notice_is_accounted_for() -> None:
    count = BURST + MERGE_OVER + 37

    async def scene() -> None:
        world = World()
        notify = await world.begin()
        await add(notify)
        started_s = now_s()
        for number in range(count):
            await notify.publish(notice(number))
        await notify.publish(notice(999, "run.unreverted"))
        await asyncio.sleep(HOUR_S)
        times = [at - started_s for at, _name, _text in world.line.sent]
        for index in range(len(times) - BURST):
            assert times[index + BURST] - times[index] >= EVERY_S - 1e-6
        log = await notify.log(1000)
        states = [one.state for one in log if one.type == "run.ended"]
        digests = [one for one in log if one.type == DIGEST and one.state == State.DELIVERED]
        assert len(states) == count
        assert set(states) <= {State.DELIVERED, State.MERGED}
        assert states.count(State.DELIVERED) + sum(one.data["count"] for one in digests) == count
        assert len(world.line.sent) <= BURST + MERGE_OVER
        assert "and " in digests[0].text
        assert "text 999" in world.line.texts(), "what is loud is said by itself"
        await notify.close()

    run_virtual(scene())


def test_what_waits_is_delivered_by_the_next_life_of_the_controller() -> None:
    async def scene() -> None:
        world = World()
        notify = await world.begin()
        await add(notify)
        world.line.takes_s["ops"] = 10.0
        for number in range(3):
            await notify.publish(notice(number))
        await asyncio.sleep(15)  # the second is under way
        await notify.close()
        assert world.line.texts() == ["text 0"]
        notify = await world.begin()
        await asyncio.sleep(60)
        assert world.line.texts() == ["text 0", "text 1", "text 2"]
        await notify.close()

    run_virtual(scene())


def test_while_the_database_is_away_notices_wait_in_memory_and_publishing_holds_nobody_up() -> None:
    async def scene() -> None:
        world = World()
        notify = await world.begin()
        await add(notify)
        world.outbox.away = True
        started_s = now_s()
        await asyncio.gather(*(notify.publish(notice(number)) for number in range(5)))
        assert now_s() - started_s <= STORE_WAIT_S + 0.1
        await asyncio.sleep(60)
        world.outbox.away = False
        await asyncio.sleep(10)
        assert world.line.texts() == [f"text {n}" for n in range(5)]
        await notify.close()

    run_virtual(scene())


def test_a_delivery_is_not_repeated_while_the_database_cannot_remember_it() -> None:
    async def scene() -> None:
        world = World()
        notify = await world.begin()
        await add(notify)
        world.line.takes_s["ops"] = 1.0
        await notify.publish(notice(1))
        await asyncio.sleep(0.5)
        world.outbox.away = True
        await asyncio.sleep(HOUR_S)
        world.outbox.away = False
        await asyncio.sleep(60)
        assert world.line.texts() == ["text 1"]
        assert (await notify.log(1))[0].state == State.DELIVERED
        await notify.close()

    run_virtual(scene())


def test_memory_is_bounded_and_what_is_lost_is_said(caplog: pytest.LogCaptureFixture) -> None:
    async def scene() -> None:
        world = World()
        notify = await world.begin()
        world.outbox.away = True
        await asyncio.gather(*(notify.publish(notice(number)) for number in range(MAX_IN_MEMORY + 1)))
        await notify.close()

    run_virtual(scene())
    assert f"run.ended of run/{MAX_IN_MEMORY} is lost" in caplog.text
    assert f"{MAX_IN_MEMORY} notices are lost" in caplog.text


def test_a_defect_in_a_channel_is_one_failed_attempt_whose_text_is_not_shown(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def scene() -> None:
        world = World()
        notify = await world.begin()
        await add(notify)
        world.line.breaks = True
        await notify.publish(notice(1))
        await asyncio.sleep(60)
        assert world.line.texts() == ["text 1"]
        await notify.close()

    run_virtual(scene())
    assert "sending failed: RuntimeError" in caplog.text
    assert "canary" not in caplog.text


def test_what_cannot_be_json_costs_the_data_and_not_the_notice(caplog: pytest.LogCaptureFixture) -> None:
    async def scene() -> None:
        world = World()
        notify = await world.begin()
        await add(notify)
        await notify.publish(Notice("run.ended", "run/1", "bad \udcff text", {"x": {1, 2}}))
        await notify.publish(notice(2))
        await asyncio.sleep(1)
        assert world.line.texts() == ["bad ? text", "text 2"]
        await notify.close()

    run_virtual(scene())
    assert "is no JSON" in caplog.text


def test_a_removed_target_gets_nothing_more_and_its_name_is_free_again() -> None:
    async def scene() -> None:
        world = World()
        notify = await world.begin()
        await add(notify)
        world.line.fails_until_s["ops"] = now_s() + HOUR_S
        await notify.publish(notice(1))
        await notify.remove("ops")
        with pytest.raises(NotFound):
            await notify.remove("ops")
        await add(notify)
        await asyncio.sleep(2 * HOUR_S)
        assert world.line.texts() == []
        await notify.publish(notice(2))
        await asyncio.sleep(1)
        assert world.line.texts() == ["text 2"]
        await notify.close()

    run_virtual(scene())


def test_a_test_is_one_attempt_and_its_outcome() -> None:
    async def scene() -> None:
        world = World()
        notify = await world.begin()
        await add(notify)
        assert (await notify.test("ops", "alice")).error == ""
        world.line.fails_until_s["ops"] = now_s() + HOUR_S
        assert (await notify.test("ops", "alice")).error == "HTTP 500"
        assert world.line.tried == 2
        with pytest.raises(NotFound):
            await notify.test("nobody", "alice")
        await notify.close()

    run_virtual(scene())


@pytest.mark.parametrize(
    ("new", "error", "why"),
    [
        (NewTarget("Bad Name", Kind.WEBHOOK, "https://x"), UsageError, "a name is"),
        (NewTarget("a", Kind.WEBHOOK, "https://x", ("run.*", "[")), UsageError, "types"),
        (NewTarget("a", Kind.WEBHOOK, "ftp://x"), Refused, "not https"),
        (NewTarget("a", Kind.WEBHOOK, "https://x", secret="canary"), UsageError, "whsec_"),
        (NewTarget("a", Kind.WEBHOOK, "https://x", secret="whsec_c2hvcnQ="), UsageError, "24 to 64"),
        (NewTarget("taken", Kind.WEBHOOK, "https://x"), Refused, "already"),
    ],
)
def test_a_target_that_cannot_be_is_refused_with_the_reason(
    new: NewTarget, error: type[Exception], why: str
) -> None:
    async def scene() -> None:
        notify = await World().begin()
        await add(notify, "taken")
        with pytest.raises(error, match=why) as caught:
            await notify.add(new, "alice")
        assert "canary" not in str(caught.value)
        await notify.close()

    run_virtual(scene())
