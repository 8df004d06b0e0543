"""What login and mail are made of: a page for each GET, as plain text. Only the standard library."""

from __future__ import annotations

from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Answer = Callable[[str], tuple[int, str]]  # a path: status and text


def serve(listen: tuple[str, int], answer: Answer) -> None:
    """Answers until it is killed."""

    class Page(BaseHTTPRequestHandler):
        timeout = 5

        def do_GET(self) -> None:
            status, text = answer(self.path)
            self.send_response(status)
            self.send_header("Content-Length", str(len(text.encode())))
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, format: str, *args: object) -> None:
            """Ten probes a second are no news."""

    ThreadingHTTPServer(listen, Page).serve_forever()


def address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host, int(port)
