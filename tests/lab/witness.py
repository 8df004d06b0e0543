"""The second witness: an independent client with its own loop and its own clock. It imports none of our code.

`python witness.py HOST PORT PERIOD_S SECONDS` asks a Redis for PONG over a new connection each PERIOD_S, open
loop, on CLOCK_MONOTONIC_RAW, and prints one JSON object with the longest gap that it saw:

* `low`  from the first to the last question of the gap that was asked in vain: it lasted at least so long
* `high` from the last good question before to the first good answer after: it lasted at most so long
"""

from __future__ import annotations

import json
import selectors
import socket
import sys
import time
from itertools import pairwise

GIVE_UP_S = 0.15


def now() -> float:
    return time.clock_gettime(time.CLOCK_MONOTONIC_RAW)


class Question:
    """One connection, one PING, one answer."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.asked = now()
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.socket.setblocking(False)
        self.sent = False
        self.socket.connect_ex(address)

    def step(self) -> bool | None:
        """True: PONG. False: no. None: not yet."""
        try:
            if not self.sent:
                if self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                    return False
                self.socket.send(b"PING\r\n")
                self.sent = True
                return None
            return self.socket.recv(64).startswith(b"+PONG")
        except BlockingIOError:
            return None
        except OSError:
            return False


def watch(address: tuple[str, int], period: float, seconds: float) -> list[tuple[float, float, bool]]:
    """(asked, answered, good) of every question, in the order of asking."""
    selector = selectors.DefaultSelector()
    answers: list[tuple[float, float, bool]] = []
    open_questions: list[Question] = []
    start, asked = now(), 0

    def close(question: Question, good: bool) -> None:
        selector.unregister(question.socket)
        question.socket.close()
        open_questions.remove(question)
        answers.append((question.asked, now(), good))

    while (moment := now()) < start + seconds or open_questions:
        if moment < start + seconds and moment >= start + asked * period:
            question = Question(address)
            open_questions.append(question)
            selector.register(question.socket, selectors.EVENT_WRITE, question)
            asked = int((moment - start) / period) + 1
        for key, _ in selector.select(max(0.0, min(period, start + asked * period - now()))):
            result = key.data.step()
            if result is None:
                selector.modify(key.fileobj, selectors.EVENT_READ, key.data)
            else:
                close(key.data, result)
        for question in [q for q in open_questions if now() - q.asked > GIVE_UP_S]:
            close(question, False)
    return sorted(answers)


def longest_gap(answers: list[tuple[float, float, bool]]) -> dict[str, float]:
    good = [index for index, answer in enumerate(answers) if answer[2]]
    gaps = [(before, after) for before, after in pairwise(good) if after > before + 1]
    if not gaps:
        return {"low": 0.0, "high": 0.0}
    low, high = 0.0, 0.0
    for before, after in gaps:
        length = answers[after][1] - answers[before][0]
        if length > high:
            low, high = answers[after - 1][0] - answers[before + 1][0], length
    return {"low": low, "high": high}


if __name__ == "__main__":
    host, port, period, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4])
    seen = watch((host, port), period, seconds)
    print(json.dumps({**longest_gap(seen), "asked": len(seen), "good": sum(answer[2] for answer in seen)}))
