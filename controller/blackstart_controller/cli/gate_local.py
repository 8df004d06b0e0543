"""`python -m blackstart_controller.cli.gate_local POLICY`: a controller and agents on this very host.

They are there while standard input is open: the host `local` in the site `local`, whose faults POLICY allows,
and the host `observer` in the site `observer`, whose faults nothing allows: a target never observes. At the
end the agents revert everything and all have gone, with their files. One line of JSON on standard output says
where the controller is, or why there is none.
"""

from __future__ import annotations

import json
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path

from blackstart_controller.cli.client import Client
from blackstart_controller.cli.context import load
from blackstart_controller.cli.output import progress
from blackstart_controller.errors import BlackstartError, Unreachable, UsageError

TARGET, OBSERVER = "local", "observer"
LINK_USERS = ("blackstart", "nobody")
READY_S = 60.0
END_S = 60.0
POLL_S = 0.05
UNCONFIRMED = 5
CONTROLLER = (sys.executable, "-c", "from blackstart_controller.cli import main; main()")
AGENT = (sys.executable, "-m", "blackstart_agent")
WITH_US = ("setpriv", "--pdeathsig", "TERM")  # whatever ends this process ends them; the agent reverts first
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


class NotReverted(BlackstartError):
    exit_code = UNCONFIRMED


def main(arguments: Sequence[str]) -> int:
    """Keep controller and agent until nobody holds the other end of standard input."""
    for number in SIGNALS:  # a job's group is told to end together: the agent outlasts the run
        signal.signal(number, lambda *_: None)
    closed = threading.Event()
    threading.Thread(target=_watch, args=(closed,), daemon=True).start()
    try:
        policy = _checked(Path(arguments[0]))
        with place(policy, closed) as context:
            print(json.dumps({"context": str(context)}), flush=True)
            closed.wait()
    except NotReverted as error:
        progress(f"gate: {error}")
        return error.exit_code
    except BlackstartError as error:
        print(json.dumps({"error": str(error), "exit_code": error.exit_code}), flush=True)
        return error.exit_code
    return 0


def _checked(policy: Path) -> Path:
    if os.geteuid() != 0:
        raise UsageError("--local: faults need root; run the gate as root, or use --lab FILE")
    if not policy.is_file():
        raise UsageError(f"--local: policy {policy}: no such file; it says what may be hit on this host")
    return policy.resolve()


@contextmanager
def place(policy: Path, closed: threading.Event) -> Iterator[Path]:
    """The context file of a controller that both agents of this host have joined."""
    with ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="blackstart-gate-"))
        folder.chmod(0o711)  # the agent's network half runs as another user, and keeps its keys in here
        keep = stack.enter_context(_folder(folder))
        serve = [*WITH_US, *CONTROLLER, "serve", "--state", str(folder / "controller"), "--name", "127.0.0.1"]
        serve += ["--listen", "127.0.0.1:0", "--agents-listen", "127.0.0.1:0"]
        controller = _start(serve, folder / "controller.log")
        stack.callback(_stop, controller)
        context = folder / "controller" / "admin.json"
        _until(context.exists, controller, folder / "controller.log", closed)
        with Client(load(context)) as client:
            for name, allowed in ((TARGET, policy), (OBSERVER, folder / "nothing.toml")):
                _join(client, folder, name, allowed)
                config, log = folder / f"{name}.toml", folder / f"{name}.log"
                agent = _start([*WITH_US, *AGENT, "run", "--config", str(config)], log)
                stack.callback(_stop_agent, agent, config, keep)
                _until(lambda name=name: _connected(client, name), agent, log, closed)  # type: ignore[misc]
        progress(f"gate: a controller, a target ({TARGET}) and an observer are up on this host")
        yield context


@contextmanager
def _folder(folder: Path) -> Iterator[list[str]]:
    """The folder is removed, unless something was put on the list: then it holds what a person needs."""
    keep: list[str] = []
    try:
        yield keep
    finally:
        if not keep:
            shutil.rmtree(folder)


def _start(argv: Sequence[str], log: Path) -> subprocess.Popen[bytes]:
    with log.open("wb") as out:
        return subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out)


def _join(client: Client, folder: Path, name: str, policy: Path) -> None:
    token = str(client.post("v1", "tokens", body={"host": name, "ttl_s": READY_S})["token"])
    url = str(json.loads((folder / "controller" / "admin.json").read_text())["url"])
    argv = [*AGENT, "enroll", "--token", "-", "--controller", url.removeprefix("https://")]
    argv += ["--config", str(folder / f"{name}.toml"), "--state-dir", str(folder / name)]
    argv += ["--name", name, "--site", name, "--policy", str(policy), "--link-user", _link_user()]
    done = subprocess.run(argv, input=token, text=True, capture_output=True, timeout=READY_S, check=False)
    if done.returncode:
        raise BlackstartError(f"--local: the agent {name} could not join: {done.stderr.strip()}")


@cache
def _link_user() -> str:
    """Who the agent's network half runs as: a user that owns nothing if it can run our Python, else root."""
    for name in LINK_USERS:
        try:
            user = pwd.getpwnam(name)
        except KeyError:
            continue
        if _can_run(user):
            return name
    progress(
        f"gate: {' and '.join(LINK_USERS)} cannot read {sys.executable}: the agent's network half is root"
    )
    return ""


def _can_run(user: pwd.struct_passwd) -> bool:
    argv = [*AGENT, "--version"]
    try:
        tried = subprocess.run(
            argv,
            user=user.pw_uid,
            group=user.pw_gid,
            extra_groups=[],
            cwd="/",
            capture_output=True,
            check=False,
        )
    except OSError:  # it may not even read the interpreter
        return False
    return tried.returncode == 0


def _connected(client: Client, name: str) -> bool:
    return any(host["name"] == name and host["connected"] for host in client.get("v1", "hosts")["hosts"])


def _until(
    met: Callable[[], bool], process: subprocess.Popen[bytes], log: Path, closed: threading.Event
) -> None:
    deadline = time.monotonic() + READY_S
    while not met():
        if process.poll() is not None or time.monotonic() > deadline:
            last = log.read_text(errors="replace").strip().splitlines()[-3:]
            raise Unreachable(f"--local: {log.stem} did not come up: {' / '.join(last)}")
        if closed.wait(POLL_S):
            raise Unreachable("--local: nobody waits for the place any more")


def _stop(process: subprocess.Popen[bytes]) -> int:
    process.terminate()
    try:
        return process.wait(END_S)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


def _stop_agent(agent: subprocess.Popen[bytes], config: Path, keep: list[str]) -> None:
    """Nothing is broken on this host any more: the agent's own word, else that of `revert --all`."""
    if _stop(agent) == 0:
        return
    revert = (*AGENT, "revert", "--all", "--config", str(config))
    done = subprocess.run(revert, capture_output=True, text=True, timeout=END_S, check=False)
    if done.returncode:
        keep.append(str(config))
        raise NotReverted(
            f"--local: {done.stderr.strip() or 'the agent cannot confirm its reverts'}; "
            f"do it by hand: {' '.join(revert)}"
        )


def _watch(closed: threading.Event) -> None:
    """`closed` is set when standard input has ended."""
    with os.fdopen(os.dup(0), "rb", buffering=0) as source:
        while source.read(4096):
            pass
    closed.set()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
