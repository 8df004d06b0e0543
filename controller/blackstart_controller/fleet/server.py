"""The agents' port: gRPC with mutual TLS, and the one place where errors become gRPC statuses."""

from __future__ import annotations

import gc
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeAlias

import grpc
from blackstart_proto.v1 import agent_pb2, agent_pb2_grpc

from blackstart_controller.errors import (
    BlackstartError,
    Forbidden,
    InvalidDocument,
    NoTargets,
    NotFound,
    PlanHashNeeded,
    Refused,
    Unauthorised,
    Unreachable,
    UsageError,
)
from blackstart_controller.fleet.limits import MAX_MESSAGE_BYTES
from blackstart_controller.fleet.receive import Reception
from blackstart_controller.security.authority import ServerPair
from blackstart_controller.security.identity import host_of_context

log = logging.getLogger(__name__)
Context: TypeAlias = grpc.aio.ServicerContext[agent_pb2.FromAgent, agent_pb2.ToAgent]
Handler: TypeAlias = Callable[[Any, Context], Awaitable[None]]

# Measured: bandwidth probes are a quarter of a fan-out's cost; with the default limits on pending requests
# a restarted controller turns away everybody past the first few thousand. Agents ping every 10 s, and what is
# read puts our own pings off: with 12 s a healthy fleet needs none of ours.
OPTIONS: tuple[tuple[str, int], ...] = (
    ("grpc.http2.bdp_probe", 0),
    ("grpc.server.max_pending_requests", 100_000),
    ("grpc.server.max_pending_requests_hard_limit", 100_000),
    ("grpc.server_handshake_timeout_ms", 20_000),
    ("grpc.keepalive_time_ms", 12_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 5_000),
    ("grpc.max_concurrent_streams", 4),
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.so_reuseport", 0),
)

STATUS_OF: dict[type[BlackstartError], grpc.StatusCode] = {
    Unauthorised: grpc.StatusCode.UNAUTHENTICATED,
    Forbidden: grpc.StatusCode.PERMISSION_DENIED,
    PlanHashNeeded: grpc.StatusCode.PERMISSION_DENIED,
    Refused: grpc.StatusCode.PERMISSION_DENIED,
    UsageError: grpc.StatusCode.INVALID_ARGUMENT,
    InvalidDocument: grpc.StatusCode.INVALID_ARGUMENT,
    NotFound: grpc.StatusCode.NOT_FOUND,
    NoTargets: grpc.StatusCode.FAILED_PRECONDITION,
    Unreachable: grpc.StatusCode.UNAVAILABLE,
    BlackstartError: grpc.StatusCode.INTERNAL,
}


class GrpcStream:
    """`session.Stream` over one RPC."""

    __slots__ = ("_context",)

    def __init__(self, context: Context) -> None:
        self._context = context

    async def read(self) -> agent_pb2.FromAgent | None:
        message = await self._context.read()
        return message if isinstance(message, agent_pb2.FromAgent) else None

    async def write(self, message: agent_pb2.ToAgent) -> None:
        try:
            await self._context.write(message)
        except grpc.aio.BaseError as error:
            raise Unreachable("the stream has ended") from error


class FleetService(agent_pb2_grpc.FleetServicer):
    def __init__(self, reception: Reception) -> None:
        self._reception = reception

    async def Connect(self, _requests: AsyncIterator[agent_pb2.FromAgent], context: Context) -> None:  # type: ignore[override]
        """One agent's stream. TLS has asked for a certificate of our authority already."""
        host = host_of_context(context.auth_context())
        await self._reception.serve(host, GrpcStream(context))


class ErrorsToStatus(grpc.aio.ServerInterceptor):
    """Our errors end an RPC with their own text; anything else with a text that gives nothing away."""

    async def intercept_service(
        self, continuation: Any, handler_call_details: grpc.HandlerCallDetails
    ) -> Any:
        handler = await continuation(handler_call_details)
        if handler is None or handler.stream_stream is None:
            return handler
        return grpc.stream_stream_rpc_method_handler(
            _guarded(handler.stream_stream),
            request_deserializer=handler.request_deserializer,
            response_serializer=handler.response_serializer,
        )


class FleetServer:
    """Listens. `port` is the real one after `start`."""

    def __init__(self, reception: Reception, pair: ServerPair, authority_pem: bytes) -> None:
        self._credentials = grpc.ssl_server_credentials(
            [(pair.key_pem.reveal().encode(), pair.certificate_pem)], authority_pem, require_client_auth=True
        )
        self._server = grpc.aio.server(interceptors=[ErrorsToStatus()], options=OPTIONS)
        agent_pb2_grpc.add_FleetServicer_to_server(FleetService(reception), self._server)
        self.port = 0

    async def start(self, address: str) -> int:
        """Listen on `address` (host:port, port 0 for any free one) and return the port."""
        try:
            self.port = self._server.add_secure_port(address, self._credentials)
        except RuntimeError as error:
            raise UsageError(
                f"agents' port {address}: cannot listen there ({error}); choose another"
            ) from error
        await self._server.start()
        return self.port

    async def stop(self, grace_s: float | None = None) -> None:
        await self._server.stop(grace_s)


def tune_gc() -> None:
    """Collect garbage rarely, and never what exists now. Call once at the end of starting up.

    Thousands of sessions are one big heap that lives: with Python's own thresholds a quarter of a fan-out is
    spent walking it.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 50, 50)


def status_of(error: BlackstartError) -> grpc.StatusCode:
    return next(STATUS_OF[kind] for kind in type(error).__mro__ if kind in STATUS_OF)


def _guarded(inner: Handler) -> Handler:
    async def guarded(requests: Any, context: Context) -> None:
        try:
            await inner(requests, context)
        except BlackstartError as error:
            await context.abort(status_of(error), str(error))
        except grpc.aio.BaseError:
            raise  # gRPC's own: the stream has ended, or abort was called
        except Exception:  # gRPC would send the exception's text to the agent
            log.exception("an agent's stream ended by an internal error")
            await context.abort(grpc.StatusCode.INTERNAL, "internal error; see the controller's log")

    return guarded
