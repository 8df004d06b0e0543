"""`/calendar.ics?token=…` for calendar programs, and the tokens for it.

The feed is the one route that takes a token from the URL: one of its own kind, which opens nothing else.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from datetime import timedelta
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import Field

from blackstart_controller.api.answers import expiry
from blackstart_controller.api.body import Body
from blackstart_controller.api.guard import may
from blackstart_controller.gameday.calendar import CalendarEvent, calendar_text, gameday_event
from blackstart_controller.gameday.service import GameDays
from blackstart_controller.schedule.model import Schedule
from blackstart_controller.schedule.service import Coming, Schedules
from blackstart_controller.security.feeds import FEED_TTL_S, Feed, Feeds
from blackstart_controller.security.roles import Operator, Permission
from blackstart_controller.security.secret import Secret

FEED_ROUTE = ("GET", "/calendar.ics")
READER = Depends(may(Permission.READ))
MAX_AGE_S = 300
DUE_TIMES = 20  # of each schedule
SHOWN_LENGTH = timedelta(minutes=30)  # nobody knows how long a run takes; a calendar wants something to draw


class FeedBody(Body):
    """`times`: show zero-notice moments too; needs the permission to approve."""

    times: bool = False
    ttl_s: Annotated[int, Field(ge=1)] = FEED_TTL_S


def routes(feeds: Feeds, gamedays: GameDays, schedules: Schedules) -> tuple[APIRouter, ...]:
    return _feed_route(feeds, gamedays, schedules), _token_routes(feeds)


def _feed_route(feeds: Feeds, gamedays: GameDays, schedules: Schedules) -> APIRouter:
    router = APIRouter()

    @router.get("/calendar.ics")
    async def feed(request: Request, token: Annotated[str, Query(max_length=200)] = "") -> Response:
        known = await feeds.check(Secret(token))
        events = [gameday_event(row, secrets_too=known.times) for row in await gamedays.all()]
        events += [one for schedule in await schedules.all() for one in await _due(schedules, schedule)]
        text = await asyncio.to_thread(calendar_text, events)
        tag = f'"{hashlib.sha256(text).hexdigest()[:32]}"'
        headers = {
            "ETag": tag,
            "Cache-Control": f"private, max-age={MAX_AGE_S}",
            "Referrer-Policy": "no-referrer",
        }
        if tag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        return Response(text, media_type="text/calendar; charset=utf-8", headers=headers)

    return router


def _token_routes(feeds: Feeds) -> APIRouter:
    router = APIRouter(prefix="/v1/feeds")

    @router.post("", status_code=201)
    async def create(body: FeedBody, request: Request, by: Operator = READER) -> dict[str, Any]:
        secret, feed = await feeds.create(by, times=body.times, ttl_s=body.ttl_s)
        url = f"{str(request.base_url).rstrip('/')}/calendar.ics?token={secret.reveal()}"
        return _answer(feed) | {"url": url}

    @router.get("")
    async def every(by: Operator = READER) -> dict[str, Any]:
        return {"feeds": [_answer(feed) for feed in await feeds.all(by)]}

    @router.post("/{feed_id}/revoke")
    async def revoke(feed_id: str, by: Operator = READER) -> dict[str, Any]:
        await feeds.revoke(by, feed_id)
        return {"revoked": feed_id}

    return router


async def _due(schedules: Schedules, schedule: Schedule) -> list[CalendarEvent]:
    """The next due times of a schedule that does not stand still, without those that would be skipped."""
    if schedule.stands_still() is not None:
        return []
    coming: Sequence[Coming] = await schedules.next(schedule, DUE_TIMES)
    return [_event(schedule, one) for one in coming if one.skip is None and not one.due.lost]


def _event(schedule: Schedule, coming: Coming) -> CalendarEvent:
    start = coming.due.starts.astimezone(ZoneInfo(schedule.spec.zone))
    return CalendarEvent(
        uid=f"schedule-{schedule.name}-{coming.due.at:%Y%m%dT%H%M%SZ}@blackstart",
        start=start,
        end=start + SHOWN_LENGTH,
        zone=schedule.spec.zone,
        summary=f"Chaos run: {schedule.name}",
        description=f"{schedule.document.file}\nblackstart schedule show {schedule.name}",
        status="CONFIRMED",
        sequence=0,
        stamp=schedule.created,
    )


def _answer(feed: Feed) -> dict[str, Any]:
    return {"id": feed.id, "name": feed.name, "times": feed.times, "expires": expiry(feed.expires_s)}
