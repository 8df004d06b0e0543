"""The routes. Each decodes, makes one call, encodes; nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from blackstart_proto.v1 import agent_pb2
from fastapi import APIRouter, Depends, FastAPI, Request, Response
from fastapi.responses import PlainTextResponse
from google.protobuf.message import DecodeError
from pydantic import Field

from blackstart_controller.api import answers, calendar_feed, control, gamedays, notices, runs, schedules
from blackstart_controller.api.body import Body
from blackstart_controller.api.guard import READ, BodyLimit, Guard, decided, install_errors, may
from blackstart_controller.control.service import Control
from blackstart_controller.errors import NotFound, UsageError
from blackstart_controller.gameday.service import GameDays
from blackstart_controller.notify.service import Notify
from blackstart_controller.runs.ports import Fleet
from blackstart_controller.runs.service import Runs
from blackstart_controller.schedule.service import Schedules
from blackstart_controller.security.enrolment import Enrolment
from blackstart_controller.security.feeds import Feeds
from blackstart_controller.security.roles import Permission
from blackstart_controller.security.tokens import JOIN_TTL_S, Tokens
from blackstart_controller.store.ports import Store

OPEN_ROUTES = frozenset(
    {("GET", "/livez"), ("GET", "/ca.pem"), ("POST", "/v1/enrol"), calendar_feed.FEED_ROUTE}
)
PROTOBUF = "application/x-protobuf"


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
    for router in (_open_routes(parts), _fleet_routes(parts), *runs.routes(parts.runs)):
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


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
