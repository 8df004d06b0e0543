"""`blackstart-agent enroll`: a join token becomes a certificate and this host's configuration files."""

from __future__ import annotations

import hashlib
import hmac
import http.client
import json
import re
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from blackstart_proto.v1 import agent_pb2

from blackstart_agent import config as agent_config
from blackstart_agent.config import AgentConfig
from blackstart_agent.errors import AgentError, ConfigError
from blackstart_agent.link import keystore, openssl
from blackstart_agent.link.names import CONTROLLER_NAME
from blackstart_agent.link.policy_text import STARTER_POLICY

TIMEOUT_S = 15.0
MAX_REPLY_BYTES = 1 << 20
DEFAULT_PORT = 8470
_TOKEN = re.compile(r"bsj_[A-Za-z0-9_-]{43}\.([0-9a-f]{64})")
_UNSPECIFIED = ("", "0.0.0.0", "::")  # noqa: S104 - compared with, never bound


class EnrolmentRefused(AgentError):
    """The controller said no, or is not the one that made the token. The text says why."""


@dataclass(frozen=True, slots=True)
class HostSettings:
    """What agent.toml is to say beyond the controller's address."""

    name: str
    site: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    state_dir: Path = agent_config.DEFAULT_STATE
    policy: Path = agent_config.DEFAULT_POLICY
    supervisor: str = "systemd"
    link_user: str = "blackstart"
    stream_grace_ms: int = 1_000


def enrol(token: str, controller: str, config_path: Path, settings: HostSettings) -> AgentConfig:
    """This host is enrolled: agent.toml, a starter policy.toml, the link's key and certificate are written.

    `controller` is HOST or HOST:PORT of the operators' port (8470). An existing policy is left alone. Nothing
    is written unless the controller has given a certificate; the key never leaves this host.
    """
    user = agent_config.user_ids(settings.link_user)
    host, port = _split(controller)
    authority_pem = fetch_authority(host, port, pin_of(token))
    key_pem = openssl.new_key_pem()
    request = agent_pb2.EnrolRequest(
        token=token, host=settings.name, csr_pem=openssl.request_pem(key_pem, settings.name)
    )
    reply = _post(host, port, authority_pem, request)
    written = _config(config_path, settings, _agents_address(reply.agent_address, host))
    agent_config.make_state(written)
    identity = keystore.Identity(key_pem, reply.certificate_pem, reply.authority_pem)
    keystore.store(written.link_dir, identity, None if user is None else (user[0], user[1]))
    _write_texts(written)
    return written


def pin_of(token: str) -> str:
    found = _TOKEN.fullmatch(token)
    if not found:
        raise ConfigError("join token: malformed; it must be bsj_SECRET.PIN, copied whole")
    return found.group(1)


def fetch_authority(host: str, port: int, pin: str) -> bytes:
    """The controller's CA certificate (PEM), fetched without trust and trusted by the token's pin alone."""
    unverified = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    unverified.check_hostname = False
    unverified.verify_mode = ssl.CERT_NONE
    _, body = _exchange(_Connection(host, port, unverified), "GET", "/ca.pem", b"")
    try:
        der = ssl.PEM_cert_to_DER_cert(body.decode("ascii").strip())
    except ValueError:
        raise EnrolmentRefused(f"{host}:{port}/ca.pem is no certificate; is this a controller?") from None
    if not hmac.compare_digest(hashlib.sha256(der).hexdigest(), pin):
        raise EnrolmentRefused(
            f"{host}:{port} is not the controller that made this join token: its authority has another pin; "
            "check the address, or somebody is in between"
        )
    return ssl.DER_cert_to_PEM_cert(der).encode()


def _post(
    host: str, port: int, authority_pem: bytes, request: agent_pb2.EnrolRequest
) -> agent_pb2.EnrolReply:
    verified = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    verified.load_verify_locations(cadata=authority_pem.decode())
    status, body = _exchange(
        _Connection(host, port, verified), "POST", "/v1/enrol", request.SerializeToString()
    )
    if status != http.client.OK:
        raise EnrolmentRefused(f"the controller at {host}:{port} refused: {_reason(status, body)}")
    return agent_pb2.EnrolReply.FromString(body)


class _Connection(http.client.HTTPSConnection):
    """HTTPS to any address of a controller: its certificate is checked for the name that all of them have."""

    def __init__(self, host: str, port: int, context: ssl.SSLContext) -> None:
        super().__init__(host, port, context=context, timeout=TIMEOUT_S)
        self._tls = context

    def connect(self) -> None:
        plain = socket.create_connection((self.host, self.port), TIMEOUT_S)
        try:
            self.sock = self._tls.wrap_socket(plain, server_hostname=CONTROLLER_NAME)
        except BaseException:  # an interrupt too must leave nothing half-made; it goes on
            plain.close()
            raise


def _exchange(connection: _Connection, method: str, path: str, body: bytes) -> tuple[int, bytes]:
    where = f"{connection.host}:{connection.port}"
    try:
        connection.request(method, path, body or None, {"Content-Type": "application/x-protobuf"})
        response = connection.getresponse()
        return response.status, response.read(MAX_REPLY_BYTES)
    except (OSError, http.client.HTTPException) as error:
        raise EnrolmentRefused(
            f"controller {where}: {error}; does `blackstart serve` run there, is the port open?"
        ) from None
    finally:
        connection.close()


def _reason(status: int, body: bytes) -> str:
    try:
        return str(json.loads(body)["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return f"HTTP status {status}"


def _split(controller: str) -> tuple[str, int]:
    try:
        return agent_config.split_address(controller)
    except ValueError:
        return controller.strip("[]"), DEFAULT_PORT


def _agents_address(said: str, dialled: str) -> tuple[str, int]:
    """Where the agents' port is. A controller that listens everywhere is met where it was met now."""
    host, _, port = said.rpartition(":")
    if not port.isdigit():
        raise EnrolmentRefused(f"the controller named no agents' port: {said[:80]!r}")
    host = host.strip("[]")
    return (dialled if host in _UNSPECIFIED else host), int(port)


def _config(path: Path, settings: HostSettings, controller: tuple[str, int]) -> AgentConfig:
    return AgentConfig(
        name=settings.name,
        controller=controller,
        state_dir=settings.state_dir,
        policy=settings.policy,
        supervisor=settings.supervisor,
        link_user=settings.link_user,
        site=settings.site,
        stream_grace_ms=settings.stream_grace_ms,
        labels=dict(settings.labels),
        path=path.absolute(),
    )


def _write_texts(written: AgentConfig) -> None:
    written.path.parent.mkdir(parents=True, exist_ok=True)
    draft = written.path.with_name(f".{written.path.name}.new")
    draft.write_text(agent_config.render(written))
    draft.replace(written.path)
    written.policy.parent.mkdir(parents=True, exist_ok=True)
    try:
        with written.policy.open("x") as file:
            written.policy.chmod(0o644)
            file.write(STARTER_POLICY)
    except FileExistsError:
        pass  # what this host's owner has decided stays
