"""The routes. Each decodes, makes one call, encodes; nothing else."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Literal

from blackstart_proto.v1 import agent_pb2
from fastapi import APIRouter, Depends, FastAPI, Header, Query, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse, StreamingResponse
from google.protobuf.message import DecodeError
from pydantic import BaseModel, ConfigDict, Field

from blackstart_controller.api import answers, calendar_feed, control, gamedays, notices, schedules
from blackstart_controller.api.events import server_sent
from blackstart_controller.api.guard import BodyLimit, Guard, check_again, decided, install_errors, may
from blackstart_controller.control.service import Control
from blackstart_controller.errors import NotFound, UsageError
from blackstart_controller.gameday.service import GameDays
from blackstart_controller.notify.service import Notify
from blackstart_controller.report import html, json_report, markdown
from blackstart_controller.runs.launch import Launch
from blackstart_controller.runs.ports import Fleet
from blackstart_controller.runs.service import Runs
from blackstart_controller.schedule.service import Schedules
from blackstart_controller.security.enrolment import Enrolment
from blackstart_controller.security.feeds import Feeds
from blackstart_controller.security.roles import Operator, Permission
from blackstart_controller.security.tokens import JOIN_TTL_S, Tokens
from blackstart_controller.spec.document import Document
from blackstart_controller.store.ports import Store

OPEN_ROUTES = frozenset(
    {("GET", "/livez"), ("GET", "/ca.pem"), ("POST", "/v1/enrol"), calendar_feed.FEED_ROUTE}
)
PROTOBUF = "application/x-protobuf"
READ = [Depends(may(Permission.READ))]


@dataclass(frozen=True, slots=True)
class Parts:
    """What the routes stand on. `agents_port` is the gRPC listener's; `name` is this controller's."""

    runs: Runs
    fleet: Fleet
    store: Store
    tokens: Tokens
    enrolment: Enrolment
    authority_pem: bytes
    agents_port: int
    name: str
    schedules: Schedules
    notify: Notify
    control: Control
    gamedays: GameDays
    feeds: Feeds


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


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


class TokenBody(Body):
    host: str = ""
    ttl_s: Annotated[float, Field(ge=1, strict=False)] = JOIN_TTL_S


def create_app(parts: Parts) -> FastAPI:
    """The API as an ASGI application. Everything but OPEN_ROUTES wants an operator's token."""
    app = FastAPI(
        title="blackstart",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        dependencies=[Depends(decided)],
    )
    install_errors(app)
    for router in (_open_routes(parts), _fleet_routes(parts), _run_routes(parts), _report_routes(parts)):
        app.include_router(router)
    for router in (
        *schedules.routes(parts.schedules),
        notices.routes(parts.notify),
        control.routes(parts.control),
        *gamedays.routes(parts.gamedays),
        *calendar_feed.routes(parts.feeds, parts.gamedays, parts.schedules),
    ):
        app.include_router(router)
    app.add_middleware(BodyLimit)
    app.add_middleware(Guard, check=parts.control.operators.admit, open_routes=OPEN_ROUTES)  # the outermost
    return app


def _open_routes(parts: Parts) -> APIRouter:
    router = APIRouter()

    @router.get("/livez")
    async def livez() -> PlainTextResponse:
        return PlainTextResponse("ok\n")

    @router.get("/ca.pem")
    async def authority() -> Response:
        return Response(parts.authority_pem, media_type="application/x-pem-file")

    @router.post("/v1/enrol")
    async def enrol(request: Request) -> Response:
        try:
            message = agent_pb2.EnrolRequest.FromString(await request.body())
        except DecodeError as error:
            raise UsageError("enrol: the body is no EnrolRequest; use blackstart-agent enroll") from error
        address = f"{_bracketed(request.url.hostname or parts.name)}:{parts.agents_port}"
        reply = await parts.enrolment.enrol(message, agent_address=address)
        return Response(reply.SerializeToString(), media_type=PROTOBUF)

    return router


def _fleet_routes(parts: Parts) -> APIRouter:
    router = APIRouter()

    async def inventory() -> dict[str, dict[str, Any]]:
        rows = {row.name: row for row in await parts.store.hosts()}
        views = parts.fleet.snapshot().hosts
        return {view.name: answers.host_answer(view, rows.get(view.name)) for view in views}

    @router.get("/v1/hosts", dependencies=READ)
    async def hosts() -> dict[str, Any]:
        return {"hosts": list((await inventory()).values())}

    @router.get("/v1/hosts/{name}", dependencies=READ)
    async def host(name: str) -> dict[str, Any]:
        found = (await inventory()).get(name)
        if found is None:
            raise NotFound(f"host {name}: there is none; `blackstart host list` shows all")
        return found

    @router.post("/v1/tokens", dependencies=[Depends(may(Permission.ADMIN))])
    async def token(body: TokenBody) -> dict[str, Any]:
        made = await parts.tokens.create_join(host=body.host, ttl_s=int(body.ttl_s))
        return {"token": made.token.reveal(), "expires": answers.expiry(made.expires_s)}

    return router


def _run_routes(parts: Parts) -> APIRouter:
    router = APIRouter()
    runs = parts.runs
    starter, halter = Depends(may(Permission.OPERATE)), Depends(may(Permission.HALT))

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

    @router.post("/v1/runs/{run_id}/halt")
    async def halt(run_id: str, body: ReasonBody, by: Operator = halter) -> dict[str, Any]:
        await runs.halt(run_id, body.reason, by.name)
        ctx = runs.live(run_id)  # answered from memory: halting must work without the database
        return answers.run_answer(await runs.get(run_id)) if ctx is None else answers.halted_answer(ctx)

    @router.post("/v1/halt")
    async def halt_all(body: ReasonBody, by: Operator = halter) -> dict[str, Any]:
        return {"halted": await runs.halt_all(body.reason, by.name)}

    return router


def _report_routes(parts: Parts) -> APIRouter:
    router = APIRouter(dependencies=READ)

    @router.get("/v1/runs/{run_id}/report.json")
    async def as_json(run_id: str) -> JSONResponse:
        return JSONResponse(await asyncio.to_thread(json_report.document, await parts.runs.report(run_id)))

    @router.get("/v1/runs/{run_id}/report.html")
    async def as_html(run_id: str) -> HTMLResponse:
        return HTMLResponse(await asyncio.to_thread(html.text, await parts.runs.report(run_id)))

    @router.get("/v1/runs/{run_id}/report.md")
    async def as_markdown(run_id: str) -> PlainTextResponse:
        text = await asyncio.to_thread(markdown.text, await parts.runs.report(run_id))
        return PlainTextResponse(text, media_type="text/markdown; charset=utf-8")

    return router


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
