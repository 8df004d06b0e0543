"""Before any route: a bounded body and a token. After: every error of ours in one shape."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

from fastapi import Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from blackstart_controller.errors import BlackstartError, Forbidden, NotFound, Unauthorised
from blackstart_controller.security.roles import Operator, Permission, least_role
from blackstart_controller.security.secret import Secret
from blackstart_controller.store.model import StoreFailed

log = logging.getLogger(__name__)
MAX_BODY_BYTES = 256 * 1024
NO_ROUTE = "nothing is here; are the name and the versions of command and controller right?"
Check = Callable[[Secret], Awaitable[Operator]]


def error_response(code: str, message: str, status: int) -> JSONResponse:
    headers = {"WWW-Authenticate": "Bearer"} if status == Unauthorised.status else {}
    return JSONResponse({"error": {"code": code, "message": message}}, status, headers)


def install_errors(app: FastAPI) -> None:
    """The one place where errors become answers."""

    @app.exception_handler(BlackstartError)
    async def ours(_request: Request, error: BlackstartError) -> JSONResponse:
        return error_response(error.code, str(error), error.status)

    @app.exception_handler(RequestValidationError)
    async def malformed(_request: Request, error: RequestValidationError) -> JSONResponse:
        texts = [f"{'.'.join(str(part) for part in one['loc'])}: {one['msg']}" for one in error.errors()]
        return error_response("usage", "; ".join(texts), 400)

    @app.exception_handler(HTTPException)
    async def of_the_framework(request: Request, error: HTTPException) -> JSONResponse:
        code = "not_found" if error.status_code == NotFound.status else "usage"
        detail = NO_ROUTE if error.status_code == NotFound.status else str(error.detail)
        return error_response(code, f"{request.method} {request.url.path}: {detail}", error.status_code)

    @app.exception_handler(Exception)
    async def defect(request: Request, error: Exception) -> JSONResponse:
        log.error("%s %s failed", request.method, request.url.path, exc_info=error)
        return error_response("internal", "internal error; see the controller's log", 500)


class Guard:
    """ASGI: nobody without an operator's token gets any further, not even to learn which routes there are.

    Tokens come in the header only: URLs end up in logs.
    """

    def __init__(self, app: ASGIApp, check: Check, open_routes: frozenset[tuple[str, str]]) -> None:
        self._app = app
        self._check = check
        self._open_routes = open_routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return  # no WebSockets here
        if (scope["method"], scope["path"]) not in self._open_routes:
            try:
                secret = _secret_in(Headers(scope=scope).get("authorization", ""))
                operator = await self._check(secret)
            except BlackstartError as error:  # no good token, or a database that cannot tell
                await error_response(error.code, str(error), error.status)(scope, receive, send)
                return
            state = scope.setdefault("state", {})
            state["operator"], state["again"] = operator, partial(self._check, secret)
        await self._app(scope, receive, send)


def _secret_in(authorization: str) -> Secret:
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise Unauthorised("no token; send it as: Authorization: Bearer bsk_…")
    return Secret(token.strip())


@dataclass(frozen=True, slots=True)
class Decision:
    """A route's dependency: lets through whom the permission is granted, and says who that is."""

    permission: Permission

    async def __call__(self, request: Request) -> Operator:
        operator = who(request)
        if operator.may(self.permission):
            return operator
        asked = f"{request.method} {request.url.path}"
        if operator.halt_only:
            raise StoreFailed(
                f"{asked}: the database cannot be read; until it can, operators can only halt, "
                "and engage the lever"
            )
        raise Forbidden(
            f"{asked}: needs the role {least_role(self.permission)}, and {operator.name} is "
            f"{operator.role}; ask an admin: blackstart operator create"
        )


def may(permission: Permission) -> Decision:
    """`by: Operator = Depends(may(Permission.HALT))`. Every route that is not open has exactly one."""
    return Decision(permission)


READ = [Depends(may(Permission.READ))]


async def decided(request: Request) -> None:
    """For the whole application: a route that nobody has decided about lets nobody through."""
    route = request.scope.get("route")
    asked = route.dependant.dependencies if isinstance(route, APIRoute) else []
    known = hasattr(request.state, "operator")  # nobody is asked who he is on an open route
    if known and not any(isinstance(one.call, Decision) for one in asked):
        raise Forbidden(f"{request.method} {request.url.path}: nobody may do this; report it as a defect")


def who(request: Request) -> Operator:
    """Who asks, as the guard found out."""
    operator = request.state.operator
    assert isinstance(operator, Operator)
    return operator


async def check_again(request: Request) -> None:
    """Raises Unauthorised once the token of this request, which may last for hours, is good no longer."""
    await request.state.again()


def operator_of(request: Request) -> str:
    """The name of who asks."""
    return who(request).name


class BodyLimit:
    """ASGI: a request body over the limit is refused before anybody reads it whole."""

    def __init__(self, app: ASGIApp, limit_bytes: int = MAX_BODY_BYTES) -> None:
        self._app = app
        self._limit_bytes = limit_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        length = dict(scope["headers"]).get(b"content-length", b"0")
        if not length.isdigit() or int(length) > self._limit_bytes:
            await self._refuse(scope, receive, send)
            return
        read_bytes = 0

        async def bounded() -> Message:
            nonlocal read_bytes
            message = await receive()
            read_bytes += len(message.get("body", b""))
            if read_bytes > self._limit_bytes:
                raise HTTPException(413, f"the body is larger than {self._limit_bytes} bytes")
            return message

        await self._app(scope, bounded, send)

    async def _refuse(self, scope: Scope, receive: Receive, send: Send) -> None:
        text = f"the body is larger than {self._limit_bytes} bytes; make the document smaller"
        await error_response("usage", text, 413)(scope, receive, send)
