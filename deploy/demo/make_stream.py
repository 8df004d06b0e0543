"""Make a JetStream stream with three replicas, led by a chosen server; or publish to it. Only the stdlib.

Ends with 0 when the stream exists and is led as wished; with 1 when the cluster is not ready within 40 s.
With `--publish SUBJECT` it sends one message instead, and ends with 0 when the cluster has kept it.
Doing it again changes nothing, so it may run after every power cut.
"""

from __future__ import annotations

import argparse
import json
import socket
import sys
import time
from typing import Any

PATIENCE_S = 40.0
PAUSE_S = 0.1


class Nats:
    """As much of the NATS protocol as asking a question and waiting for the answer takes."""

    def __init__(self, address: tuple[str, int], timeout_s: float = 5.0) -> None:
        self._socket = socket.create_connection(address, timeout_s)
        self._lines = self._socket.makefile("rb")
        self._asked = 0
        self._lines.readline()  # INFO
        self._send(
            'CONNECT {"verbose":false,"lang":"python","version":"1","protocol":1}\r\nSUB answer.* 1\r\n'
        )

    def ask(self, subject: str, question: object = None) -> dict[str, Any]:
        self._asked += 1
        inbox = f"answer.{self._asked}"
        body = json.dumps(question) if question is not None else ""
        self._send(f"PUB {subject} {inbox} {len(body)}\r\n{body}\r\n")
        while line := self._lines.readline():
            words = line.split()
            if words[:1] == [b"PING"]:
                self._send("PONG\r\n")
            if words[:1] == [b"MSG"]:
                payload = self._lines.read(int(words[-1]) + 2)
                if words[1] == inbox.encode():
                    answer: dict[str, Any] = json.loads(payload)
                    return answer
        raise ConnectionError("the server closed the connection")

    def _send(self, text: str) -> None:
        self._socket.sendall(text.encode())


def make(nats: Nats, stream: str, subject: str, leader: str) -> str:
    """One attempt; empty when all is as wished, else what is missing."""
    wanted = {
        "name": stream,
        "subjects": [subject],
        "num_replicas": 3,
        "storage": "file",
        "max_msgs": 100_000,
    }
    info = nats.ask(f"$JS.API.STREAM.INFO.{stream}")
    if "error" in info:
        made = nats.ask(f"$JS.API.STREAM.CREATE.{stream}", wanted)
        return str(made.get("error", {}).get("description", "just made"))
    cluster = info["cluster"]
    if not cluster.get("leader") or any(not replica["current"] for replica in cluster["replicas"]):
        return "replicas are not current yet"
    if leader and cluster["leader"] != leader:
        nats.ask(f"$JS.API.STREAM.LEADER.STEPDOWN.{stream}")
        return f"{cluster['leader']} led; asked it to step down"
    return ""


def publish(server: tuple[str, int], stream: str, subject: str) -> int:
    """0 when a majority has stored a message, 1 when nobody says so within a second."""
    try:
        return 0 if Nats(server, 1.0).ask(subject).get("stream") == stream else 1
    except (OSError, ValueError) as error:
        sys.stderr.write(f"stream {stream}: {error}\n")
        return 1


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("stream")
    parser.add_argument("subject")
    parser.add_argument("--server", required=True)
    parser.add_argument("--leader", default="")
    parser.add_argument("--publish", default="", metavar="SUBJECT")
    options = parser.parse_args()
    host, _, port = options.server.rpartition(":")
    if options.publish:
        return publish((host, int(port)), options.stream, options.publish)
    deadline, missing = time.monotonic() + PATIENCE_S, "?"
    while time.monotonic() < deadline:
        try:
            missing = make(Nats((host, int(port))), options.stream, options.subject, options.leader)
        except (OSError, ValueError, KeyError) as error:
            missing = repr(error)
        if not missing:
            return 0
        time.sleep(PAUSE_S)
    sys.stderr.write(f"stream {options.stream}: not made within {PATIENCE_S:.0f} s: {missing}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
