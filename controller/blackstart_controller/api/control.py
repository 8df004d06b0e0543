"""The routes of control: operators, environments, approvals, the lever, and the log of them all."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from fastapi import APIRouter, Depends
from pydantic import Field

from blackstart_controller.api import answers
from blackstart_controller.api.body import Body
from blackstart_controller.api.guard import may
from blackstart_controller.control.model import Environment
from blackstart_controller.control.service import Control
from blackstart_controller.runs.service import Runs
from blackstart_controller.security.ports import StoredToken
from blackstart_controller.security.roles import Operator, Permission, role_of
from blackstart_controller.security.tokens import OPERATOR_TTL_S

READER, HALTER = Depends(may(Permission.READ)), Depends(may(Permission.HALT))
APPROVER, ADMIN = Depends(may(Permission.APPROVE)), Depends(may(Permission.ADMIN))


class OperatorBody(Body):
    name: str = Field(max_length=200)
    role: str
    ttl_s: int = OPERATOR_TTL_S


class EnvironmentBody(Body):
    hosts: str = Field(max_length=1000)
    second_person: bool = False
    protected: bool = False
    max_hosts: int | None = None
    max_runs_per_day: int | None = None


class ApproveBody(Body):
    plan_hash: str | None = Field(default=None, max_length=64)


class WhyBody(Body):
    reason: str = Field(min_length=1, max_length=1000)


def routes(control: Control) -> APIRouter:
    router = APIRouter()
    for part in (_operators(control), _environments(control), _runs(control, control.runs), _lever(control)):
        router.include_router(part)
    return router


def _operators(control: Control) -> APIRouter:
    router = APIRouter()

    @router.post("/v1/operators", status_code=201)
    async def create(body: OperatorBody, by: Operator = ADMIN) -> dict[str, Any]:
        made = await control.create_operator(by.name, body.name, role_of(body.role), body.ttl_s)
        return {
            "name": body.name,
            "role": body.role,
            "token": made.token.reveal(),
            "expires": answers.expiry(made.expires_s),
        }

    @router.get("/v1/operators", dependencies=[ADMIN])
    async def every() -> dict[str, Any]:
        return {"operators": [_operator(token) for token in await control.all_operators()]}

    @router.post("/v1/operators/{name}/revoke")
    async def revoke(name: str, by: Operator = ADMIN) -> dict[str, str]:
        await control.revoke_operator(by.name, name)
        return {"name": name}

    @router.get("/v1/control/events", dependencies=[ADMIN])
    async def log() -> dict[str, Any]:
        return {"events": [asdict(event) for event in await control.log()]}

    return router


def _environments(control: Control) -> APIRouter:
    router = APIRouter()

    @router.get("/v1/environments", dependencies=[READER])
    async def every() -> dict[str, Any]:
        return {"environments": [asdict(one) for one in await control.environments()]}

    @router.get("/v1/environments/{name}", dependencies=[READER])
    async def show(name: str) -> dict[str, Any]:
        return asdict(await control.environment(name))

    @router.post("/v1/environments/{name}")
    async def put(name: str, body: EnvironmentBody, by: Operator = ADMIN) -> dict[str, Any]:
        environment = Environment(name, **body.model_dump())
        await control.set_environment(by.name, environment)
        return asdict(environment)

    @router.post("/v1/environments/{name}/remove")
    async def remove(name: str, by: Operator = ADMIN) -> dict[str, str]:
        await control.remove_environment(by.name, name)
        return {"name": name}

    return router


def _runs(control: Control, runs: Runs) -> APIRouter:
    router = APIRouter()

    @router.post("/v1/runs/{run_id}/approve")
    async def approve(run_id: str, body: ApproveBody, by: Operator = APPROVER) -> dict[str, Any]:
        await control.approve(by.name, run_id, body.plan_hash)
        return answers.run_answer(await runs.get(run_id))

    @router.post("/v1/runs/{run_id}/deny")
    async def deny(run_id: str, body: WhyBody, by: Operator = APPROVER) -> dict[str, Any]:
        await control.deny(by.name, run_id, body.reason)
        return answers.run_answer(await runs.get(run_id))

    return router


def _lever(control: Control) -> APIRouter:
    router = APIRouter()

    @router.get("/v1/lever", dependencies=[READER])
    async def status() -> dict[str, Any]:
        return _state(control)

    @router.post("/v1/lever/engage")
    async def engage(body: WhyBody, by: Operator = HALTER) -> dict[str, Any]:
        done = await control.engage(by.name, body.reason)
        return _state(control) | {"halted": done.halted, "warning": done.warning}

    @router.post("/v1/lever/release")
    async def release(body: WhyBody, by: Operator = APPROVER) -> dict[str, Any]:
        released = await control.release(by.name, body.reason)
        return _state(control) | {"released": released}

    return router


def _state(control: Control) -> dict[str, Any]:
    state = control.lever_state()
    return {"engaged": state is not None, "state": None if state is None else asdict(state)}


def _operator(token: StoredToken) -> dict[str, Any]:
    return {
        "name": token.name,
        "role": token.role,
        "created": answers.expiry(token.created_s),
        "expires": answers.expiry(token.expires_s),
        "last_used": None if token.used_s is None else answers.expiry(token.used_s),
    }
