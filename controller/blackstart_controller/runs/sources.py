"""Ask the sources of stop conditions that lie outside: a Prometheus, a webhook. What they say is judged in
`stops`.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlencode, urlsplit

from blackstart_controller.outside.ports import Outside, Reply, Unreadable
from blackstart_controller.plan.model import MetricStop, StopCondition, WebhookStop
from blackstart_controller.runs.background import Spawn
from blackstart_controller.runs.context import RunContext
from blackstart_controller.runs.stops import NS, Answer, Said, Source

MAX_WORDS = 200


def watch_sources(ctx: RunContext, spawn: Spawn) -> None:
    """Each source outside is asked from now on, each at its own pace."""
    for stop in ctx.plan.stops:
        if isinstance(stop, MetricStop | WebhookStop):
            spawn(_ask_for_ever(ctx, stop))


def refused_urls(stops: Iterable[StopCondition], outside: Outside) -> list[str]:
    """Why a condition's source will not be asked, for each of those."""
    asked = (stop for stop in stops if isinstance(stop, MetricStop | WebhookStop))
    found = ((stop.name, outside.refusal(stop.url)) for stop in asked)
    return [f"stop condition {name}: {refusal}" for name, refusal in found if refusal is not None]


async def _ask_for_ever(ctx: RunContext, stop: MetricStop | WebhookStop) -> None:
    """At fixed moments, however long an answer takes: a moment that has passed meanwhile is left out."""
    every_ns = int(stop.every_s * NS)
    due_ns = ctx.clock.monotonic_ns()
    while True:
        answer = await ask(ctx.outside, stop, due_ns, min(stop.every_s, ctx.settings.stop_answer_s))
        ctx.sources[stop] = ctx.sources.get(stop, Source()).heard(answer)
        ctx.log.pulse.beat()
        now_ns = ctx.clock.monotonic_ns()
        due_ns += every_ns * max(1, math.ceil((now_ns - due_ns) / every_ns))
        await asyncio.sleep((due_ns - now_ns) / NS)


async def ask(outside: Outside, stop: MetricStop | WebhookStop, at_ns: int, timeout_s: float) -> Answer:
    """What the source says, or that it says nothing."""
    url = _query_url(stop) if isinstance(stop, MetricStop) else stop.url
    try:
        async with asyncio.timeout(timeout_s):
            reply = await outside.get(url, timeout_s=timeout_s)
        return _metric(stop, reply, at_ns) if isinstance(stop, MetricStop) else _webhook(stop, reply, at_ns)
    except TimeoutError:
        return Answer(at_ns, Said.NOTHING, f"{_origin(stop.url)}: no answer within {timeout_s:g} s")
    except Unreadable as error:
        return Answer(at_ns, Said.NOTHING, str(error)[:MAX_WORDS])


def _webhook(stop: WebhookStop, reply: Reply, at_ns: int) -> Answer:
    go_on = 200 <= reply.status <= 299
    words = f"{_origin(stop.url)} answered {reply.status}" + ("" if go_on else ", and only 2xx means go on")
    return Answer(at_ns, Said.GO_ON if go_on else Said.AGAINST, words)


def _metric(stop: MetricStop, reply: Reply, at_ns: int) -> Answer:
    """Of several series each counts: one beyond the limit is enough."""
    values = _values(stop, reply)
    if stop.above is not None:
        value, limit, beyond = max(values), f"above {stop.above:g}", max(values) > stop.above
    elif stop.below is not None:
        value, limit, beyond = min(values), f"below {stop.below:g}", min(values) < stop.below
    else:
        raise Unreadable("the condition has no limit")
    if not beyond:
        return Answer(at_ns, Said.GO_ON, f"it is {value:g}")
    return Answer(at_ns, Said.AGAINST, f"it is {value:g}, {limit}")


def _values(stop: MetricStop, reply: Reply) -> list[float]:
    """The numbers in an answer of Prometheus' `/api/v1/query`, at least one. Raises Unreadable."""
    where = _origin(stop.url)
    if reply.status != 200:
        raise Unreadable(f"{where} answered {reply.status}{_complaint(reply.body)}")
    try:
        data = json.loads(reply.body)["data"]
        rows = [data] if data["resultType"] == "scalar" else data["result"]
        pairs = [row["result"] if data["resultType"] == "scalar" else row["value"] for row in rows]
        values = [float(number) for _moment, number in pairs]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise Unreadable(f"{where}: the answer holds no numbers of one moment (scalar or vector)") from None
    if not values:
        raise Unreadable(f"{where}: the query has no result")
    if any(math.isnan(value) for value in values):
        raise Unreadable(f"{where}: the result is not a number (NaN)")
    return values


def _complaint(body: bytes) -> str:
    """What Prometheus says of a query that it does not understand."""
    try:
        told: Any = json.loads(body)
    except (ValueError, RecursionError):
        return ""
    why = told.get("error") if isinstance(told, dict) else None
    return f": {why[:MAX_WORDS]}" if isinstance(why, str) else ""


def _query_url(stop: MetricStop) -> str:
    return f"{stop.url.rstrip('/')}/api/v1/query?{urlencode({'query': stop.query})}"


def _origin(url: str) -> str:
    """A path may hold a secret; this is what may be told."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
