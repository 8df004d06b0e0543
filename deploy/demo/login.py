"""login: hands out sessions, and keeps them in the Redis beside it. Only the standard library.

`GET /health` is 200 when the sessions can be reached; `GET /session` makes one.
"""

from __future__ import annotations

import argparse
import socket
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def ask(redis: tuple[str, int], *words: str) -> str:
    """One command, one line of answer."""
    command = f"*{len(words)}\r\n" + "".join(f"${len(word.encode())}\r\n{word}\r\n" for word in words)
    with socket.create_connection(redis, timeout=1.0) as connection:
        connection.sendall(command.encode())
        return connection.makefile("rb").readline().decode().strip()


def handler(redis: tuple[str, int]) -> type[BaseHTTPRequestHandler]:
    class Login(BaseHTTPRequestHandler):
        timeout = 5

        def do_GET(self) -> None:
            try:
                number = ask(redis, "INCR", "sessions") if self.path == "/session" else ask(redis, "PING")
            except OSError as error:
                self._answer(503, f"sessions are down: {error}\n")
                return
            self._answer(200, f"session {number.lstrip(':')}\n" if self.path == "/session" else "ok\n")

        def _answer(self, status: int, text: str) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, format: str, *args: object) -> None:
            """Ten probes a second are no news."""

    return Login


def address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host, int(port)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--listen", type=address, required=True)
    parser.add_argument("--redis", type=address, required=True)
    options = parser.parse_args()
    ThreadingHTTPServer(options.listen, handler(options.redis)).serve_forever()
