"""A new certificate at half of the old one's life, over the stream that the old one opened."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from blackstart_proto.v1 import agent_pb2

from blackstart_agent.errors import AgentError
from blackstart_agent.link import keystore, openssl

log = logging.getLogger(__name__)
LOOK_AGAIN_S = 3600.0  # the wall clock may be set meanwhile


class Renewal(Protocol):
    async def due(self) -> bytes:
        """Return a certificate request (PEM) when it is time for one."""
        ...

    async def accept(self, certificate: agent_pb2.Certificate) -> bool:
        """Keep the new certificate; the next stream uses it. False when it cannot be kept."""
        ...


class FileRenewal:
    """Renewal of the identity in `folder`. The key stays, so that a crash leaves a pair that fits."""

    def __init__(
        self, folder: Path, name: str, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._folder = folder
        self._name = name
        self._now = now

    async def due(self) -> bytes:
        while True:
            try:
                wait_s = await asyncio.to_thread(self._wait_s)
                if wait_s <= 0:
                    return await asyncio.to_thread(self._request)
            except AgentError as error:
                log.error("this host's certificate cannot be renewed: %s", error)
                wait_s = LOOK_AGAIN_S
            await asyncio.sleep(min(wait_s, LOOK_AGAIN_S))

    async def accept(self, certificate: agent_pb2.Certificate) -> bool:
        try:
            await asyncio.to_thread(self._store, certificate)
        except (AgentError, OSError) as error:
            log.error("the new certificate cannot be kept: %s", error)
            return False
        return True

    def _wait_s(self) -> float:
        start, end = openssl.validity(keystore.load(self._folder).certificate_pem)
        return (start + (end - start) / 2 - self._now()).total_seconds()

    def _request(self) -> bytes:
        return openssl.request_pem(keystore.load(self._folder).key_pem, self._name)

    def _store(self, certificate: agent_pb2.Certificate) -> None:
        new = replace(
            keystore.load(self._folder),
            certificate_pem=certificate.certificate_pem,
            authority_pem=certificate.authority_pem,
        )
        keystore.store(self._folder, new, owner=None)
