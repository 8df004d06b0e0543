"""mail: all it needs is in its own site, except that it asks login who you are. Only the standard library.

`GET /inbox` is 200 with your letters, or 503 when login does not answer within a second.
"""

from __future__ import annotations

import argparse
import http.client
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def session(login: str) -> str:
    """A session from login; OSError or HTTPException when there is none."""
    connection = http.client.HTTPConnection(login, timeout=1.0)
    try:
        connection.request("GET", "/session")
        answer = connection.getresponse()
        if answer.status != http.client.OK:
            raise OSError(f"login answers {answer.status}")
        return answer.read().decode().strip()
    finally:
        connection.close()


def handler(login: str) -> type[BaseHTTPRequestHandler]:
    class Mail(BaseHTTPRequestHandler):
        timeout = 5

        def do_GET(self) -> None:
            try:
                self._answer(200, f"3 letters for {session(login)}\n")
            except (OSError, http.client.HTTPException) as error:
                self._answer(503, f"who are you? login at {login}: {error}\n")

        def _answer(self, status: int, text: str) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, format: str, *args: object) -> None:
            """Ten probes a second are no news."""

    return Mail


def address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host, int(port)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--listen", type=address, required=True)
    parser.add_argument("--login", required=True)
    options = parser.parse_args()
    ThreadingHTTPServer(options.listen, handler(options.login)).serve_forever()
