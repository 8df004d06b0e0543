"""Samples on their way to the controller: gathered, fsynced, sent until acknowledged."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from blackstart_proto.v1 import agent_pb2

from blackstart_agent.spool import Spool, SpoolFull

log = logging.getLogger(__name__)
BATCH = 200
GATHER_S = 0.05
RETRY_S = 1.0
WINDOW = 16  # batches on their way at once
MAX_WAITING = 50_000  # samples in memory while the disk takes none
SPOOL_BYTES = 64 << 20


class SampleOutbox:
    """Samples by run, in batches of up to 200. They stay on the disk while there is no controller."""

    def __init__(self, spool: Spool, boot_id: str) -> None:
        self._spool = spool
        self._boot_id = boot_id
        self._waiting: dict[str, list[agent_pb2.Sample]] = {}
        self._count = 0
        self._full = asyncio.Event()
        self._some = asyncio.Event()
        self._sendable = asyncio.Event()
        self._sent = 0

    @property
    def spool_id(self) -> str:
        return self._spool.id

    def add(self, run_id: str, samples: Sequence[agent_pb2.Sample]) -> None:
        """Take samples. They are on the disk within about 0.05 s; what is beyond MAX_WAITING is lost."""
        if self._count + len(samples) > MAX_WAITING:
            log.error("%d samples of run %s are lost: the disk takes none", len(samples), run_id)
            return
        self._waiting.setdefault(run_id, []).extend(samples)
        self._count += len(samples)
        self._some.set()
        if self._count >= BATCH:
            self._full.set()

    async def keep(self) -> None:
        """Write what is gathered to the disk, for ever."""
        while True:
            await self._some.wait()
            try:
                async with asyncio.timeout(GATHER_S):
                    await self._full.wait()
            except TimeoutError:
                pass  # a batch that is not full is written as well
            await self.flush()

    async def flush(self) -> None:
        """Everything taken so far is on the disk."""
        waiting, self._waiting, self._count = self._waiting, {}, 0
        self._some.clear()
        self._full.clear()
        payloads = [
            agent_pb2.SampleBatch(
                boot_id=self._boot_id, run_id=run_id, samples=samples[start : start + BATCH]
            ).SerializeToString()
            for run_id, samples in waiting.items()
            for start in range(0, len(samples), BATCH)
        ]
        while payloads:
            try:
                # Elsewhere: an fsync would make the probes of this moment late.
                await asyncio.to_thread(self._spool.append_many, payloads)
                break
            except (OSError, SpoolFull) as error:
                log.error("samples cannot be kept: %s; trying again in %s s", error, RETRY_S)
                await asyncio.sleep(RETRY_S)
        self._sendable.set()

    def restart(self) -> None:
        """A new stream: everything that is not acknowledged is sent again."""
        self._sent = self._spool.acked
        self._sendable.set()

    async def next(self) -> Sequence[agent_pb2.SampleBatch]:
        """The next batches for this stream, which count as sent now. At most WINDOW are unacknowledged."""
        while True:
            room = WINDOW - (self._sent - max(self._spool.acked, 0))
            records = self._spool.pending(self._sent, room) if room > 0 else []
            if records:
                self._sent = records[-1].seq
                return [self._batch(record.seq, record.payload) for record in records]
            self._sendable.clear()
            await self._sendable.wait()

    def acked(self, ack: agent_pb2.Ack) -> None:
        if ack.spool == self._spool.id:
            self._spool.ack(ack.seq)
            self._sendable.set()

    def _batch(self, seq: int, payload: bytes) -> agent_pb2.SampleBatch:
        batch = agent_pb2.SampleBatch.FromString(payload)
        batch.spool, batch.seq = self._spool.id, seq
        return batch
