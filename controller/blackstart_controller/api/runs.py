"""The routes of plans, runs and their reports."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Header, Query, Request
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse, StreamingResponse
from pydantic import Field

from blackstart_controller.api import answers
from blackstart_controller.api.body import Body
from blackstart_controller.api.events import server_sent
from blackstart_controller.api.guard import READ, check_again, may
from blackstart_controller.report import html, json_report, markdown
from blackstart_controller.runs.launch import Launch
from blackstart_controller.runs.service import Runs
from blackstart_controller.security.roles import Operator, Permission
from blackstart_controller.spec.document import Document


class DocumentBody(Body):
    document: str
    file: str = Field(default="experiment.yaml", max_length=1024)
    parameters: dict[str, str] = Field(default_factory=dict)

    def as_document(self) -> Document:
        return Document(self.document, self.file, self.parameters)


class RunBody(DocumentBody):
    trigger: Literal["manual", "gate"] = "manual"
    plan_hash: str | None = None


class ReasonBody(Body):
    reason: str = Field(default="", max_length=1000)


def routes(runs: Runs) -> Sequence[APIRouter]:
    return _run_routes(runs), _halt_routes(runs), _report_routes(runs)


def _run_routes(runs: Runs) -> APIRouter:
    router = APIRouter()
    starter = Depends(may(Permission.OPERATE))

    @router.post("/v1/plans", dependencies=READ)
    async def plan(body: DocumentBody) -> dict[str, Any]:
        return answers.plan_answer(await runs.plan(body.as_document()))

    @router.post("/v1/runs", status_code=201)
    async def start(
        body: RunBody,
        by: Operator = starter,
        idempotency_key: Annotated[str | None, Header(min_length=1, max_length=200)] = None,
    ) -> dict[str, str]:
        launch = Launch(
            body.as_document(),
            operator=by.name,
            trigger=body.trigger,
            plan_hash=body.plan_hash,
            idempotency_key=idempotency_key,
        )
        run_id = await runs.start(launch)
        return {"id": run_id}

    @router.get("/v1/runs", dependencies=READ)
    async def list_runs() -> dict[str, Any]:
        return {"runs": [answers.run_answer(row) for row in await runs.list()]}

    @router.get("/v1/runs/{run_id}", dependencies=READ)
    async def show(run_id: str) -> dict[str, Any]:
        return answers.live_answer(await runs.get(run_id), runs.live(run_id))

    @router.get("/v1/runs/{run_id}/events", dependencies=READ)
    async def events(
        request: Request, run_id: str, after: Annotated[int, Query(ge=0)] = 0
    ) -> StreamingResponse:
        await runs.get(run_id)  # a run that does not exist is a 404, not an empty stream
        frames = server_sent(runs.events(run_id, after), check=partial(check_again, request))
        return StreamingResponse(
            frames, media_type="text/event-stream", headers={"Cache-Control": "no-store"}
        )

    return router


def _halt_routes(runs: Runs) -> APIRouter:
    router = APIRouter()
    halter = Depends(may(Permission.HALT))

    @router.post("/v1/runs/{run_id}/halt")
    async def halt(run_id: str, body: ReasonBody, by: Operator = halter) -> dict[str, Any]:
        await runs.halt(run_id, body.reason, by.name)
        ctx = runs.live(run_id)  # answered from memory: halting must work without the database
        return answers.run_answer(await runs.get(run_id)) if ctx is None else answers.halted_answer(ctx)

    @router.post("/v1/halt")
    async def halt_all(body: ReasonBody, by: Operator = halter) -> dict[str, Any]:
        return {"halted": await runs.halt_all(body.reason, by.name)}

    return router


def _report_routes(runs: Runs) -> APIRouter:
    router = APIRouter(dependencies=READ)

    @router.get("/v1/runs/{run_id}/report.json")
    async def as_json(run_id: str) -> JSONResponse:
        return JSONResponse(await asyncio.to_thread(json_report.document, await runs.report(run_id)))

    @router.get("/v1/runs/{run_id}/report.html")
    async def as_html(run_id: str) -> HTMLResponse:
        return HTMLResponse(await asyncio.to_thread(html.text, await runs.report(run_id)))

    @router.get("/v1/runs/{run_id}/report.md")
    async def as_markdown(run_id: str) -> PlainTextResponse:
        text = await asyncio.to_thread(markdown.text, await runs.report(run_id))
        return PlainTextResponse(text, media_type="text/markdown; charset=utf-8")

    return router
