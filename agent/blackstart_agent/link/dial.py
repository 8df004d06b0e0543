"""A channel to the controller: mutual TLS, its name checked, and gRPC's own slow defaults replaced."""

from __future__ import annotations

from collections.abc import Callable

import grpc

from blackstart_agent.link.keystore import Identity
from blackstart_agent.link.names import CONTROLLER_NAME

# gRPC itself would wait 1 s to 120 s before it dials again, and 20 s for one attempt. With a pool
# of its own, simulated agents do not share one connection.
OPTIONS: tuple[tuple[str, int | str], ...] = (
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.min_reconnect_backoff_ms", 5_000),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.http2.bdp_probe", 0),
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_http_proxy", 0),
    ("grpc.max_receive_message_length", 1 << 20),
)


def secure_dial(
    address: str, identity: Callable[[], Identity], *, server_name: str = CONTROLLER_NAME
) -> Callable[[], grpc.aio.Channel]:
    """What makes a channel to `address` (host:port), each time with the present certificate."""

    def dial() -> grpc.aio.Channel:
        present = identity()
        credentials = grpc.ssl_channel_credentials(
            present.authority_pem, present.key_pem, present.certificate_pem
        )
        options = [*OPTIONS, ("grpc.ssl_target_name_override", server_name)]
        return grpc.aio.secure_channel(address, credentials, options=options)

    return dial
