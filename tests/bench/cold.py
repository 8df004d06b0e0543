"""How long programs take to start, and what the command line imports for --help."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Sequence

from bench.controller import BLACKSTART

ROUNDS = 11
HEAVY = ("grpc", "sqlalchemy", "fastapi", "cryptography", "pydantic", "httpx2", "blackstart_controller.fleet")
IMPORTED = """\
import sys
sys.argv = ["blackstart", "--help"]
from blackstart_controller.cli import main
try:
    main()
finally:
    print(*sys.modules, sep="\\n", file=sys.stderr)
"""


def starts() -> dict[str, float]:
    """Milliseconds from exec to exit, median."""
    python = (sys.executable, "-c")
    return {
        "python_ms": _took_ms((*python, "pass")),
        "grpc_ms": _took_ms((*python, "import grpc")),
        "help_ms": _took_ms((*BLACKSTART, "--help")),
    }


def heavy_imports() -> list[str]:
    """Those of HEAVY that `blackstart --help` has loaded: should be none."""
    done = subprocess.run([sys.executable, "-c", IMPORTED], capture_output=True, text=True, timeout=30)
    loaded = set(done.stderr.split())
    assert "click" in loaded, done.stderr
    return [name for name in HEAVY if name in loaded]


def _took_ms(argv: Sequence[str]) -> float:
    times = []
    for _ in range(ROUNDS):
        began_s = time.monotonic()
        subprocess.run(
            argv, stdout=subprocess.DEVNULL, check=True
        )  # with a timeout it polls, up to 50 ms apart
        times.append((time.monotonic() - began_s) * 1e3)
    return statistics.median(times)
