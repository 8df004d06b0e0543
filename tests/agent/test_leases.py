from __future__ import annotations

import pytest
from blackstart_agent.guardian import leases
from blackstart_agent.guardian.leases import MS, Lease
from hypothesis import given
from hypothesis import strategies as st

NOW = st.integers(0, 10**15)
MILLIS = st.integers(1, 10**6)
STEPS = st.lists(
    st.tuples(st.sampled_from(["renew", "shorten"]), st.integers(0, 10**5), st.integers(0, 10**6)),
    max_size=30,
)


def walk(
    lease: Lease, now: int, steps: list[tuple[str, int, int]]
) -> list[tuple[int, Lease, Lease, str, int]]:
    seen = []
    for step, passed_ms, argument in steps:
        now += passed_ms * MS
        after = lease.renewed(now, argument) if step == "renew" else lease.shortened(now, argument)
        seen.append((now, lease, after, step, argument))
        lease = after
    return seen


@given(NOW, st.booleans(), MILLIS, MILLIS, STEPS)
def test_no_lease_ever_outlives_its_hold(
    now: int, sealed: bool, lease_ms: int, hold_ms: int, steps: list[tuple[str, int, int]]
) -> None:
    lease = leases.injected(now, sealed=sealed, lease_ms=lease_ms, hold_ms=hold_ms)
    for _, _, after, _, _ in walk(lease, now, steps):
        assert after.expires_ns <= after.hold_end_ns == now + min(hold_ms, leases.MAX_HOLD_MS) * MS


@given(NOW, MILLIS, MILLIS, STEPS)
def test_a_sealed_lease_never_moves(
    now: int, lease_ms: int, hold_ms: int, steps: list[tuple[str, int, int]]
) -> None:
    lease = leases.injected(now, sealed=True, lease_ms=lease_ms, hold_ms=hold_ms)
    assert all(after == lease for _, _, after, _, _ in walk(lease, now, steps))


@given(NOW, MILLIS, MILLIS, STEPS)
def test_a_tethered_lease_ends_a_lease_after_the_last_renewal(
    now: int, lease_ms: int, hold_ms: int, steps: list[tuple[str, int, int]]
) -> None:
    lease = leases.injected(now, sealed=False, lease_ms=lease_ms, hold_ms=hold_ms)
    for _, _, after, _, _ in walk(lease, now, [(s, p, min(a, lease_ms)) for s, p, a in steps]):
        assert after.expires_ns <= now + sum(p for _, p, _ in steps) * MS + min(lease_ms, 60_000) * MS


@given(NOW, MILLIS, MILLIS, STEPS)
def test_renewal_never_shortens_revives_nothing_and_shortening_never_lengthens(
    now: int, lease_ms: int, hold_ms: int, steps: list[tuple[str, int, int]]
) -> None:
    lease = leases.injected(now, sealed=False, lease_ms=lease_ms, hold_ms=hold_ms)
    for at, before, after, step, grace_ms in walk(lease, now, steps):
        if step == "shorten":
            assert after.expires_ns <= min(before.expires_ns, at + grace_ms * MS)
        else:
            assert after.expires_ns >= before.expires_ns
        if before.expired(at):
            assert after.expired(at)


def test_an_armed_order_is_never_sealed() -> None:
    assert leases.armed(5, 4_000).shortened(10, 1).expires_ns == 10 + MS


@pytest.mark.parametrize(("lease_ms", "lasts_ms"), [(1, 2_000), (4_000, 4_000), (600_000, 15_000)])
def test_an_armed_order_waits_for_its_own_lease_within_2_s_to_15_s(lease_ms: int, lasts_ms: int) -> None:
    assert leases.armed(5, lease_ms).expires_ns == 5 + lasts_ms * MS


def test_a_renewal_in_the_last_moments_before_t0_does_not_cut_the_lease_short() -> None:
    lease = leases.injected(5_000 * MS, sealed=False, lease_ms=1_000, hold_ms=10_000)
    assert lease.renewed(1_000 * MS, 1_000) == lease


def test_wrong_times_are_refused_with_the_limits() -> None:
    assert leases.times_refused(False, 15_000, 30_000) == []
    assert leases.times_refused(True, 0, 30_000) == []
    assert len(leases.times_refused(False, 0, 0)) == 2
    assert leases.times_refused(False, 60_001, 1) == [
        "lease_ms must be 1 to 60000 in tethered mode, got 60001"
    ]


def test_only_an_instant_near_now_may_be_fired_at() -> None:
    now = 10**12
    assert leases.instant_refused(now, now - 250 * MS) == ""
    assert leases.instant_refused(now, now + 60_000 * MS) == ""
    assert leases.instant_refused(now, now - 251 * MS) == "T0 was 251 ms ago; 250 ms is the most"
    assert "60001 ms ahead" in leases.instant_refused(now, now + 60_001 * MS)
