"""The lever on disk: a file that has its whole size from the beginning, so that a full disk takes it too.

Two slots, written in turn: a write that is cut in two leaves the other one. Neither readable: engaged.
"""

from __future__ import annotations

import json
import os
import zlib
from dataclasses import asdict, dataclass
from pathlib import Path

from blackstart_controller.control.model import LeverState

SLOT_BYTES = 8192
SLOTS = 2
MAX_REASON = 1000


@dataclass(frozen=True, slots=True)
class Record:
    """`serial` counts the changes from 0."""

    serial: int
    state: LeverState | None


class Unreadable(Exception):
    """There is a file, and no slot of it makes sense."""


class LeverFile:
    """Blocking; call it beside the event loop. Raises OSError."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> Record | None:
        """The last change; None for a file that is not there."""
        try:
            data = self._path.read_bytes()
        except FileNotFoundError:
            return None
        slots = [data[n * SLOT_BYTES : (n + 1) * SLOT_BYTES] for n in range(SLOTS)]
        records = [record for slot in slots if (record := _parse(slot)) is not None]
        if not records:
            raise Unreadable(f"{self._path}: no slot can be read")
        return max(records, key=lambda record: record.serial)

    def write(self, record: Record) -> None:
        """Durable on return."""
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            if os.fstat(descriptor).st_size < SLOTS * SLOT_BYTES:
                os.pwrite(descriptor, bytes(SLOTS * SLOT_BYTES), 0)
            os.pwrite(descriptor, _text(record), record.serial % SLOTS * SLOT_BYTES)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _text(record: Record) -> bytes:
    state = None if record.state is None else asdict(record.state)
    text = json.dumps({"serial": record.serial, "engaged": state}, ensure_ascii=False).encode()
    line = b"%08x %s\n" % (zlib.crc32(text), text)
    assert len(line) <= SLOT_BYTES
    return line.ljust(SLOT_BYTES, b"\0")


def _parse(slot: bytes) -> Record | None:
    checksum, _, text = slot.partition(b"\n")[0].partition(b" ")
    try:
        if int(checksum, 16) != zlib.crc32(text):
            return None
        found = json.loads(text)
        state = None if found["engaged"] is None else LeverState(**found["engaged"])
        return Record(int(found["serial"]), state)
    except (ValueError, KeyError, TypeError):
        return None
