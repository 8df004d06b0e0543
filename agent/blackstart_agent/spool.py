"""A numbered, fsynced, append-only log on this host: what happened is kept here until the controller has it.

Files of a spool: `id` (a UUID, new with the directory), `acked` (a hint), and segments `FIRSTSEQ.seg` of
frames `length, crc32, seq, payload`. A torn tail is cut off at the next start: nobody was promised it.
"""

from __future__ import annotations

import contextlib
import os
import re
import struct
import threading
import uuid
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from blackstart_agent import files
from blackstart_agent.errors import AgentError

HEADER = struct.Struct("<IIQ")
ACKED = struct.Struct("<QI")
MAX_RECORD_BYTES = 1 << 20
SUFFIX = ".seg"
SEGMENT = re.compile(r"[0-9]{20}\.seg")


class SpoolFull(AgentError):
    """No room for another record; nothing was written. Acknowledging makes room."""


@dataclass(frozen=True, slots=True)
class Record:
    seq: int
    payload: bytes


@dataclass(slots=True)
class _Segment:
    first: int
    size: int
    last: int = 0  # first - 1 while it is empty
    lost: int = 0  # numbers within it that cannot be read any more

    @property
    def name(self) -> str:
        return f"{self.first:020d}{SUFFIX}"


@dataclass(slots=True)
class _Cursor:
    """Where the last reader stopped, so that following the tail costs only what is new."""

    seq: int = 0
    segment: int = 0
    offset: int = 0


@dataclass(slots=True)
class Spool:
    """One writer, any threads. Full: `drop_oldest` makes room and counts in `dropped`, else SpoolFull."""

    directory: Path
    max_bytes: int = 64 << 20
    drop_oldest: bool = False
    segment_bytes: int = 256 << 10
    id: str = ""
    last_seq: int = 0
    acked: int = 0
    dropped: int = 0
    _writing: threading.Lock = field(default_factory=threading.Lock)  # held while the disk is waited for
    _lock: threading.Lock = field(default_factory=threading.Lock)  # the numbers; readers never wait for fsync
    _cursor: _Cursor = field(default_factory=_Cursor)
    _segments: list[_Segment] = field(default_factory=list)
    _directory: int = -1
    _tail: int = -1

    def __post_init__(self) -> None:
        self._directory = files.open_directory(self.directory)
        try:
            self.id = self._read_id()
            self.acked = self._read_acked()
            self._read_segments()
            self._open_tail()
        except BaseException:  # an interrupt too must leave nothing half-made; it goes on
            self.close()
            raise

    def append(self, payload: bytes) -> int:
        """The record's number; it is on the disk. After OSError or SpoolFull it never will be."""
        return self.append_many([payload])[0]

    def append_many(self, payloads: Sequence[bytes]) -> range:
        """The records' numbers; one fsync for all. All are on the disk when this returns, or none."""
        with self._writing:
            numbers = range(self.last_seq + 1, self.last_seq + 1 + len(payloads))
            data = b"".join(_frame(seq, payload) for seq, payload in zip(numbers, payloads, strict=True))
            if payloads:
                self._make_room(len(data))
                self._write(data)
                with self._lock:
                    self._segments[-1].size += len(data)
                    self.last_seq = self._segments[-1].last = numbers[-1]
            return numbers

    def pending(self, after: int = 0, limit: int = 1_000) -> list[Record]:
        """Up to `limit` records in order, numbered above `after` and above what is acknowledged."""
        with self._lock:
            after = max(after, self.acked)
            found: list[Record] = []
            for segment in self._segments:
                if segment.last <= after:
                    continue
                for record, end in self._frames(segment, self._start(segment, after)):
                    if record.seq > after:
                        found.append(record)
                        self._cursor = _Cursor(record.seq, segment.first, end)
                    if len(found) >= limit:
                        return found
            return found

    def ack(self, seq: int) -> None:
        """Everything up to `seq` may be forgotten; whole segments are deleted."""
        with self._writing:
            seq = min(seq, self.last_seq)
            if seq <= self.acked:
                return
            self.acked = seq
            self._write_acked()
            if self._segments[-1].last <= seq and self._segments[-1].size >= self.segment_bytes // 4:
                with contextlib.suppress(OSError):  # a full disk: the segment is kept a little longer
                    self._roll()
            while len(self._segments) > 1 and self._segments[0].last <= seq:
                self._delete_oldest()

    def close(self) -> None:
        for handle in (self._tail, self._directory):
            if handle >= 0:
                os.close(handle)
        self._tail = self._directory = -1

    def __del__(self) -> None:
        self.close()  # the descriptors go with their owner, as those of a file object do

    # ---- writing; `_writing` is held ----

    def _make_room(self, wanted: int) -> None:
        if self._segments[-1].size >= self.segment_bytes:
            self._roll()
        used = sum(segment.size for segment in self._segments)
        while self.drop_oldest and used + wanted > self.max_bytes and len(self._segments) > 1:
            oldest = self._segments[0]
            used -= oldest.size
            self.dropped += max(0, oldest.last - max(oldest.first - 1, self.acked) - oldest.lost)
            self._delete_oldest()
        if used + wanted > self.max_bytes:
            raise SpoolFull(f"{self.directory}: {used} of {self.max_bytes} bytes wait for an acknowledgement")

    def _write(self, data: bytes) -> None:
        segment = self._segments[-1]
        try:
            files.write_all(self._tail, data)
            os.fdatasync(self._tail)
        except BaseException:  # an interrupt too must leave nothing half-made; it goes on
            os.ftruncate(self._tail, segment.size)
            raise

    def _roll(self) -> None:
        fresh = _Segment(self.last_seq + 1, 0, self.last_seq)
        handle = self._open_segment(fresh)
        os.fsync(self._directory)
        if self._tail >= 0:
            os.close(self._tail)
        self._tail = handle
        with self._lock:
            self._segments.append(fresh)

    def _delete_oldest(self) -> None:
        with self._lock:
            oldest = self._segments.pop(0)
        with contextlib.suppress(OSError):  # it is found and deleted at the next start
            os.unlink(oldest.name, dir_fd=self._directory)

    def _open_segment(self, segment: _Segment) -> int:
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        return os.open(segment.name, flags, 0o600, dir_fd=self._directory)

    def _write_acked(self) -> None:
        data = self.acked.to_bytes(8, "little")
        flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            handle = os.open("acked", flags, 0o600, dir_fd=self._directory)
        except OSError:
            return  # only a hint: without it, acknowledged records are sent again and stored once
        try:
            os.pwrite(handle, ACKED.pack(self.acked, zlib.crc32(data)), 0)
        except OSError:
            return
        finally:
            os.close(handle)

    # ---- reading ----

    def _read_id(self) -> str:
        try:
            return str(uuid.UUID(files.read(self._directory, "id").decode()))
        except (FileNotFoundError, ValueError):  # new, or unreadable: unknown numbers are worthless
            for name in os.listdir(self._directory):  # noqa: PTH208 - by descriptor, as everything here
                if name.endswith(SUFFIX) or name == "acked":
                    os.unlink(name, dir_fd=self._directory)
            fresh = str(uuid.uuid4())
            files.replace(self._directory, "id", fresh.encode())
            self._write_acked()
            return fresh

    def _read_acked(self) -> int:
        try:
            acked, crc = ACKED.unpack(files.read(self._directory, "acked"))
        except (OSError, struct.error):
            return 0
        return int(acked) if zlib.crc32(int(acked).to_bytes(8, "little")) == crc else 0

    def _read_segments(self) -> None:
        names = os.listdir(self._directory)  # noqa: PTH208
        firsts = sorted(int(name[: -len(SUFFIX)]) for name in names if SEGMENT.fullmatch(name))
        for first in firsts:
            segment = _Segment(first, 0, first - 1)
            data = files.read(self._directory, segment.name)
            count = 0
            for record, end in _scan(data, 0):
                segment.last, segment.size, count = record.seq, end, count + 1
            segment.lost = segment.last - (first - 1) - count
            self._segments.append(segment)
        while len(self._segments) > 1 and self._segments[0].last <= self.acked:
            self._delete_oldest()
        if self._segments:
            self.last_seq = max(self.acked, *(segment.last for segment in self._segments))
            self.dropped = self._missing()

    def _missing(self) -> int:
        """Numbers above the acknowledged ones that no segment holds."""
        held = sum(
            max(0, segment.last - max(segment.first - 1, self.acked)) - segment.lost
            for segment in self._segments
        )
        return max(0, self.last_seq - self.acked - held)

    def _open_tail(self) -> None:
        self.last_seq = max(self.last_seq, self.acked)
        if not self._segments or self._segments[-1].last < self.last_seq:
            self._roll()
            return
        self._tail = self._open_segment(self._segments[-1])
        os.ftruncate(self._tail, self._segments[-1].size)

    def _start(self, segment: _Segment, after: int) -> int:
        same = self._cursor.segment == segment.first and self._cursor.seq <= after
        return self._cursor.offset if same else 0

    def _frames(self, segment: _Segment, start: int) -> Iterator[tuple[Record, int]]:
        handle = os.open(segment.name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self._directory)
        with os.fdopen(handle, "rb") as file:
            file.seek(start)
            data = file.read(segment.size - start)
        for record, end in _scan(data, 0):
            yield record, start + end


def _frame(seq: int, payload: bytes) -> bytes:
    if len(payload) > MAX_RECORD_BYTES:
        raise ValueError(f"a record holds at most {MAX_RECORD_BYTES} bytes, this one has {len(payload)}")
    return HEADER.pack(len(payload), _crc(seq, payload), seq) + payload


def _crc(seq: int, payload: bytes) -> int:
    return zlib.crc32(payload, zlib.crc32(seq.to_bytes(8, "little")))


def _scan(data: bytes, start: int) -> Iterator[tuple[Record, int]]:
    """Every readable frame and its end. Damaged bytes are stepped over: what follows them is not lost."""
    at, last = start, 0
    while at + HEADER.size <= len(data):
        length, crc, seq = HEADER.unpack_from(data, at)
        end = at + HEADER.size + length
        if last < seq and end <= len(data) and length <= MAX_RECORD_BYTES:
            payload = data[at + HEADER.size : end]
            if _crc(seq, payload) == crc:
                yield Record(seq, payload), end
                at, last = end, seq
                continue
        at += 1
