"""The undo records of open orders, fsynced before the host is touched: after a crash they are all there is.

`ORDER.json` has three lines, each a CRC32 and JSON: the record twice, with an empty line between, so that no
single bad place loses it, and the progress in a fixed width, which is overwritten in place: that needs no
room on a full disk.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import re
import time
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from blackstart_agent import files

LOCK = "lock"
SUFFIX = ".json"
BAD_SUFFIX = ".bad"
ORDER_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
PROGRESS_BYTES = 160
LOCK_POLL_S = 0.02


@dataclass(frozen=True, slots=True)
class Record:
    """What never changes about an open order. `manual` are the commands that undo it by hand."""

    order_id: str
    run_id: str
    kind: str
    mode: str
    boot_id: str
    undo: Mapping[str, Any]
    manual: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Progress:
    """Where the order is: armed, injecting, injected, reverting; unknown when its line cannot be read."""

    state: str = "unknown"
    deadline_ns: int = 0
    hold_end_ns: int = 0


@dataclass(frozen=True, slots=True)
class Entry:
    record: Record
    progress: Progress


@dataclass(frozen=True, slots=True)
class Contents:
    """`quarantined` names the files that could not be read at all and were set aside."""

    entries: tuple[Entry, ...] = ()
    quarantined: tuple[str, ...] = ()


@dataclass(slots=True)
class Journal:
    """One directory. Only the holder of its lock writes; anyone who may read it can `load`.

    `mirror`, on another file system, takes a copy of each record, as far as it can: a record whose file is
    lost or damaged beyond its two lines is read from there. What a reboot takes from it needs no revert.
    """

    directory: Path
    mirror: Path | None = None
    _directory: int = -1
    _lock: int = -1
    _mirror: int = -1
    _offsets: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._directory = files.open_directory(self.directory)
        if self.mirror is not None:
            with contextlib.suppress(OSError):
                self._mirror = files.open_directory(self.mirror)

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """The lock is free again."""
        for handle in (self._lock, self._directory, self._mirror):
            if handle >= 0:
                os.close(handle)
        self._lock = self._directory = self._mirror = -1

    def __del__(self) -> None:
        self.close()  # the descriptors go with their owner, as those of a file object do

    def lock(self, owner: str, timeout_s: float = 0.0) -> bool:
        """Whether the lock is ours within `timeout_s`. The file then holds `owner`, about this process."""
        handle = self._open_lock()
        until = time.monotonic() + timeout_s
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= until:
                    os.close(handle)
                    return False
                time.sleep(LOCK_POLL_S)
        self._lock = handle
        with contextlib.suppress(OSError):  # only for people and `revert --all`; a full disk must not stop us
            os.ftruncate(handle, 0)
            os.pwrite(handle, owner.encode(), 0)
        return True

    def _open_lock(self) -> int:
        flags = os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            return os.open(LOCK, flags | os.O_RDWR | os.O_CREAT, 0o600, dir_fd=self._directory)
        except OSError as error:  # a disk that became read-only: what is recorded must still be reverted
            if error.errno != errno.EROFS:
                raise
            return os.open(LOCK, flags | os.O_RDONLY, dir_fd=self._directory)

    def owner(self) -> str:
        """What the holder of the lock wrote about itself; empty when nobody ever did."""
        try:
            return files.read(self._directory, LOCK).decode(errors="replace")
        except OSError:
            return ""

    def open(self, record: Record, progress: Progress) -> None:
        """The record is on the disk. OSError: it is not, and nothing may be touched."""
        line = _line(asdict(record))
        name = _name(record.order_id)
        if self._exists(name):
            raise FileExistsError(errno.EEXIST, "this order has a record already", name)
        try:
            files.replace(self._directory, name, line + b"\n" + line + b"\n" + _progress(progress))
        except BaseException:  # an interrupt too must leave nothing half-made; it goes on
            with contextlib.suppress(OSError):
                os.unlink(name, dir_fd=self._directory)
            raise
        self._offsets[record.order_id] = 2 * len(line) + 2
        if self._mirror >= 0:
            with contextlib.suppress(OSError):
                files.replace(self._mirror, name, line)

    def update(self, order_id: str, progress: Progress) -> None:
        """The progress is on the disk; the record itself is not touched. Needs no room."""
        name = _name(order_id)
        if order_id not in self._offsets:
            self._offsets[order_id] = len(files.read(self._directory, name)) - PROGRESS_BYTES
        handle = os.open(name, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self._directory)
        try:
            os.pwrite(handle, _progress(progress), self._offsets[order_id])
            os.fdatasync(handle)
        finally:
            os.close(handle)

    def remove(self, order_id: str) -> None:
        """The order has no record any more. Removing one that has none is fine."""
        self._offsets.pop(order_id, None)
        if self._mirror >= 0:  # before the record: what only the copy knows would be reverted for nothing
            with contextlib.suppress(OSError):
                os.unlink(_name(order_id), dir_fd=self._mirror)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(_name(order_id), dir_fd=self._directory)
        os.fsync(self._directory)

    def load(self, *, quarantine: bool = False) -> Contents:
        """Every open order. `quarantine` sets aside what cannot be read, so that it is reported once."""
        own, copies = _records(self._directory), [] if self._mirror < 0 else _records(self._mirror)
        entries: list[Entry] = []
        bad: list[str] = []
        for name in sorted({*own, *copies}):
            entry = _entry(self._directory, name) or _entry(self._mirror, name)
            if entry is not None:
                entries.append(entry)
                continue
            if name not in own:
                continue  # a damaged copy of what has ended
            bad.append(name)
            if quarantine:
                with contextlib.suppress(OSError):
                    os.rename(name, name + BAD_SUFFIX, src_dir_fd=self._directory, dst_dir_fd=self._directory)
        return Contents(tuple(entries), tuple(bad))

    def _exists(self, name: str) -> bool:
        try:
            os.stat(name, dir_fd=self._directory, follow_symlinks=False)
        except FileNotFoundError:
            return False
        return True


def valid_id(order_id: str) -> bool:
    """Whether it is a UUID in its usual form, and so a safe file name."""
    return ORDER_ID.fullmatch(order_id) is not None


def _name(order_id: str) -> str:
    if not valid_id(order_id):
        raise ValueError(f"order id {order_id!r} is not a UUID in lower case")
    return order_id + SUFFIX


def _records(directory: int) -> list[str]:
    names = os.listdir(directory)
    return [name for name in names if name.endswith(SUFFIX) and not name.startswith(".")]


def _entry(directory: int, name: str) -> Entry | None:
    """None when it is not there, or cannot be read."""
    try:
        lines = files.read(directory, name).split(b"\n")
    except OSError:
        return None
    return _parse(name, lines)


def _line(value: Mapping[str, object]) -> bytes:
    body = json.dumps(value, separators=(",", ":"), sort_keys=True).encode()
    return b"%08x %s\n" % (zlib.crc32(body), body)


def _progress(progress: Progress) -> bytes:
    body = json.dumps(asdict(progress), separators=(",", ":")).encode().ljust(PROGRESS_BYTES - 10)
    return b"%08x %s\n" % (zlib.crc32(body), body)


def _value(line: bytes) -> dict[str, Any] | None:
    crc, _, body = line.partition(b" ")
    if crc != b"%08x" % zlib.crc32(body):
        return None
    try:
        value = json.loads(body)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _parse(name: str, lines: Sequence[bytes]) -> Entry | None:
    """The entry, from whichever lines are whole: a damaged one may have lost or gained line ends."""
    record: Record | None = None
    progress = Progress()
    for value in filter(None, map(_value, lines)):
        with contextlib.suppress(TypeError):
            if "undo" in value:
                record = Record(**{**value, "manual": tuple(value.get("manual", ()))})
            else:
                progress = Progress(**value)
    if record is None or record.order_id + SUFFIX != name:
        return None
    return Entry(record, progress)
