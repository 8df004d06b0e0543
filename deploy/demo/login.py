"""login: hands out sessions, and keeps them in the Redis beside it. Only the standard library.

`GET /health` is 200 when the sessions can be reached; `GET /session` makes one.
"""

from __future__ import annotations

import argparse
import socket

from page import address, serve


def ask(redis: tuple[str, int], *words: str) -> str:
    """One command, one line of answer."""
    command = f"*{len(words)}\r\n" + "".join(f"${len(word.encode())}\r\n{word}\r\n" for word in words)
    with socket.create_connection(redis, timeout=1.0) as connection:
        connection.sendall(command.encode())
        return connection.makefile("rb").readline().decode().strip()


def answer(redis: tuple[str, int], path: str) -> tuple[int, str]:
    try:
        if path == "/session":
            return 200, f"session {ask(redis, 'INCR', 'sessions').lstrip(':')}\n"
        ask(redis, "PING")
    except OSError as error:
        return 503, f"sessions are down: {error}\n"
    return 200, "ok\n"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--listen", type=address, required=True)
    parser.add_argument("--redis", type=address, required=True)
    options = parser.parse_args()
    serve(options.listen, lambda path: answer(options.redis, path))
