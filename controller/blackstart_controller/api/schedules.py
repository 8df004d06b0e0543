"""The routes of schedules and of blackout calendars."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Depends, Query
from pydantic import Field

from blackstart_controller.api.body import Body
from blackstart_controller.api.guard import may
from blackstart_controller.runs.clock import iso
from blackstart_controller.schedule.model import Calendar, DueRow, Schedule
from blackstart_controller.schedule.service import MAX_NEXT, Coming, Schedules
from blackstart_controller.schedule.words import when_text
from blackstart_controller.security.roles import Operator, Permission
from blackstart_controller.spec.document import Document

READER = Depends(may(Permission.READ))
OPERATOR = Depends(may(Permission.OPERATE))
SHOWN = 10  # outcomes in `show`
Text = Annotated[str, Field(max_length=200)]


class WordsBody(Body):
    cron: Text | None = None
    at: Text | None = None
    mean: Text | None = None
    min_gap: Text | None = None
    zone: Text
    windows: list[Text] = Field(default_factory=list, max_length=50)
    calendars: list[Text] = Field(default_factory=list, max_length=50)
    holidays: list[Text] = Field(default_factory=list, max_length=50)
    jitter: Text | None = None
    missed: Text | None = None
    overlap: Text | None = None


class ScheduleBody(Body):
    name: str
    document: str
    file: str = Field(default="experiment.yaml", max_length=1024)
    parameters: dict[str, str] = Field(default_factory=dict)
    words: WordsBody


class ArmBody(Body):
    plan_hash: str | None = None


class ReasonBody(Body):
    reason: str = Field(default="", max_length=1000)


class CalendarBody(Body):
    name: str
    text: str


def routes(schedules: Schedules) -> tuple[APIRouter, ...]:
    return _schedule_routes(schedules), _change_routes(schedules), _calendar_routes(schedules)


def _schedule_routes(schedules: Schedules) -> APIRouter:
    router = APIRouter(prefix="/v1/schedules")

    @router.post("", status_code=201)
    async def add(body: ScheduleBody, by: Operator = OPERATOR) -> dict[str, Any]:
        document = Document(body.document, body.file, body.parameters)
        words = body.words.model_dump(exclude_none=True, exclude_defaults=True)
        made, warnings = await schedules.add(body.name, words, document, by.name)
        return {"schedule": await _answer(schedules, made), "warnings": warnings}

    @router.get("", dependencies=[READER])
    async def every() -> dict[str, Any]:
        return {"schedules": [await _answer(schedules, one) for one in await schedules.all()]}

    @router.get("/{name}", dependencies=[READER])
    async def show(name: str) -> dict[str, Any]:
        found = await schedules.get(name)
        outcomes = await schedules.outcomes(found, SHOWN)
        return await _answer(schedules, found) | {
            "document": found.document.text,
            "outcomes": [_outcome(one, found.spec.zone) for one in outcomes],
        }

    @router.get("/{name}/next", dependencies=[READER])
    async def following(name: str, n: Annotated[int, Query(ge=1, le=MAX_NEXT)] = 5) -> dict[str, Any]:
        found = await schedules.get(name)
        coming = await schedules.next(found, n)
        standing = {"state": found.state, "stands_still": found.stands_still()}
        return standing | {"zone": found.spec.zone, "next": [_coming(one, found.spec.zone) for one in coming]}

    return router


def _change_routes(schedules: Schedules) -> APIRouter:
    router = APIRouter(prefix="/v1/schedules/{name}")

    @router.post("/arm")
    async def arm(name: str, body: ArmBody, by: Operator = OPERATOR) -> dict[str, Any]:
        approver = by.may(Permission.APPROVE)
        armed = await schedules.arm(name, by.name, approver=approver, plan_hash=body.plan_hash)
        return await _answer(schedules, armed)

    @router.post("/disarm", dependencies=[OPERATOR])
    async def disarm(name: str) -> dict[str, Any]:
        return await _answer(schedules, await schedules.disarm(name))

    @router.post("/pause")
    async def pause(name: str, body: ReasonBody, by: Operator = OPERATOR) -> dict[str, Any]:
        return await _answer(schedules, await schedules.pause(name, by.name, body.reason))

    @router.post("/resume", dependencies=[OPERATOR])
    async def resume(name: str) -> dict[str, Any]:
        return await _answer(schedules, await schedules.resume(name))

    @router.post("/remove", dependencies=[OPERATOR])
    async def remove(name: str) -> dict[str, Any]:
        await schedules.remove(name)
        return {"removed": name}

    return router


def _calendar_routes(schedules: Schedules) -> APIRouter:
    router = APIRouter(prefix="/v1/calendars")

    @router.post("", status_code=201)
    async def save(body: CalendarBody, by: Operator = OPERATOR) -> dict[str, Any]:
        return {"name": body.name, "events": await schedules.import_calendar(body.name, body.text, by.name)}

    @router.get("", dependencies=[READER])
    async def every() -> dict[str, Any]:
        return {"calendars": [_calendar(one) for one in await schedules.calendars()]}

    @router.get("/{name}", dependencies=[READER])
    async def show(name: str) -> dict[str, Any]:
        found = await schedules.calendar(name)
        return _calendar(found) | {"text": found.text}

    @router.post("/{name}/remove", dependencies=[OPERATOR])
    async def remove(name: str) -> dict[str, Any]:
        await schedules.remove_calendar(name)
        return {"removed": name}

    return router


async def _answer(schedules: Schedules, schedule: Schedule) -> dict[str, Any]:
    coming = await schedules.next(schedule, 1)
    last = await schedules.outcomes(schedule, 1)
    zone = schedule.spec.zone
    return {
        "name": schedule.name,
        "when": when_text(schedule.words),
        "words": dict(schedule.words),
        "zone": zone,
        "file": schedule.document.file,
        "parameters": dict(schedule.document.parameters),
        "state": schedule.state,
        "created_by": schedule.created_by,
        "created": iso(schedule.created),
        "armed_by": schedule.armed_by,
        "approved_by": schedule.approved_by,
        "plan_hash": schedule.plan_hash,
        "stands_still": schedule.stands_still(),
        "next": _coming(coming[0], zone) if coming else None,
        "last": _outcome(last[0], zone) if last else None,
    }


def _coming(coming: Coming, zone: str) -> dict[str, Any]:
    due = coming.due
    starts = {"starts": iso(due.starts), "starts_local": _local(due.starts, zone)}
    return {"due": iso(due.at), **starts, "note": due.note, "skip": coming.skip}


def _outcome(row: DueRow, zone: str) -> dict[str, Any]:
    return {
        "due": iso(row.due),
        "due_local": _local(row.due, zone),
        "until": iso(row.until),
        "count": row.count,
        "state": row.state,
        "reason": row.reason,
        "note": row.note,
        "run": row.run_id,
        "decided": iso(row.decided),
    }


def _calendar(calendar: Calendar) -> dict[str, Any]:
    return {"name": calendar.name, "imported_by": calendar.imported_by, "imported": iso(calendar.imported)}


def _local(moment: datetime, zone: str) -> str:
    """With its offset: on the night that the clock goes back, only that tells two times apart."""
    return moment.astimezone(ZoneInfo(zone)).strftime("%a %Y-%m-%d %H:%M:%S %z")
