"""Keys in memory and on disk. A key file is complete or absent, and only its owner reads it."""

from __future__ import annotations

import os
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from blackstart_controller.errors import UsageError
from blackstart_controller.security.secret import Secret


def new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def private_pem(key: ec.EllipticCurvePrivateKey) -> Secret:
    return Secret(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode())


def load_key(path: Path) -> ec.EllipticCurvePrivateKey:
    """The P-256 key in `path`. A file that others can read is refused: the key may be known already."""
    if path.stat().st_mode & 0o077:
        raise UsageError(f"{path}: others can read this key; if nobody did, run: chmod 600 {path}")
    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except ValueError as error:
        raise UsageError(f"{path}: not a private key ({error}); restore it from a backup") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise UsageError(f"{path}: must be an ECDSA P-256 key; restore it from a backup")
    return key


def write_once(path: Path, data: bytes, *, mode: int) -> None:
    """Put `data` into `path`, durably and all at once. A file that is already there stays as it is."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, mode)
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(descriptor, mode)
        file.write(data)
        file.flush()
        os.fsync(descriptor)
    try:
        os.link(draft, path)  # unlike a rename, this never replaces a key that another process has just made
    except FileExistsError:
        pass
    finally:
        draft.unlink()
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
