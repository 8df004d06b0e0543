"""The two routes that a new host needs, over real HTTPS, in front of the real authority and tokens."""

from __future__ import annotations

import asyncio
import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from blackstart_controller.errors import BlackstartError
from blackstart_controller.security.authority import Authority
from blackstart_controller.security.enrolment import Enrolment
from blackstart_controller.security.memory import MemoryHosts, MemoryTokens
from blackstart_controller.security.tokens import Tokens
from blackstart_proto.v1 import agent_pb2


class Door:
    """`address` is host:port. `shown_ca` is what /ca.pem gives out."""

    def __init__(self, folder: Path) -> None:
        self.authority = Authority.open(folder / "ca")
        self.hosts = MemoryHosts()
        self.tokens = Tokens(MemoryTokens(), self.authority.pin)
        self.enrolment = Enrolment(self.authority, self.tokens, self.hosts)
        self.shown_ca = self.authority.certificate_pem
        self.agent_address = "0.0.0.0:8471"
        self.address = ""

    def token(self, host: str = "") -> str:
        return asyncio.run(self.tokens.create_join(host=host)).token.reveal()

    def enrol(self, body: bytes) -> tuple[int, bytes]:
        request = agent_pb2.EnrolRequest.FromString(body)
        try:
            reply = asyncio.run(self.enrolment.enrol(request, agent_address=self.agent_address))
        except BlackstartError as error:
            text = json.dumps({"error": {"code": error.code, "message": str(error)}})
            return error.status, text.encode()
        return 200, reply.SerializeToString()


@contextmanager
def open_door(folder: Path) -> Iterator[Door]:
    door = Door(folder)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.reply(200, door.shown_ca) if self.path == "/ca.pem" else self.reply(404, b"")

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self.reply(*door.enrol(body))

        def reply(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    pair = door.authority.issue_server([])  # no address at all: agents check the common name
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    chain = folder / "server.pem"
    chain.write_text(pair.key_pem.reveal() + pair.certificate_pem.decode())
    context.load_cert_chain(chain)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    door.address = f"127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield door
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
