"""Who and what is refused at the agents' port: certificates, identities, first messages, sizes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from blackstart_agent.link import openssl
from blackstart_agent.link.dial import secure_dial
from blackstart_agent.link.keystore import Identity
from blackstart_controller import errors
from blackstart_controller.errors import BlackstartError, Unreachable
from blackstart_controller.fleet import limits, session
from blackstart_controller.fleet.server import STATUS_OF, status_of
from blackstart_controller.security.authority import Authority
from blackstart_proto.v1 import agent_pb2, agent_pb2_grpc
from support.control_plane import Controller, until


@pytest.fixture
async def controller(tmp_path: Path) -> AsyncIterator[Controller]:
    made = Controller(tmp_path / "controller")
    await made.start()
    yield made
    await made.stop()


async def talk(
    controller: Controller, identity: Identity, *messages: agent_pb2.FromAgent
) -> tuple[grpc.StatusCode | None, str]:
    """How the controller ends a stream on which these messages were sent."""
    dial = secure_dial(f"127.0.0.1:{controller.port}", lambda: identity)
    async with asyncio.timeout(10), dial() as channel:
        call: Any = agent_pb2_grpc.FleetStub(channel).Connect()
        try:
            for message in messages:
                await call.write(message)
            while await call.read() is not grpc.aio.EOF:
                pass
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
            pass
        return await call.code(), str(await call.details())


def hello(host: str = "db-1", **fields: Any) -> agent_pb2.FromAgent:
    return agent_pb2.FromAgent(hello=agent_pb2.Hello(host=host, **fields))


def event(**fields: Any) -> agent_pb2.FromAgent:
    return agent_pb2.FromAgent(event=agent_pb2.HostEvent(**fields))


def certified(by: Authority, trusts: Authority, host: str, now: datetime | None = None) -> Identity:
    key_pem = openssl.new_key_pem()
    issued = by.sign_host_csr(openssl.request_pem(key_pem, host), host, now=now)
    return Identity(key_pem, issued.certificate_pem, trusts.certificate_pem)


# ---- certificates ----


async def test_a_stranger_without_certificate_is_refused(controller: Controller) -> None:
    credentials = grpc.ssl_channel_credentials(controller.authority.certificate_pem)
    options = [("grpc.ssl_target_name_override", "controller.blackstart")]
    address = f"127.0.0.1:{controller.port}"
    async with grpc.aio.secure_channel(address, credentials, options=options) as channel:
        call: Any = agent_pb2_grpc.FleetStub(channel).Connect()
        with pytest.raises((grpc.aio.AioRpcError, asyncio.InvalidStateError)):
            await call.write(hello())
            assert await call.read() is not grpc.aio.EOF
        assert await call.code() == grpc.StatusCode.UNAVAILABLE


async def test_plain_text_is_refused(controller: Controller) -> None:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{controller.port}") as channel:
        call: Any = agent_pb2_grpc.FleetStub(channel).Connect()
        with pytest.raises((grpc.aio.AioRpcError, asyncio.InvalidStateError)):
            await call.write(hello())
            await call.read()
        assert await call.code() == grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize("age", [timedelta(days=15), timedelta(days=-1)], ids=["expired", "of the future"])
async def test_a_certificate_out_of_its_time_is_refused(controller: Controller, age: timedelta) -> None:
    controller.hosts.hosts.add("db-1")
    mine = controller.authority
    code, _ = await talk(controller, certified(mine, mine, "db-1", datetime.now(UTC) - age), hello())
    assert code == grpc.StatusCode.UNAVAILABLE
    assert controller.recorder.told == []


async def test_a_certificate_of_another_authority_is_refused(controller: Controller, tmp_path: Path) -> None:
    controller.hosts.hosts.add("db-1")
    other = Authority.open(tmp_path / "other")
    code, _ = await talk(controller, certified(other, controller.authority, "db-1"), hello())
    assert code == grpc.StatusCode.UNAVAILABLE


async def test_a_self_signed_certificate_is_refused(controller: Controller) -> None:
    controller.hosts.hosts.add("db-1")
    key_pem = openssl.new_key_pem()
    arguments = ["req", "-x509", "-batch", "-key", "/dev/stdin", "-subj", "/CN=db-1"]
    arguments += ["-addext", "subjectAltName=URI:blackstart://host/db-1"]
    certificate_pem = openssl._openssl(arguments, stdin=key_pem)
    identity = Identity(key_pem, certificate_pem, controller.authority.certificate_pem)
    code, _ = await talk(controller, identity, hello())
    assert code == grpc.StatusCode.UNAVAILABLE


async def test_a_servers_certificate_is_no_hosts(controller: Controller) -> None:
    pair = controller.authority.issue_server(["db-1"])
    identity = Identity(
        pair.key_pem.reveal().encode(), pair.certificate_pem, controller.authority.certificate_pem
    )
    code, _ = await talk(controller, identity, hello())
    assert code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.UNAUTHENTICATED)


async def test_an_agent_refuses_a_controller_of_another_authority(
    controller: Controller, tmp_path: Path
) -> None:
    other = Authority.open(tmp_path / "other")
    code, _ = await talk(controller, certified(controller.authority, other, "db-1"), hello())
    assert code == grpc.StatusCode.UNAVAILABLE


async def test_a_host_cannot_stand_in_for_the_controller(tmp_path: Path) -> None:
    impostor = Controller(tmp_path / "controller")
    host = impostor.identity("db-1")
    credentials = grpc.ssl_server_credentials(
        [(host.key_pem, host.certificate_pem)], host.authority_pem, require_client_auth=True
    )
    server = grpc.aio.server()
    impostor.port = server.add_secure_port("127.0.0.1:0", credentials)
    await server.start()
    code, _ = await talk(impostor, impostor.identity("db-2"), hello("db-2"))
    await server.stop(None)
    assert code == grpc.StatusCode.UNAVAILABLE


# ---- identities and messages ----


async def test_a_host_with_the_certificate_of_another_is_refused(controller: Controller) -> None:
    code, details = await talk(controller, controller.identity("db-2"), hello("db-1"))
    assert code == grpc.StatusCode.PERMISSION_DENIED
    assert details == "agent db-2: says it is host 'db-1'; its certificate says db-2"
    assert controller.recorder.told == []


async def test_a_revoked_host_is_refused(controller: Controller) -> None:
    identity = controller.identity("db-1")
    controller.hosts.revoke("db-1")
    code, details = await talk(controller, identity, hello())
    assert code == grpc.StatusCode.PERMISSION_DENIED
    assert details == "host db-1: not enrolled here, or revoked; enrol it: blackstart-agent enroll"


@pytest.mark.parametrize(
    ("messages", "words"),
    [
        ([agent_pb2.FromAgent(beat=agent_pb2.Beat())], "the first message of a stream must be Hello"),
        ([agent_pb2.FromAgent()], "the first message of a stream must be Hello"),
        ([hello(), hello()], "a second Hello on one stream; open a new stream"),
        ([hello(), agent_pb2.FromAgent()], "sent a message of a kind that is not known here"),
        ([hello(labels={str(i): "" for i in range(65)})], "labels: 65, the most is 64"),
        ([hello(addresses=["a" * 65])], "the length of one of addresses: 65, the most is 64"),
        ([hello(), event(spool="", seq=1)], "needs a spool id and a seq from 1"),
        ([hello(), event(spool="s", seq=0)], "needs a spool id and a seq from 1"),
        ([hello(), event(spool="s", seq=1, order_id="x" * 65)], "the length of an id: 65, the most is 64"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_wrong_messages_end_the_stream_with_the_reason(
    controller: Controller, messages: list[agent_pb2.FromAgent], words: str
) -> None:
    code, details = await talk(controller, controller.identity("db-1"), *messages)
    assert code == grpc.StatusCode.INVALID_ARGUMENT
    assert words in details
    assert controller.recorder.events == {}


async def test_a_message_over_the_limit_ends_only_its_own_stream(controller: Controller) -> None:
    identity = controller.identity("db-1")
    code, _ = await talk(controller, identity, hello(), event(spool="s", seq=1, detail="x" * (2 << 20)))
    assert code == grpc.StatusCode.RESOURCE_EXHAUSTED
    await until(lambda: controller.recorder.told == ["connected db-1 0", "lost db-1"])


async def test_a_long_detail_is_cut_and_stored(controller: Controller) -> None:
    identity = controller.identity("db-1")
    bad = agent_pb2.FromAgent()  # ends the stream
    await talk(controller, identity, hello(), event(spool="s", seq=1, detail="x" * 10_000), bad)
    await until(lambda: len(controller.recorder.events) == 1)
    (stored,) = controller.recorder.events.values()
    assert len(stored.detail) == limits.MAX_TEXT


async def test_an_internal_error_gives_nothing_away(controller: Controller) -> None:
    async def is_known(_host: str) -> bool:
        raise RuntimeError("secret detail")

    controller.hosts.is_known = is_known  # type: ignore[method-assign, assignment]
    code, details = await talk(controller, controller.identity("db-1"), hello())
    assert (code, details) == (grpc.StatusCode.INTERNAL, "internal error; see the controller's log")


def test_every_error_has_a_status() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    ours = {kind for kind in kinds if issubclass(kind, BlackstartError)}
    assert ours == STATUS_OF.keys()
    assert status_of(errors.Unreachable("x")) == grpc.StatusCode.UNAVAILABLE


async def test_a_host_that_reads_nothing_is_let_go(
    controller: Controller, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(session, "STALL_S", 0.2)
    dial = secure_dial(f"127.0.0.1:{controller.port}", lambda: controller.identity("db-1"))
    async with asyncio.timeout(20), dial() as channel:
        call: Any = agent_pb2_grpc.FleetStub(channel).Connect()
        await call.write(hello())
        await until(lambda: controller.hub.connected("db-1"))
        with pytest.raises(Unreachable):
            while True:
                await controller.hub.revert("db-1", ["x"], "y" * 200_000)
                await asyncio.sleep(0)
        await until(lambda: not controller.hub.connected("db-1"))
        with pytest.raises((grpc.aio.AioRpcError, asyncio.InvalidStateError)):
            while await call.read() is not grpc.aio.EOF:
                pass
        assert await call.code() == grpc.StatusCode.UNAVAILABLE
    assert "raised in core" not in caplog.text
