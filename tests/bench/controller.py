"""The real controller, `blackstart serve` as a process of its own, and its API as an operator calls it."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any

from blackstart_proto.v1 import agent_pb2
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from bench.children import SERVER_CORE, BenchError, Usage, free_port, spawn, stop, usage

BLACKSTART = (sys.executable, "-c", "from blackstart_controller.cli import main; main()")
READY_S = 30.0


class Controller:
    """`start` after `kill` is a restart: the same state directory and the same ports."""

    def __init__(self, folder: Path, *, core: int | None = SERVER_CORE) -> None:
        self.state = folder / "controller"
        self.api_port, self.agents_port = free_port(), free_port()
        self._folder = folder
        self._core = core
        self._api: Api | None = None
        self.start()

    def start(self) -> None:
        """It serves. How long that took is in `ready_s`."""
        listen = [
            "--listen",
            f"127.0.0.1:{self.api_port}",
            "--agents-listen",
            f"127.0.0.1:{self.agents_port}",
        ]
        argv = [*BLACKSTART, "serve", "--state", str(self.state), *listen]
        heard = self._folder / "notify"
        heard.unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager, self._log().open("ab") as log:
            manager.bind(str(heard))
            manager.settimeout(READY_S)
            began_s = time.monotonic()
            environment = {"NOTIFY_SOCKET": str(heard)}
            self.process = spawn(argv, core=self._core, environment=environment, stderr=log)
            try:
                while b"READY=1" not in manager.recv(200):
                    pass
            except TimeoutError:
                stop(self.process)
                raise BenchError(f"blackstart serve: {self._log().read_text()[-2000:]}") from None
        self.ready_s = time.monotonic() - began_s
        self._api = Api(self.state / "admin.json", self.api_port)

    def kill(self) -> None:
        stop(self.process)

    @property
    def api(self) -> Api:
        assert self._api is not None
        return self._api

    @property
    def agents_address(self) -> str:
        return f"127.0.0.1:{self.agents_port}"

    def usage(self) -> Usage:
        return usage(self.process.pid)

    def __enter__(self) -> Controller:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    def _log(self) -> Path:
        return self._folder / "serve.log"


class Api:
    """One kept-alive HTTPS connection."""

    def __init__(self, context_file: Path, port: int) -> None:
        known = json.loads(context_file.read_text())
        trust = ssl.create_default_context(cadata=known["ca_pem"])
        self._connection = http.client.HTTPSConnection("127.0.0.1", port, context=trust, timeout=30)
        self._headers = {"Authorization": f"Bearer {known['token']}", "Content-Type": "application/json"}

    def get(self, path: str) -> Any:
        return json.loads(self._exchange("GET", path, b""))

    def post(self, path: str, body: dict[str, Any]) -> Any:
        return json.loads(self._exchange("POST", path, json.dumps(body).encode()))

    def token(self) -> str:
        return str(self.post("/v1/tokens", {})["token"])

    def enrol(self, host: str, certs: Path) -> None:
        """`host` joined as any host does: a token, a key made here, a certificate request."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, host)])
        csr = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
        request = agent_pb2.EnrolRequest(
            token=self.token(), host=host, csr_pem=csr.public_bytes(serialization.Encoding.PEM)
        )
        body = self._exchange("POST", "/v1/enrol", request.SerializeToString())
        reply = agent_pb2.EnrolReply.FromString(body)
        private = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        (certs / f"{host}.key").write_bytes(private)
        (certs / f"{host}.pem").write_bytes(reply.certificate_pem)
        (certs / "ca.pem").write_bytes(reply.authority_pem)

    def _exchange(self, method: str, path: str, body: bytes) -> bytes:
        self._connection.request(method, path, body or None, self._headers)
        response = self._connection.getresponse()
        answer = response.read()
        if response.status >= 300:
            raise BenchError(f"{method} {path}: {response.status} {answer[:500]!r}")
        return answer
