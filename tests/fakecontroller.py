"""A controller for the tests of the command line: real HTTPS and events, and a run that the test writes."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import trustme

TOKEN = "bsk_test"
RUN = "run-1"
SECOND = 1_000_000_000


@dataclass
class Script:
    """What the fake knows and what it was asked. `changed` guards and announces every change."""

    hosts: list[dict[str, Any]] = field(default_factory=list)
    plan: dict[str, Any] = field(default_factory=dict)
    run: dict[str, Any] = field(
        default_factory=lambda: {"id": RUN, "experiment": "dark", "state": "holding", "created": "2026-11-23"}
    )
    events: list[dict[str, Any]] = field(default_factory=list)
    report: dict[str, Any] | None = None
    error: tuple[int, str, str] | None = None  # answer everything with it
    protected: bool = False  # a run needs the hash of `plan`
    halting_confirms: bool = True
    drop_stream_after: int = 0  # break the stream once, after so many events
    posts: list[tuple[str, Any, str]] = field(default_factory=list)
    opened: int = 0  # streams opened so far
    changed: threading.Condition = field(default_factory=threading.Condition)

    def say(self, kind: str, **data: Any) -> None:
        with self.changed:
            seq = len(self.events) + 1
            self.events.append(
                {"seq": seq, "type": kind, "at_ns": seq * SECOND, "host": data.pop("host", ""), "data": data}
            )
            self.changed.notify_all()

    def end(self, verdict: str, exit_code: int, reverted: str = "confirmed") -> None:
        with self.changed:
            self.run |= {"state": "ended", "verdict": verdict, "exit_code": exit_code, "reverted": reverted}
            self.changed.notify_all()

    def after(self, seq: int) -> tuple[bool, list[dict[str, Any]]]:
        """(something is new or the run has ended, the events after `seq`), waiting up to a second for it."""
        with self.changed:
            ready = self.changed.wait_for(lambda: len(self.events) > seq or self.run["state"] == "ended", 1)
            return ready, self.events[seq:]

    def wait(self, condition: Any, timeout_s: float = 20) -> None:
        with self.changed:
            assert self.changed.wait_for(condition, timeout_s), f"never: {self.posts} {self.opened}"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    script: ClassVar[Script]
    ca_pem: ClassVar[str]

    def log_message(self, *_: Any) -> None:
        return

    def do_GET(self) -> None:
        script = self.script
        path = self.path.partition("?")[0]
        if path == "/ca.pem":
            self._send(200, self.ca_pem.encode())
        elif self._refused():
            return
        elif path == "/v1/hosts":
            self._json(200, {"hosts": script.hosts})
        elif path == "/v1/runs":
            self._json(200, {"runs": [script.run]})
        elif path == f"/v1/runs/{RUN}":
            self._json(200, script.run)
        elif path == f"/v1/runs/{RUN}/events":
            self._stream()
        elif path.startswith(f"/v1/runs/{RUN}/report.") and script.report is not None:
            self._json(200, script.report)
        else:
            self._json(404, {"error": {"code": "not_found", "message": f"nothing at {path}"}})

    def do_POST(self) -> None:
        script = self.script
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self._refused():
            return
        with script.changed:
            script.posts.append((self.path, body, self.headers.get("Idempotency-Key", "")))
            script.changed.notify_all()
        if self.path == "/v1/plans":
            self._json(200, script.plan)
        elif self.path == "/v1/tokens":
            self._json(201, {"token": "bsj_secret.pin", "expires": "2026-11-23T12:00:00Z"})
        elif self.path.endswith("/halt"):
            ended = script.run["state"] == "ended"
            if script.halting_confirms and not ended:
                script.end("halted", 4)
            halting = script.run | ({} if ended else {"state": "halting"})
            self._json(200, {"halted": [] if ended else [RUN]} if self.path == "/v1/halt" else halting)
        elif script.protected and self.path == "/v1/runs" and "plan_hash" not in body:
            told = {
                "code": "plan_hash_needed",
                "message": "environment vault is protected; then: --plan 0123abcd",
            }
            self._json(409, {"error": told})
        else:
            self._json(201, {"id": RUN})

    def _refused(self) -> bool:
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self._json(401, {"error": {"code": "unauthorised", "message": "unknown token"}})
            return True
        if self.script.error:
            status, code, message = self.script.error
            self._json(status, {"error": {"code": code, "message": message}})
            return True
        return False

    def _stream(self) -> None:
        script = self.script
        after = int(self.path.rpartition("after=")[2] or 0) if "after=" in self.path else 0
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        with script.changed:
            script.opened += 1
            script.changed.notify_all()
        while True:
            ready, fresh = script.after(after)
            if not ready:
                self.wfile.write(b": alive\n\n")
                continue
            for event in fresh:
                self.wfile.write(f"id: {event['seq']}\ndata: {json.dumps(event)}\n\n".encode())
                after = event["seq"]
                if script.drop_stream_after == after:
                    script.drop_stream_after = 0
                    return
            if not fresh:
                self.wfile.write(b"event: end\ndata: {}\n\n")
                return

    def _json(self, status: int, document: Any) -> None:
        self._send(status, json.dumps(document).encode())

    def _send(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@dataclass(frozen=True)
class Fake:
    script: Script
    url: str
    ca_pem: str
    context: Path


@contextmanager
def fake_controller(folder: Path) -> Iterator[Fake]:
    """A controller on a port of loopback that the system chose, and the context file for it."""
    authority = trustme.CA()
    ca_pem = authority.cert_pem.bytes().decode()
    script = Script()
    handler = type("Scripted", (Handler,), {"script": script, "ca_pem": ca_pem})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(tls)
    server.socket = tls.wrap_socket(server.socket, server_side=True)
    server.handle_error = lambda *_: None  # type: ignore[method-assign]  # a client that goes away is what some tests are about
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    url = f"https://127.0.0.1:{server.server_address[1]}"
    context = folder / "admin.json"
    context.write_text(json.dumps({"url": url, "token": TOKEN, "ca_pem": ca_pem}))
    context.chmod(0o600)
    try:
        yield Fake(script, url, ca_pem, context)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
