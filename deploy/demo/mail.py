"""mail: all it needs is in its own site, except that it asks login who you are. Only the standard library.

`GET /inbox` is 200 with your letters, or 503 when login does not answer within a second.
"""

from __future__ import annotations

import argparse
import http.client

from page import address, serve


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


def answer(login: str) -> tuple[int, str]:
    try:
        return 200, f"3 letters for {session(login)}\n"
    except (OSError, http.client.HTTPException) as error:
        return 503, f"who are you? login at {login}: {error}\n"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--listen", type=address, required=True)
    parser.add_argument("--login", required=True)
    options = parser.parse_args()
    serve(options.listen, lambda _path: answer(options.login))
