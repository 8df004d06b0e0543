from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Iterator

import pytest
from blackstart_agent.guardian.firing import Firing


@pytest.fixture
def firing() -> Iterator[Firing]:
    made = Firing()
    made.start()
    yield made
    made.close()


def test_it_never_fires_early_and_how_late_is_printed(firing: Firing) -> None:
    errors_us: list[float] = []
    for number in range(50):
        fired = threading.Event()
        started: list[int] = []

        def action(start_ns: int, started: list[int] = started, fired: threading.Event = fired) -> None:
            started.append(start_ns)
            fired.set()

        at_ns = time.monotonic_ns() + 5_000_000
        firing.schedule(f"order-{number}", at_ns, action)
        assert fired.wait(10)
        errors_us.append((started[0] - at_ns) / 1e3)
    assert min(errors_us) >= 0
    p50 = statistics.median(errors_us)
    print(f"fired after T0: p50 {p50:.1f} us, max {max(errors_us):.1f} us over {len(errors_us)}")


def test_what_is_due_at_one_t0_fires_in_turn(firing: Firing) -> None:
    order: list[str] = []
    done = threading.Event()
    at_ns = time.monotonic_ns() + 20_000_000
    firing.schedule("d", at_ns + 1, lambda _: done.set())
    firing.schedule("c", at_ns + 1, lambda _: order.append("c"))
    firing.schedule("b", at_ns, lambda _: order.append("b"))
    firing.schedule("a", at_ns, lambda _: order.append("a"))
    assert done.wait(10)
    assert order == ["a", "b", "c"]


def test_an_earlier_shot_overtakes_one_that_is_slept_for(firing: Firing) -> None:
    done = threading.Event()
    firing.schedule("late", time.monotonic_ns() + 3_600_000_000_000, lambda _: None)
    firing.schedule("soon", time.monotonic_ns(), lambda _: done.set())
    assert done.wait(10)
    assert firing.cancel("late")


def test_what_is_cancelled_never_fires_and_what_fired_cannot_be_cancelled(firing: Firing) -> None:
    fired: list[str] = []
    done = threading.Event()
    at_ns = time.monotonic_ns() + 30_000_000
    firing.schedule("gone", at_ns, lambda _: fired.append("gone"))
    firing.schedule("kept", at_ns, lambda _: fired.append("kept"))
    firing.schedule("last", at_ns, lambda _: done.set())
    assert firing.cancel("gone")
    assert done.wait(10)
    assert fired == ["kept"]
    assert not firing.cancel("kept")
    assert not firing.cancel("unknown")


def test_cancelling_at_the_very_moment_is_either_or() -> None:
    firing = Firing()
    firing.start()
    for number in range(200):
        ran = threading.Event()
        at_ns = time.monotonic_ns() + 300_000

        def action(_: int, ran: threading.Event = ran) -> None:
            ran.set()

        firing.schedule("x", at_ns, action)
        while time.monotonic_ns() < at_ns + (number - 100) * 1_000:
            pass
        if not firing.cancel("x"):
            assert ran.wait(10)
        else:
            assert not ran.is_set()
    firing.close()
