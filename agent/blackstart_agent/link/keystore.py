"""The link's identity on disk: key.pem, cert.pem and ca.pem in one folder that only its user reads."""

from __future__ import annotations

import contextlib
import os
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from blackstart_agent import files
from blackstart_agent.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Identity:
    key_pem: bytes
    certificate_pem: bytes
    authority_pem: bytes


def load(folder: Path) -> Identity:
    try:
        return Identity(
            (folder / "key.pem").read_bytes(),
            (folder / "cert.pem").read_bytes(),
            (folder / "ca.pem").read_bytes(),
        )
    except OSError as error:
        raise ConfigError(
            f"{error.filename}: {error.strerror}; enrol this host: blackstart-agent enroll"
        ) from None


def store(folder: Path, identity: Identity, owner: tuple[int, int] | None) -> None:
    """All three files belong to `owner` (uid, gid), 0600. A certificate that is not the key's is refused."""
    check_pair(identity)
    directory = files.open_directory(folder, owner=owner)
    try:
        for name, data in _files(identity):
            _put(directory, name, data, owner)
        os.fsync(directory)
    finally:
        os.close(directory)


def check_pair(identity: Identity) -> None:
    """Raise ConfigError unless the certificate belongs to the key and both can be read."""
    # The ssl module takes a key by file name only; a memory file is never on a disk.
    with _memory_file(identity.key_pem) as key, _memory_file(identity.certificate_pem) as certificate:
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(certificate, key)
        except ssl.SSLError as error:
            raise ConfigError(
                f"the controller's certificate does not fit this host's key ({error.reason}); enrol again"
            ) from None


def _files(identity: Identity) -> Iterator[tuple[str, bytes]]:
    # The certificate last: a new key with the old one only means enrolling again, a renewal keeps the key.
    yield "key.pem", identity.key_pem
    yield "ca.pem", identity.authority_pem
    yield "cert.pem", identity.certificate_pem


def _put(directory: int, name: str, data: bytes, owner: tuple[int, int] | None) -> None:
    """Like files.replace, but the file has its owner before it has its name."""
    draft = f".{name}.new"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(draft, dir_fd=directory)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    handle = os.open(draft, flags, 0o600, dir_fd=directory)
    try:
        if owner is not None:
            os.fchown(handle, *owner)
        files.write_all(handle, data)
        os.fsync(handle)
    finally:
        os.close(handle)
    os.rename(draft, name, src_dir_fd=directory, dst_dir_fd=directory)


@contextlib.contextmanager
def _memory_file(data: bytes) -> Iterator[str]:
    handle = os.memfd_create("blackstart")
    try:
        files.write_all(handle, data)
        yield f"/proc/self/fd/{handle}"
    finally:
        os.close(handle)
