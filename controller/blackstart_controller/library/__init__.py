"""Ready experiments for the faults that exist: templates, one file each, the file's name is the experiment's.

A new fault brings its own: a file here, and its name in NAMES.
"""

from __future__ import annotations

from importlib import resources
from typing import Final

NAMES: Final = (
    "site-blackout",
    "split-brain",
    "one-way-partition",
    "packet-loss",
    "blackhole",
    "lost-primary",
    "rolling-kill",
    "frozen-process",
    "cold-start",
    "busy-processors",
    "scarce-memory",
    "full-disk",
    "busy-disk",
    "slow-link",
    "thin-link",
    "reset-connections",
    "reordered-packets",
    "corrupt-packets",
    "duplicate-packets",
    "dead-dns",
    "lost-workers",
    "stuck-process",
    "rolling-restart",
    "crash-loop",
)
STARTER: Final = "starter"  # what `experiment init` writes when no template is named


def text(name: str) -> str:
    """Return the document of one of NAMES, or the starter's."""
    return (resources.files(__name__) / f"{name}.yaml").read_text(encoding="utf-8")
