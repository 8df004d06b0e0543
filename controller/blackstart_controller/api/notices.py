"""The routes of notifications: targets, and the log of deliveries. No answer holds a target's URL."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query
from pydantic import ConfigDict, Field

from blackstart_controller.api.body import Body
from blackstart_controller.api.guard import may
from blackstart_controller.notify.model import Delivery, Kind, Target
from blackstart_controller.notify.service import NewTarget, Notify
from blackstart_controller.security.roles import Operator, Permission

READER = Depends(may(Permission.READ))
APPROVER = Depends(may(Permission.APPROVE))
ADMIN = Depends(may(Permission.ADMIN))


class TargetBody(Body):
    model_config = ConfigDict(hide_input_in_errors=True)
    name: str = Field(max_length=100)
    kind: Literal["webhook", "apprise"]
    url: str = Field(min_length=1, max_length=2000)
    types: list[str] = Field(default_factory=lambda: ["*"], min_length=1, max_length=50)
    secret: str = Field(default="", max_length=200)


def routes(notify: Notify) -> APIRouter:
    router = APIRouter(prefix="/v1/notify")

    @router.post("/targets", status_code=201)
    async def add(body: TargetBody, by: Operator = ADMIN) -> dict[str, Any]:
        new = NewTarget(body.name, Kind(body.kind), body.url, tuple(body.types), body.secret)
        target = await notify.add(new, by.name)
        made = {} if body.secret or not target.secret else {"secret": target.secret}
        return {"target": _target_answer(notify, target)} | made

    @router.get("/targets", dependencies=[READER])
    async def every() -> dict[str, Any]:
        return {"targets": [_target_answer(notify, target) for target in await notify.targets()]}

    @router.get("/targets/{name}", dependencies=[READER])
    async def show(name: str) -> dict[str, Any]:
        return {"target": _target_answer(notify, await notify.target(name))}

    @router.post("/targets/{name}/remove", dependencies=[ADMIN])
    async def remove(name: str) -> dict[str, Any]:
        await notify.remove(name)
        return {}

    @router.post("/targets/{name}/test")
    async def test(name: str, by: Operator = ADMIN) -> dict[str, Any]:
        outcome = await notify.test(name, by.name)
        return {"delivered": not outcome.error, "error": outcome.error}

    @router.get("/log", dependencies=[APPROVER])  # it tells of game days that others must not know of yet
    async def log(limit: Annotated[int, Query(ge=1, le=1000)] = 50) -> dict[str, Any]:
        return {"deliveries": [_delivery_answer(one) for one in await notify.log(limit)]}

    return router


def _target_answer(notify: Notify, target: Target) -> dict[str, Any]:
    return {
        "name": target.name,
        "kind": target.kind,
        "url": notify.shown(target),
        "types": list(target.types),
        "created": target.created,
        "created_by": target.created_by,
    }


def _delivery_answer(delivery: Delivery) -> dict[str, Any]:
    hidden = {"data", "due_ms"}
    return {name: value for name, value in asdict(delivery).items() if name not in hidden}
