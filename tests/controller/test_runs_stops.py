"""Whether a stop condition has tripped, from facts alone."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
from blackstart_controller.outside.ports import Reply
from blackstart_controller.plan.model import MetricStop, ProbeStop, ServiceStop, StopCondition, WebhookStop
from blackstart_controller.runs.sights import Sight
from blackstart_controller.runs.sources import ask
from blackstart_controller.runs.stops import NS, Answer, Facts, Said, Source, Standing, standings
from support.fake_outside import FakeOutside, prometheus
from support.virtual import run_virtual

NOW = 1000 * NS
T0 = 980 * NS
SHOP = ServiceStop("shop", "shop", 5.0)
PROBE = ProbeStop("gateway", 5.0)
METRIC = MetricStop("errors", "https://prom:9090", "rate(x[1m])", 0.05, None, 10.0, 5.0)
LOW = MetricStop("orders", "https://prom:9090", "sum(y)", None, 3.0, 0.0, 5.0)
HOOK = WebhookStop("freeze", "https://ops.example/secret-path", 5.0)
KNOWN = NOW - NS // 10
OK = Sight("shop", "o1", NS, NOW - 60 * NS, None, None, KNOWN)


def failing(for_s: float, **changes: Any) -> Sight:
    """Failing so long, as far as it is known: until 0.1 s ago."""
    since_ns = KNOWN - int(for_s * NS)
    return replace(OK, ok_ns=None, failing_ns=since_ns, failing_until_ns=KNOWN, **changes)


def stand(
    stop: StopCondition, sights: Sequence[Sight] = (), source: Source | None = None, t0_ns: int | None = T0
) -> Standing:
    sources = {} if source is None else {stop: source}
    [found] = standings((stop,), Facts(sights, sources, NOW, 2, t0_ns))
    return found


def told(*answers: tuple[float, Said]) -> Source:
    """A source that has said this, so many seconds ago."""
    source = Source()
    for ago_s, said in answers:
        source = source.heard(Answer(NOW - int(ago_s * NS), said, str(said)))
    return source


def test_a_service_that_fails_shorter_than_its_limit_is_not_quiet_but_has_not_tripped() -> None:
    standing = stand(SHOP, [failing(4.9)])
    assert (standing.tripped, standing.quiet) == ("", False)


def test_a_service_that_fails_as_long_as_its_limit_trips_with_what_since_when_and_the_limit() -> None:
    standing = stand(SHOP, [failing(5.0, detail="refused")])
    assert standing.tripped == (
        "shop has been failing since T+14.9 s (5.0 s), seen from o1; 5 s are the limit: refused"
    )


def test_one_observer_that_sees_it_failing_is_enough() -> None:
    assert stand(SHOP, [OK, failing(5.0, observer="o2")]).tripped.startswith("shop has been failing")


def test_a_service_that_is_ok_for_all_is_quiet() -> None:
    standing = stand(SHOP, [OK, replace(OK, observer="o2")])
    assert (standing.quiet, standing.tripped) == (True, "")


@pytest.mark.parametrize(("silent_s", "trips"), [(5.9, False), (6.1, True)])
def test_silence_of_one_observer_counts_as_tripped_after_the_limit_and_an_answers_time(
    silent_s: float, trips: bool
) -> None:
    silent = replace(OK, known_ns=NOW - int(silent_s * NS), observer="o2")
    standing = stand(SHOP, [OK, silent])
    assert bool(standing.tripped) == trips
    assert ("cannot be read" in standing.tripped and "o2" in standing.tripped) == trips


def test_a_short_condition_waits_for_a_batch_of_samples() -> None:
    late = replace(OK, known_ns=NOW - int(1.5 * NS))
    assert stand(ServiceStop("shop", "shop", 0.1), [late]).tripped == ""


def test_a_service_without_any_sample_is_not_quiet() -> None:
    assert not stand(SHOP, [replace(OK, known_ns=None, ok_ns=None)]).quiet


def test_a_service_that_nobody_watches_counts_as_tripped() -> None:
    assert stand(SHOP).tripped == "nobody watches shop"


def test_a_probe_of_its_own_is_judged_by_its_own_sights() -> None:
    assert stand(PROBE, [failing(60.0), replace(OK, service="stop:gateway")]).quiet
    assert stand(PROBE, [failing(5.0, service="stop:gateway")]).tripped.startswith("probe gateway")


def test_a_metric_trips_when_it_was_beyond_its_limit_for_long_enough() -> None:
    assert stand(METRIC, source=told((9.9, Said.AGAINST), (0, Said.AGAINST))).tripped == ""
    tripped = stand(METRIC, source=told((10, Said.AGAINST), (5, Said.AGAINST), (0, Said.AGAINST))).tripped
    assert tripped == "against since T+10.0 s; 10 s are the limit"


def test_a_metric_that_was_back_within_its_limit_begins_anew() -> None:
    source = told((20, Said.AGAINST), (10, Said.GO_ON), (5, Said.AGAINST), (0, Said.AGAINST))
    assert stand(METRIC, source=source).tripped == ""


def test_a_miss_between_two_bad_values_does_not_begin_anew() -> None:
    source = told((10, Said.AGAINST), (5, Said.NOTHING), (0, Said.AGAINST))
    assert stand(METRIC, source=source).tripped


@pytest.mark.parametrize("stop", [METRIC, HOOK])
def test_one_miss_is_not_quiet_and_two_in_a_row_have_tripped(stop: StopCondition) -> None:
    once = stand(stop, source=told((5, Said.GO_ON), (0, Said.NOTHING)))
    assert (once.quiet, once.tripped) == (False, "")
    twice = stand(stop, source=told((5, Said.NOTHING), (0, Said.NOTHING)))
    assert "cannot be read" in twice.tripped
    assert "2 times in a row" in twice.tripped
    assert stand(stop, source=told((9, Said.NOTHING), (5, Said.GO_ON), (0, Said.NOTHING))).tripped == ""


def test_a_source_that_has_not_answered_yet_is_not_quiet() -> None:
    assert not stand(HOOK).quiet


def test_a_webhook_that_says_stop_has_tripped_at_once() -> None:
    assert stand(HOOK, source=told((0, Said.AGAINST))).tripped == "against since T+20.0 s"
    assert stand(HOOK, source=told((0, Said.AGAINST)), t0_ns=None).tripped == "against"


# ---- what an answer means ----


def answer(stop: MetricStop | WebhookStop, reply: Reply | None) -> Answer:
    async def scenario() -> Answer:
        outside = FakeOutside()
        outside.servers = {"https://prom:9090": lambda: reply, "https://ops.example": lambda: reply}
        found = await ask(outside, stop, 7, 1.0)
        if isinstance(stop, MetricStop):
            assert outside.queries() == [stop.query]
        return found

    return run_virtual(scenario())


@pytest.mark.parametrize(
    ("stop", "values", "said"),
    [
        (METRIC, (0.05,), Said.GO_ON),
        (METRIC, (0.051,), Said.AGAINST),
        (METRIC, (0.0, 0.2), Said.AGAINST),
        (METRIC, ("+Inf",), Said.AGAINST),
        (METRIC, ("NaN",), Said.NOTHING),
        (METRIC, (0.0, "NaN"), Said.NOTHING),
        (METRIC, (), Said.NOTHING),
        (LOW, (3.0, 9.0), Said.GO_ON),
        (LOW, (9.0, 2.9), Said.AGAINST),
    ],
)
def test_each_series_of_a_metric_counts(
    stop: MetricStop, values: tuple[float | str, ...], said: Said
) -> None:
    assert answer(stop, prometheus(*values)).said is said


def test_a_scalar_is_a_number_too() -> None:
    body = {"status": "success", "data": {"resultType": "scalar", "result": [1.0, "0.2"]}}
    assert answer(METRIC, Reply(200, json.dumps(body).encode())).words == "it is 0.2, above 0.05"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"null",
        b"{}",
        b'{"data": 1}',
        b'{"data": {"resultType": "vector", "result": [{"value": [1, "many"]}]}}',
        b'{"data": {"resultType": "vector", "result": [{"value": [1]}]}}',
        b'{"data": {"resultType": "matrix", "result": [{"values": [[1, "1"]]}]}}',
        b'{"data": {"resultType": "vector", "result": [1]}}',
        b"[" * 100_000,
        b"\xff",
    ],
)
def test_what_is_no_number_cannot_be_read(body: bytes) -> None:
    assert answer(METRIC, Reply(200, body)).said is Said.NOTHING


def test_what_prometheus_says_of_a_bad_query_is_told() -> None:
    found = answer(METRIC, Reply(400, b'{"status": "error", "error": "parse error"}'))
    assert (found.said, found.words) == (Said.NOTHING, "https://prom:9090 answered 400: parse error")


@pytest.mark.parametrize(
    ("status", "said"),
    [(200, Said.GO_ON), (204, Said.GO_ON), (302, Said.AGAINST), (404, Said.AGAINST), (503, Said.AGAINST)],
)
def test_only_2xx_of_a_webhook_means_go_on_and_its_path_is_never_told(status: int, said: Said) -> None:
    found = answer(HOOK, Reply(status, b""))
    assert found.said is said
    assert "secret" not in found.words


class Hanging(FakeOutside):
    async def get(self, url: str, *, timeout_s: float, headers: Mapping[str, str] | None = None) -> Reply:
        await asyncio.sleep(3600)
        return Reply(200, b"")


def test_a_source_is_never_waited_for_longer_than_it_was_given() -> None:
    async def scenario() -> Answer:
        return await ask(Hanging(), HOOK, 7, 1.0)

    found = run_virtual(scenario())
    assert (found.said, found.words) == (Said.NOTHING, "https://ops.example: no answer within 1 s")
