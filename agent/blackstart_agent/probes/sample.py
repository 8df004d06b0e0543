"""One look to one outcome: what is an answer about the service, and what is trouble of this host."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import ssl
import time

from blackstart_proto.v1 import agent_pb2

from blackstart_agent.probes.base import LOCAL_ERRORS, CannotLook, Down, Look

NS_PER_S = 1_000_000_000
MAX_DETAIL = 200

log = logging.getLogger(__name__)


async def answer_of(look: Look, due_ns: int, timeout_ns: int) -> tuple[agent_pb2.Outcome.ValueType, str]:
    """What the look says; it is given up `timeout_ns` after it was due, however late it began."""
    try:
        # the loop's clock is CLOCK_MONOTONIC in seconds, the same as ours
        async with asyncio.timeout_at((due_ns + timeout_ns) / NS_PER_S):
            await look.look()
    except TimeoutError as error:
        return agent_pb2.OUTCOME_FAIL, str(error)[:MAX_DETAIL] or f"no answer in {timeout_ns / NS_PER_S:g} s"
    except Exception as error:  # noqa: BLE001  (a bug in a probe must become UNKNOWN, never an outage)
        return outcome_of(error)
    return agent_pb2.OUTCOME_OK, ""


def outcome_of(error: Exception) -> tuple[agent_pb2.Outcome.ValueType, str]:
    """FAIL for what the service or the network said, UNKNOWN for what went wrong here."""
    if isinstance(error, Down):
        return agent_pb2.OUTCOME_FAIL, str(error)[:MAX_DETAIL]
    if isinstance(error, CannotLook):
        return agent_pb2.OUTCOME_UNKNOWN, str(error)[:MAX_DETAIL]
    if isinstance(error, (ssl.SSLError, socket.gaierror)):  # their numbers are not errno's
        return agent_pb2.OUTCOME_FAIL, str(error)[:MAX_DETAIL]
    if isinstance(error, OSError):
        local = error.errno in LOCAL_ERRORS
        text = os.strerror(error.errno) if error.errno else str(error) or type(error).__name__
        return (agent_pb2.OUTCOME_UNKNOWN if local else agent_pb2.OUTCOME_FAIL), text[:MAX_DETAIL]
    if isinstance(error, EOFError):
        return agent_pb2.OUTCOME_FAIL, "the answer ended early"
    if isinstance(error, asyncio.LimitOverrunError):
        return agent_pb2.OUTCOME_FAIL, "the answer is too long"
    log.error("a probe failed by itself", exc_info=error)
    return agent_pb2.OUTCOME_UNKNOWN, f"the probe itself failed: {type(error).__name__}: {error}"[:MAX_DETAIL]


def void(probe_id: str, k: int, due_ns: int, reason: str) -> agent_pb2.Sample:
    """A sample that was not taken."""
    now_ns = time.monotonic_ns()
    return agent_pb2.Sample(
        probe_id=probe_id,
        k=k,
        due_ns=due_ns,
        started_ns=now_ns,
        ended_ns=now_ns,
        outcome=agent_pb2.OUTCOME_UNKNOWN,
        detail=reason[:MAX_DETAIL],
    )
