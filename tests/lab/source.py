"""A Prometheus and a webhook in one small server: it says what it was told to, and when it first said no.

Started with a port. `GET /say?good=0` makes it bad from then on; `GET /first` tells the wall time (s) of
the first bad answer since, or 0.
"""

from __future__ import annotations

import json
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar


class Source(BaseHTTPRequestHandler):
    good: ClassVar[bool] = True
    first_bad: ClassVar[float] = 0.0

    def do_GET(self) -> None:
        if self.path.startswith("/say?good="):
            Source.good, Source.first_bad = self.path.endswith("=1"), 0.0
            self._answer(200, b"")
        elif self.path == "/first":
            self._answer(200, str(Source.first_bad).encode())
        else:
            if not Source.good and not Source.first_bad:
                Source.first_bad = time.time()
            self._source()

    def _source(self) -> None:
        if self.path == "/freeze":
            self._answer(200 if Source.good else 503, b"")
            return
        series = [{"metric": {}, "value": [time.time(), "0.01" if Source.good else "0.9"]}]
        told = {"status": "success", "data": {"resultType": "vector", "result": series}}
        self._answer(200, json.dumps(told).encode())

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nobody reads it."""


if __name__ == "__main__":
    ThreadingHTTPServer(("", int(sys.argv[1])), Source).serve_forever()
