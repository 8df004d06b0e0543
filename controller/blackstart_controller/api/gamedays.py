"""The routes of game days. A zero-notice moment is shown only to who may approve."""

from __future__ import annotations

import asyncio
from datetime import date
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Request
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse
from pydantic import Field

from blackstart_controller.api.body import Body
from blackstart_controller.api.guard import may
from blackstart_controller.gameday import formats, html
from blackstart_controller.gameday.due import starts_shown
from blackstart_controller.gameday.model import GameDay, Kept
from blackstart_controller.gameday.plan import radius
from blackstart_controller.gameday.service import GameDays, Handed, PlannedDay
from blackstart_controller.gameday.view import DayView
from blackstart_controller.security.roles import Operator, Permission

READER = Depends(may(Permission.READ))
OPERATOR = Depends(may(Permission.OPERATE))
HALTER = Depends(may(Permission.HALT))
Words = Annotated[str, Field(min_length=1, max_length=20_000)]
Short = Annotated[str, Field(max_length=1000)]


class PlanBody(Body):
    """`experiments`: the text of every file that the document names, under the name it has there."""

    document: str
    file: str = Field(default="gameday.yaml", max_length=1024)
    experiments: dict[str, str] = Field(default_factory=dict, max_length=100)
    replaces: str = Field(default="", max_length=200)


class CheckBody(Body):
    done: list[Short] = Field(default_factory=list, max_length=200)


class OverrideBody(Body):
    override: Short = ""


class NoteBody(Body):
    text: Words


class FindingBody(Body):
    text: Words
    severity: Literal["low", "medium", "high", "critical"]
    owner: Short = ""
    action: Short = ""
    retest: Annotated[date, Field(strict=False)] | None = None


class RetestBody(Body):
    run: Short


class JudgeBody(Body):
    result: Literal["held", "broken", "inconclusive"]
    text: Short = ""


class ReasonBody(Body):
    reason: Short = ""


def routes(gamedays: GameDays) -> tuple[APIRouter, ...]:
    days = APIRouter(prefix="/v1/gamedays")
    one = APIRouter(prefix="/v1/gamedays/{gameday_id}")
    _plan_routes(days, gamedays)
    _day_routes(one, gamedays)
    _learning_routes(one, gamedays)
    _report_routes(one, gamedays)
    return days, one


def _plan_routes(router: APIRouter, gamedays: GameDays) -> None:
    @router.post("", status_code=201)
    async def plan(body: PlanBody, by: Operator = OPERATOR) -> dict[str, Any]:
        handed = Handed(body.document, body.file, body.experiments)
        made = await gamedays.plan(handed, by.name, body.replaces)
        return {
            "gameday": await _answer(gamedays, made.kept, by),
            "plans": _plans(made),
            "warnings": list(made.warnings),
        }

    @router.get("")
    async def every(by: Operator = READER) -> dict[str, Any]:
        return {"gamedays": [_row(one, by) for one in await gamedays.all()]}


def _day_routes(router: APIRouter, gamedays: GameDays) -> None:
    @router.get("")
    async def show(gameday_id: str, by: Operator = READER) -> dict[str, Any]:
        return await _answer(gamedays, await gamedays.get(gameday_id), by)

    @router.post("/check")
    async def check(gameday_id: str, body: CheckBody, by: Operator = OPERATOR) -> dict[str, Any]:
        return await _answer(gamedays, await gamedays.check(gameday_id, by.name, body.done), by)

    @router.post("/start")
    async def start(gameday_id: str, body: OverrideBody, by: Operator = OPERATOR) -> dict[str, Any]:
        return await _answer(gamedays, await gamedays.start(gameday_id, by.name, body.override), by)

    @router.post("/go")
    async def go(gameday_id: str, body: OverrideBody, by: Operator = OPERATOR) -> dict[str, Any]:
        return {"run": await gamedays.go(gameday_id, by.name, body.override)}

    @router.post("/abort")
    async def abort(gameday_id: str, body: ReasonBody, by: Operator = HALTER) -> dict[str, Any]:
        return await _answer(gamedays, await gamedays.abort(gameday_id, by.name, body.reason), by)

    @router.post("/finish")
    async def finish(gameday_id: str, by: Operator = OPERATOR) -> dict[str, Any]:
        return await _answer(gamedays, await gamedays.finish(gameday_id, by.name), by)


def _learning_routes(router: APIRouter, gamedays: GameDays) -> None:
    @router.post("/notes", status_code=201)
    async def note(gameday_id: str, body: NoteBody, by: Operator = OPERATOR) -> dict[str, Any]:
        return _last(await gamedays.note(gameday_id, by.name, body.text))

    @router.post("/findings", status_code=201)
    async def finding(gameday_id: str, body: FindingBody, by: Operator = OPERATOR) -> dict[str, Any]:
        told = {"severity": body.severity, "owner": body.owner, "action": body.action}
        told["retest"] = body.retest.isoformat() if body.retest else ""
        kept = await gamedays.finding(gameday_id, by.name, body.text, told)
        return _last(kept) | {"finding": sum(one.kind == "finding" for one in kept.entries)}

    @router.post("/findings/{number}/retests", status_code=201)
    async def retest(
        gameday_id: str, number: int, body: RetestBody, by: Operator = OPERATOR
    ) -> dict[str, Any]:
        return _last(await gamedays.retest(gameday_id, by.name, number, body.run))

    @router.post("/hypotheses/{number}", status_code=201)
    async def judge(gameday_id: str, number: int, body: JudgeBody, by: Operator = OPERATOR) -> dict[str, Any]:
        return _last(await gamedays.judge(gameday_id, by.name, number, body.result, body.text))


def _report_routes(router: APIRouter, gamedays: GameDays) -> None:
    @router.get("/report.json")
    async def as_json(gameday_id: str, by: Operator = READER) -> JSONResponse:
        return JSONResponse(await _answer(gamedays, await gamedays.get(gameday_id), by))

    @router.get("/report.html")
    async def as_html(gameday_id: str, request: Request, by: Operator = READER) -> HTMLResponse:
        view = await _view(gamedays, await gamedays.get(gameday_id), by)
        return HTMLResponse(await asyncio.to_thread(html.text, view, str(request.base_url)))

    @router.get("/report.md")
    async def as_markdown(gameday_id: str, by: Operator = READER) -> PlainTextResponse:
        text = formats.markdown_text(await _view(gamedays, await gamedays.get(gameday_id), by))
        return PlainTextResponse(text, media_type="text/markdown; charset=utf-8")


async def _view(gamedays: GameDays, kept: Kept, by: Operator) -> DayView:
    return await gamedays.view(kept, secrets_too=by.may(Permission.APPROVE))


async def _answer(gamedays: GameDays, kept: Kept, by: Operator) -> dict[str, Any]:
    return formats.document(await _view(gamedays, kept, by))


def _plans(made: PlannedDay) -> list[dict[str, Any]]:
    return [
        {
            "experiment": one.name,
            "hosts": radius(one.plan)[0] if one.plan else None,
            "hash": one.answer.hash if one.answer else None,
            "why": one.why,
        }
        for one in made.planned
    ]


def _row(row: GameDay, by: Operator) -> dict[str, Any]:
    return {
        "id": row.id,
        "title": row.title,
        "state": row.state,
        "zero_notice": row.zero_notice,
        "window_start": row.window_start,
        "window_end": row.window_end,
        "starts_at": starts_shown(row, secrets_too=by.may(Permission.APPROVE)),
        "planned_by": row.planned_by,
    }


def _last(kept: Kept) -> dict[str, Any]:
    entry = kept.entries[-1]
    return {"seq": entry.seq, "at": entry.at, "author": entry.author}
