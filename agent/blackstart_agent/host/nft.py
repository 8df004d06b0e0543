"""nf_tables in this process, through libnftables: no `nft` is started, so a transaction takes a tenth of a
millisecond, and the netlink socket that owns our tables lives exactly as long as this process.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import threading
from pathlib import Path

from blackstart_agent.errors import HostError, Unsupported

LIBRARY = "libnftables.so.1"
_NO_SUCH = "No such file or directory"
_FD_DIR = Path("/proc/self/fd")


class LinuxNft:
    """The tables of the network namespace in which it is first used.

    Changes go through one context, the owner; looking goes through another, so that a look never delays T0.
    """

    def __init__(self) -> None:
        self._writer = _Context()
        self._reader = _Context()

    def run(self, commands: str) -> None:
        self._writer.run(commands)

    def tables(self, prefix: str) -> list[tuple[str, str]]:
        lines = (line.split() for line in self._reader.run("list tables").splitlines())
        found = [(words[1], words[2]) for words in lines if len(words) >= 3 and words[0] == "table"]
        return [(family, name) for family, name in found if name.startswith(prefix)]

    def show(self, family: str, table: str) -> str | None:
        try:
            return self._reader.run(f"list table {family} {table}")
        except HostError as error:
            if _NO_SUCH in str(error):
                return None
            raise


class _Context:
    """One libnftables context, made at first use; not shared with a forked child, which makes its own."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._context: int | None = None
        self._library: ctypes.CDLL | None = None
        self._sockets: frozenset[int] = frozenset()
        os.register_at_fork(after_in_child=self._forget)

    def run(self, commands: str) -> str:
        """What nft prints. Raises HostError with its words when it refuses."""
        with self._lock:
            library, context = self._open()
            code = library.nft_run_cmd_from_buffer(context, commands.encode())
            printed: bytes = library.nft_ctx_get_output_buffer(context) or b""
            complaint: bytes = library.nft_ctx_get_error_buffer(context) or b""
        if code != 0:
            raise HostError(f"nft: {_words(complaint)}")
        return printed.decode(errors="replace")

    def _open(self) -> tuple[ctypes.CDLL, int]:
        if self._library is None or self._context is None:
            library = load()
            before = _sockets()
            context = library.nft_ctx_new(0)
            if not context:
                raise HostError("nft: libnftables gives no context; is this root, with CAP_NET_ADMIN?")
            self._sockets = _sockets() - before
            for number in self._sockets:  # libnftables forgets it, and a child would keep our tables alive
                fcntl.fcntl(number, fcntl.F_SETFD, fcntl.FD_CLOEXEC)
            library.nft_ctx_buffer_output(context)
            library.nft_ctx_buffer_error(context)
            self._library, self._context = library, int(context)
        return self._library, self._context

    def _forget(self) -> None:
        """In a forked child: close the parent's sockets, or its tables would outlive it."""
        for number in self._sockets:
            os.close(number)
        self._lock, self._context, self._sockets = threading.Lock(), None, frozenset()


def load() -> ctypes.CDLL:
    """libnftables with its types declared. Raises Unsupported with the package that brings it."""
    try:
        library = ctypes.CDLL(LIBRARY)
    except OSError as error:
        raise Unsupported(
            f"{LIBRARY} cannot be loaded ({error}); install the package nftables (Debian: libnftables1)"
        ) from error
    context = ctypes.c_void_p
    library.nft_ctx_new.restype, library.nft_ctx_new.argtypes = context, [ctypes.c_uint32]
    library.nft_run_cmd_from_buffer.argtypes = [context, ctypes.c_char_p]
    for name in ("nft_ctx_get_output_buffer", "nft_ctx_get_error_buffer"):
        getattr(library, name).restype = ctypes.c_char_p
        getattr(library, name).argtypes = [context]
    library.nft_ctx_buffer_output.argtypes = [context]
    library.nft_ctx_buffer_error.argtypes = [context]
    return library


def _sockets() -> frozenset[int]:
    found: set[int] = set()
    for number in _FD_DIR.iterdir():
        try:
            if str(number.readlink()).startswith("socket:"):
                found.add(int(number.name))
        except FileNotFoundError:  # the descriptor of the listing itself
            continue
    return frozenset(found)


def _words(complaint: bytes) -> str:
    """Each error with the start of the line it is about; nft repeats whole transactions with carets below."""
    lines = [line for line in complaint.decode(errors="replace").splitlines() if line.strip(" ^~")]
    return "; ".join(line[:160] for line in lines[:4]) or "failed without a word"
