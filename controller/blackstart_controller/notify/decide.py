"""Pure: when to try again, when to give up, how fast, and what a digest says."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from blackstart_controller.notify.model import DIGEST, LOUD, Change, Delivery, Outcome, Stamped, State

FIRST_BACKOFF_S = 2.0
MAX_BACKOFF_S = 900.0
MAX_RETRY_AFTER_S = 3600.0
GIVE_UP_S = 24 * 3600.0
BURST = 10
EVERY_S = 6.0
MERGE_OVER = 20  # so many wait for one target: the rest becomes a digest
LISTED = 100  # so many notices of a digest are in its data, the rest only in the log
TOLD = 5  # so many of them in its text


def backoff_s(attempts: int, chance: float) -> float:
    """Full jitter: anything up to twice as long after each attempt. `chance` is 0 to 1."""
    return min(MAX_BACKOFF_S, FIRST_BACKOFF_S * 2.0 ** min(attempts, 30)) * chance


def after(delivery: Delivery, outcome: Outcome, now_ms: int, chance: float) -> Change:
    """What becomes of a delivery after an attempt that ended `now_ms`."""
    attempts, now = delivery.attempts + 1, _iso(now_ms)
    if not outcome.error:
        return Change(State.DELIVERED, attempts, now_ms, "", now)
    age_s = now_ms / 1000 - datetime.fromisoformat(delivery.at).timestamp()
    if outcome.final or age_s >= GIVE_UP_S:
        return Change(State.GIVEN_UP, attempts, now_ms, outcome.error, now)
    wait_s = max(backoff_s(delivery.attempts, chance), min(outcome.retry_after_s, MAX_RETRY_AFTER_S))
    return Change(State.WAITING, attempts, now_ms + int(wait_s * 1000), outcome.error, "")


def wait_s(delivery: Delivery, now_ms: int) -> float:
    """How long until the next attempt; a wall clock that was set back does not make it for ever."""
    return min(max(0.0, (delivery.due_ms - now_ms) / 1000), MAX_RETRY_AFTER_S)


@dataclass(slots=True)
class Bucket:
    """A token for each attempt: BURST at once, then one every EVERY_S seconds."""

    tokens: float = BURST
    at_s: float = 0.0

    def wait_s(self, now_s: float) -> float:
        """How long until there is a token."""
        self.tokens = min(BURST, self.tokens + (now_s - self.at_s) / EVERY_S)
        self.at_s = now_s
        return max(0.0, (1 - self.tokens) * EVERY_S)

    def take(self) -> None:
        self.tokens -= 1


def to_merge(waiting: Sequence[Delivery]) -> Sequence[Delivery]:
    """Those that become one digest, of all that wait for a target; oldest first.

    What was tried keeps its place: it may have arrived. What is loud is said by itself.
    """
    if len(waiting) <= MERGE_OVER:
        return ()
    return [one for one in waiting if one.attempts == 0 and one.type not in LOUD]


def digest(merged: Sequence[Delivery], now_ms: int) -> Stamped:
    """One notice in place of many. A digest among them is opened: nothing is counted as one that was more."""
    count = sum(int(one.data["count"]) if one.type == DIGEST else 1 for one in merged)
    told = [line for one in merged for line in _lines(one)]
    listed = told[:LISTED]
    texts = [str(line["text"]) for line in listed[:TOLD]]
    if (more := count - len(texts)) > 0:
        texts.append(f"and {more} more; see: blackstart notify log")
    return Stamped(
        notice_id=str(uuid.uuid4()),
        type=DIGEST,
        subject="notices",
        text="\n".join(texts),
        data={"count": count, "notices": listed},
        at=_iso(now_ms),
        due_ms=now_ms,
    )


def _lines(one: Delivery) -> list[dict[str, object]]:
    if one.type == DIGEST:
        return list(one.data["notices"])
    line = {"id": one.notice_id, "type": one.type, "subject": one.subject, "time": one.at, "text": one.text}
    return [dict(line)]


def _iso(now_ms: int) -> str:
    moment = datetime.fromtimestamp(now_ms / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
