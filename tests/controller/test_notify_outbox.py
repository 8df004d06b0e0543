"""What is decided about deliveries, and one contract for every outbox."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from blackstart_controller.notify.decide import (
    BURST,
    EVERY_S,
    LISTED,
    MAX_BACKOFF_S,
    MERGE_OVER,
    Bucket,
    after,
    backoff_s,
    digest,
    to_merge,
    wait_s,
)
from blackstart_controller.notify.memory import MemoryOutbox
from blackstart_controller.notify.model import DIGEST, Change, Delivery, Outcome, Stamped, State, Target
from blackstart_controller.notify.outbox import Outbox
from blackstart_controller.store.notify import SqlOutbox
from blackstart_controller.store.sqlite import SqliteStore

T0 = "2026-11-23T12:00:00.000Z"
T0_MS = 1_795_435_200_000
DAY_MS = 24 * 3600 * 1000


def target(name: str = "ops", *types: str, created: str = "2026-01-01T00:00:00.000Z") -> Target:
    return Target(name, "webhook", "https://ops.example/x", "whsec_x", types or ("*",), created, "alice")


def notice(number: int, type_: str = "run.ended", at: str = T0) -> Stamped:
    return Stamped(f"n{number}", type_, f"run/{number}", f"text {number}", {"number": number}, at, T0_MS)


def delivery(number: int, type_: str = "run.ended", attempts: int = 0) -> Delivery:
    one = notice(number, type_)
    return Delivery(
        number, "ops", one.notice_id, type_, one.subject, one.text, one.data, one.at, T0_MS, attempts=attempts
    )


@pytest.fixture(params=["sqlite", "memory"])
async def outbox(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Outbox]:
    if request.param == "memory":
        yield MemoryOutbox()
        return
    store = await SqliteStore.open(tmp_path / "controller.db")
    yield SqlOutbox(store)
    await store.close()


# ---- decisions ----


def test_back_off_doubles_up_to_its_limit_and_is_jittered_in_full() -> None:
    assert [backoff_s(attempts, 1.0) for attempts in range(4)] == [2, 4, 8, 16]
    assert backoff_s(1000, 1.0) == MAX_BACKOFF_S
    assert backoff_s(5, 0.0) == 0.0


def test_what_was_taken_is_delivered_and_what_was_not_waits() -> None:
    assert after(delivery(1), Outcome(), T0_MS, 1.0) == Change(State.DELIVERED, 1, T0_MS, "", T0)
    assert after(delivery(1, attempts=3), Outcome("HTTP 500"), T0_MS, 0.5) == Change(
        State.WAITING, 4, T0_MS + 8000, "HTTP 500", ""
    )


def test_the_other_side_may_ask_for_patience_but_not_for_more_than_an_hour() -> None:
    assert after(delivery(1), Outcome("HTTP 429", retry_after_s=30), T0_MS, 0.5).due_ms == T0_MS + 30_000
    assert after(delivery(1), Outcome("HTTP 429", retry_after_s=1e9), T0_MS, 0.5).due_ms == T0_MS + 3_600_000


@pytest.mark.parametrize(
    ("outcome", "now_ms", "state"),
    [
        (Outcome("HTTP 500"), T0_MS + DAY_MS - 1000, State.WAITING),
        (Outcome("HTTP 500"), T0_MS + DAY_MS, State.GIVEN_UP),
        (Outcome("HTTP 410", final=True), T0_MS, State.GIVEN_UP),
        (Outcome(), T0_MS + DAY_MS, State.DELIVERED),
    ],
)
def test_after_a_day_it_is_given_up_and_says_why(outcome: Outcome, now_ms: int, state: State) -> None:
    change = after(delivery(1, attempts=50), outcome, now_ms, 1.0)
    assert (change.state, change.error) == (state, outcome.error)
    assert bool(change.ended) == (state != State.WAITING)


def test_a_wall_clock_that_was_set_back_delays_no_delivery_for_ever() -> None:
    assert wait_s(delivery(1), T0_MS - 1500) == 1.5
    assert wait_s(delivery(1), T0_MS + 1) == 0
    assert wait_s(delivery(1), T0_MS - 365 * DAY_MS) == 3600


def test_a_bucket_gives_a_burst_and_then_one_token_at_a_time() -> None:
    bucket, now_s = Bucket(), 100.0
    sent: list[float] = []
    while len(sent) < BURST + 3:
        if (pause_s := bucket.wait_s(now_s)) > 0:
            now_s += pause_s
            continue
        bucket.take()
        sent.append(now_s)
    assert sent[:BURST] == [100.0] * BURST
    assert [round(b - a, 6) for a, b in zip(sent[BURST - 1 :], sent[BURST:], strict=False)] == [EVERY_S] * 3


def test_only_too_many_are_merged_and_never_the_loud_or_the_tried_ones() -> None:
    few = [delivery(n) for n in range(MERGE_OVER)]
    assert to_merge(few) == ()
    many = [delivery(0, attempts=1), delivery(1, "run.unreverted"), delivery(2, "lever.engaged"), *few]
    assert to_merge(many) == few


def test_a_digest_counts_everything_and_opens_the_digests_in_it() -> None:
    first = digest([delivery(n) for n in range(LISTED + 10)], T0_MS)
    assert first.text.splitlines()[0] == "text 0"
    assert first.text.splitlines()[-1] == f"and {LISTED + 5} more; see: blackstart notify log"
    assert (first.data["count"], len(first.data["notices"])) == (LISTED + 10, LISTED)
    earlier = replace(delivery(1, DIGEST), data=first.data)
    second = digest([earlier, delivery(500)], T0_MS)
    assert second.data["count"] == LISTED + 11
    assert second.data["notices"] == first.data["notices"]


# ---- the contract ----


async def test_a_notice_waits_for_each_target_that_wants_it_and_for_no_other(outbox: Outbox) -> None:
    for one in (target("all"), target("runs", "run.*"), target("lever", "lever.*"), target("none", "x")):
        assert await outbox.add_target(one, 10) is None
    assert await outbox.put([notice(1), notice(2, "lever.engaged")]) == {"all", "runs", "lever"}
    waiting = {
        name: [one.notice_id for one in await outbox.waiting(name)]
        for name in ("all", "runs", "lever", "none")
    }
    assert waiting == {"all": ["n1", "n2"], "runs": ["n1"], "lever": ["n2"], "none": []}
    assert (await outbox.waiting("runs"))[0].data == {"number": 1}


async def test_the_same_notice_is_stored_once(outbox: Outbox) -> None:
    await outbox.add_target(target(), 10)
    assert await outbox.put([notice(1), notice(1)]) == {"ops"}
    assert await outbox.put([notice(1)]) == frozenset()
    assert len(await outbox.waiting("ops")) == 1


async def test_a_target_does_not_hear_of_what_happened_before_it_was_added(outbox: Outbox) -> None:
    await outbox.add_target(target(created="2026-11-23T12:00:00.001Z"), 10)
    assert await outbox.put([notice(1), notice(2, at="2026-11-23T12:00:00.001Z")]) == {"ops"}
    assert [one.notice_id for one in await outbox.waiting("ops")] == ["n2"]


async def test_an_attempt_that_failed_keeps_its_place_and_one_that_did_not_leaves(outbox: Outbox) -> None:
    await outbox.add_target(target(), 10)
    await outbox.put([notice(1), notice(2)])
    first, second = await outbox.waiting("ops")
    await outbox.change(first.id, Change(State.WAITING, 1, T0_MS + 5, "HTTP 500", ""))
    head = (await outbox.waiting("ops"))[0]
    assert (head.id, head.attempts, head.due_ms, head.error) == (first.id, 1, T0_MS + 5, "HTTP 500")
    await outbox.change(first.id, Change(State.DELIVERED, 2, T0_MS, "", T0))
    assert await outbox.waiting("ops") == [second]
    assert [one.state for one in await outbox.log(10)] == [State.WAITING, State.DELIVERED]


async def test_names_are_taken_once_and_there_is_room_for_so_many(outbox: Outbox) -> None:
    assert await outbox.add_target(target("a"), 2) is None
    assert "already" in str(await outbox.add_target(target("a"), 2))
    assert await outbox.add_target(target("b"), 2) is None
    assert "2 notify targets" in str(await outbox.add_target(target("c"), 2))
    assert [one.name for one in await outbox.targets()] == ["a", "b"]
    assert (await outbox.targets())[0] == target("a")


async def test_what_waited_for_a_removed_target_is_given_up_and_stays_in_the_log(outbox: Outbox) -> None:
    await outbox.add_target(target(), 10)
    await outbox.put([notice(1)])
    assert await outbox.remove_target("ops", T0)
    assert not await outbox.remove_target("ops", T0)
    (one,) = await outbox.log(10)
    assert (one.state, one.error, one.ended) == (State.GIVEN_UP, "the target was removed", T0)
    await outbox.change(one.id, Change(State.DELIVERED, 1, T0_MS, "", T0))  # an attempt that was under way
    assert (await outbox.log(10))[0].state == State.GIVEN_UP


async def test_what_is_merged_is_in_the_log_and_leads_to_its_digest(outbox: Outbox) -> None:
    await outbox.add_target(target(), 10)
    await outbox.put([notice(n) for n in range(4)])
    await outbox.merge("ops", lambda waiting: waiting[1:], lambda chosen: digest(chosen, T0_MS))
    first, merged = await outbox.waiting("ops")
    assert (first.notice_id, merged.type, merged.data["count"]) == ("n0", DIGEST, 3)
    states = [(one.state, one.merged_into) for one in reversed(await outbox.log(10))]
    assert states[1:4] == [(State.MERGED, merged.notice_id)] * 3
    await outbox.merge("ops", lambda waiting: (), lambda chosen: digest(chosen, T0_MS))
    assert len(await outbox.waiting("ops")) == 2


async def test_old_rows_go_and_what_waits_stays(outbox: Outbox) -> None:
    await outbox.add_target(target(), 10)
    await outbox.put([notice(n) for n in range(6)])
    for one in (await outbox.waiting("ops"))[1:]:
        await outbox.change(one.id, Change(State.DELIVERED, 1, T0_MS, "", T0))
    await outbox.prune(2)
    assert [one.notice_id for one in await outbox.log(10)] == ["n5", "n4", "n0"]


def test_a_target_never_shows_its_secrets_by_accident() -> None:
    assert "whsec_x" not in repr(target())
    assert "ops.example" not in repr(target())
