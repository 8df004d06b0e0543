"""What makes a guardian hard to lose: locked memory, no core dumps, last in line when memory runs out."""

from __future__ import annotations

import contextlib
import ctypes
import resource
from pathlib import Path

MCL_CURRENT, MCL_FUTURE, MCL_ONFAULT = 1, 2, 4
GUARDIAN_OOM = -900
LINK_OOM = 0


def harden() -> list[str]:
    """This process is as hard to lose as the host permits; the answer says what it does not permit."""
    missing: list[str] = []
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    library = ctypes.CDLL(None, use_errno=True)
    if library.mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) != 0:
        missing.append("memory cannot be locked (CAP_IPC_LOCK): a host that swaps may delay reverts")
    if not set_oom_score("self", GUARDIAN_OOM):
        missing.append(
            "oom_score_adj cannot be lowered (CAP_SYS_RESOURCE): the agent may be killed for memory"
        )
    return missing


def set_oom_score(pid: int | str, score: int) -> bool:
    """Whether the kernel took it. -1000 (never) to 1000 (first)."""
    with contextlib.suppress(OSError):
        Path(f"/proc/{pid}/oom_score_adj").write_text(str(score))
        return True
    return False
