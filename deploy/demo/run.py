"""`make demo`: a lab comes up, its largest site goes dark for 30 s; what came back how fast is in demo/."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from blackstart_controller.errors import BlackstartError, UsageError
from blackstart_lab import api

DEMO = Path(__file__).resolve().parent
TARGET = Path.cwd() / "demo"
BLACKSTART = (sys.executable, "-c", "from blackstart_controller.cli import main; main()")
SERVERS = {"redis-server": "redis-server", "redis-sentinel": "redis-sentinel", "nats-server": "nats-server"}
MEASURED = (0, 1)  # 1: a service missed its objective, which is what the demo is there to show
STARTED_S = time.monotonic()


def say(text: str) -> None:
    sys.stderr.write(f"[{time.monotonic() - STARTED_S:5.1f} s] {text}\n")
    sys.stderr.flush()


def check_servers() -> None:
    """Every server that the lab runs is installed, or one line says what to install."""
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    missing = sorted(
        {package for program, package in SERVERS.items() if not shutil.which(program, path=path)}
    )
    if missing:
        raise UsageError(f"the demo runs real servers; missing: apt-get install -y {' '.join(missing)}")


def operate(lab: str, control: str, words: Sequence[str]) -> str:
    """What `blackstart WORDS` wrote in the controller's host."""
    done = api.run(lab, control, [*BLACKSTART, *words], timeout_s=60)
    if done.returncode:
        raise BlackstartError(
            f"blackstart {' '.join(words)} ended with {done.returncode}: {done.stderr.strip()}"
        )
    return done.stdout


def write_reports(lab: str, control: str) -> None:
    """demo/ holds the newest run's report in three forms."""
    newest = json.loads(operate(lab, control, ["run", "list", "-o", "json"]))[0]["id"]
    TARGET.mkdir(exist_ok=True)
    for form in ("html", "json", "md"):
        text = operate(lab, control, ["report", newest, "-o", form])
        (TARGET / f"report.{form}").write_text(text, encoding="utf-8")
    say(f"reports: {', '.join(str(TARGET / f'report.{form}') for form in ('html', 'json', 'md'))}")


def show() -> int:
    """Run the experiment in the lab and return its exit code; nothing of the lab is left."""
    check_servers()
    state = api.up(DEMO / "lab.yaml", progress=say)
    try:
        control = next(name for name, host in state.hosts.items() if host.controller)
        say("the largest site goes dark; watch who comes back")
        experiment = str(DEMO / "experiment.yaml")
        code = api.exec_(state.name, control, [*BLACKSTART, "run", experiment, "--wait"])
        if code in MEASURED:
            write_reports(state.name, control)
        return code
    finally:
        api.down(state.name)
        say("the lab is down")


def main() -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that `finally` runs
    try:
        code = show()
    except BlackstartError as error:
        sys.stderr.write(f"demo: {error}\n")
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    return 0 if code in MEASURED else code


if __name__ == "__main__":
    sys.exit(main())
