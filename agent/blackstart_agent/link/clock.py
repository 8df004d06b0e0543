"""Answers to the controller's clock probes, on CLOCK_MONOTONIC."""

from __future__ import annotations

import time
from collections.abc import Callable

from blackstart_proto.v1 import agent_pb2


def clock_reply(
    probe: agent_pb2.ClockProbe, received_ns: int, now_ns: Callable[[], int] = time.monotonic_ns
) -> agent_pb2.FromAgent:
    """`received_ns` was taken when the probe was read; the reply's own time is taken here."""
    reply = agent_pb2.ClockReply(id=probe.id, received_ns=received_ns)
    reply.sent_ns = now_ns()
    return agent_pb2.FromAgent(clock=reply)
