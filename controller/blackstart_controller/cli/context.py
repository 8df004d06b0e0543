"""The context: which controller, whose token, which authority. One JSON file that only its owner can read."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from blackstart_controller.errors import UsageError

URL, TOKEN, AUTHORITY = "BLACKSTART_URL", "BLACKSTART_TOKEN", "BLACKSTART_CA"
PEM = "-----BEGIN"
BESIDE_THE_CONTROLLER = Path("/var/lib/blackstart/admin.json")


@dataclass(frozen=True, slots=True)
class Context:
    """`url` has no path; `ca_pem` is the only authority that is trusted."""

    url: str
    token: str
    ca_pem: str


def own_file() -> Path:
    """Where `login` keeps the context of this user."""
    base = os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    return Path(base) / "blackstart" / "context.json"


def find(chosen: Path | None) -> Context:
    """The context in `chosen`, else the environment's, else this user's, else that of a controller here."""
    if chosen is not None:
        return load(chosen)
    if os.environ.get(URL):
        return of_environment(os.environ)
    tried = (own_file(), BESIDE_THE_CONTROLLER)
    for path in tried:
        if _readable(path):
            return load(path)
    raise UsageError(
        f"no context: neither {tried[0]} nor {tried[1]} can be read; run `blackstart login URL`, "
        "name the controller's admin.json with --context or BLACKSTART_CONTEXT, "
        f"or set {URL}, {TOKEN} and {AUTHORITY}"
    )


def of_environment(environment: Mapping[str, str]) -> Context:
    """The context that a pipeline has in its variables. BLACKSTART_CA: a PEM text, or the name of a file."""
    url, token = environment[URL].rstrip("/"), environment.get(TOKEN, "").strip().partition(".")[0]
    if not url.startswith("https://"):
        raise UsageError(f"{URL}: must be https://HOST:PORT, got {url}")
    if not (token and token.isascii() and token.isprintable()):
        raise UsageError(f"{URL} is set, so {TOKEN} must hold an operator's token, plain ASCII as bsk_…")
    authority = environment.get(AUTHORITY, "")
    if authority and not authority.lstrip().startswith(PEM):
        try:
            authority = Path(authority).read_text()
        except OSError as error:
            raise UsageError(
                f"{AUTHORITY}: {authority}: {error.strerror}; give the controller's /ca.pem, or its file"
            ) from error
    return Context(url, token, authority)


def load(path: Path) -> Context:
    try:
        mode = path.stat().st_mode
        document = json.loads(path.read_text())
        context = Context(url=document["url"].rstrip("/"), token=document["token"], ca_pem=document["ca_pem"])
    except OSError as error:
        raise UsageError(
            f"context {path}: {error.strerror}; run `blackstart login URL` or name another file"
        ) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(
            f"context {path}: must be JSON with url, token and ca_pem; run `blackstart login URL`"
        ) from error
    if not context.url.startswith("https://"):
        raise UsageError(f"context {path}: url must be https://HOST:PORT, got {context.url}")
    if not (context.token.isascii() and context.token.isprintable()):
        raise UsageError(f"context {path}: token must be plain ASCII, as bsk_…; run `blackstart login URL`")
    if stat.S_IMODE(mode) & 0o077:
        shown = f"{stat.S_IMODE(mode):04o}"
        raise UsageError(f"context {path}: others can read the token (mode {shown}); run: chmod 600 {path}")
    return context


def save(path: Path, context: Context) -> None:
    """`path` holds the context, mode 0600, whole or not at all."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(asdict(context), file, indent=2)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def _readable(path: Path) -> bool:
    return os.access(path, os.R_OK)
