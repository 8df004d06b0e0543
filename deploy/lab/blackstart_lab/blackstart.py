"""blackstart inside a lab: the controller's unit, the agents' units, and how the agents join."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Final

from blackstart_lab.enter import enter_command
from blackstart_lab.errors import LabError
from blackstart_lab.host import LINK_USER
from blackstart_lab.layout import AGENT_UNIT, CONTROLLER_UNIT, Layout, PlacedFile, PlacedHost, PlacedUnit
from blackstart_lab.process import Process
from blackstart_lab.ready import Progress, Watched, await_ready
from blackstart_lab.root import VOLUME
from blackstart_lab.units import OUR_PYTHON, SERVICES

STATE: Final = "/var/lib/blackstart"
AGENT_CONFIG: Final = "/etc/blackstart/agent.toml"
POLICY: Final = "/etc/blackstart/policy.toml"
API_PORT: Final = 8470
AGENTS_PORT: Final = 8471
JOIN_S: Final = 60.0

_POLICY: Final = f"""\
# A lab is there to be broken: everything is allowed.
[allow]
faults = ["*"]
modes = ["tethered", "sealed"]
max_hold_s = 600
max_faults = 64
[protect]
units = ["{AGENT_UNIT}", "{CONTROLLER_UNIT}"]
[volumes.data]
path = "/{VOLUME}"
"""


def with_blackstart(layout: Layout) -> Layout:
    """The layout with the units of the controller and of the agents; unchanged when it has no controller."""
    control = layout.controller
    for host in layout.hosts:
        taken = {unit.name for unit in host.units} & {AGENT_UNIT, CONTROLLER_UNIT}
        if taken:
            raise LabError(f"host {host.name}: unit {taken.pop()} is the lab's own; give it another name")
    if control is None:
        return replace(layout, hosts=tuple(replace(host, agent=False) for host in layout.hosts))
    return replace(layout, hosts=tuple(_equip(host) for host in layout.hosts))


def _equip(host: PlacedHost) -> PlacedHost:
    own: list[PlacedUnit] = []
    files = list(host.files)
    if host.controller:
        own.append(controller_unit(host))
    if host.agent:
        own.append(agent_unit())
        files.append(PlacedFile(POLICY, _POLICY.encode(), 0o644))
    return replace(host, units=(*own, *host.units), files=tuple(files))


def controller_unit(host: PlacedHost) -> PlacedUnit:
    """`blackstart serve`, known by the host's name and both addresses."""
    code = "import sys; from blackstart_controller.cli import main; sys.exit(main())"
    command = [*OUR_PYTHON, "-c", code, "serve", "--state", STATE]
    command += ["--listen", f"0.0.0.0:{API_PORT}", "--agents-listen", f"0.0.0.0:{AGENTS_PORT}"]
    for name in (host.name, host.address4, host.address6):
        command += ["--name", name]
    return PlacedUnit(CONTROLLER_UNIT, tuple(command), ready_tcp=AGENTS_PORT)


def agent_unit() -> PlacedUnit:
    """The agent, down until it has joined. Its finish script is what ExecStopPost= is on a real host."""
    agent = (*OUR_PYTHON, "-m", "blackstart_agent")
    options = ("--config", AGENT_CONFIG)
    return PlacedUnit(
        AGENT_UNIT, (*agent, "run", *options), finish=(*agent, "revert", "--all", *options), down=True
    )


def enrol(layout: Layout, processes: Mapping[str, Process], progress: Progress, *, rootless: bool) -> None:
    """Every agent of the lab has joined the controller, runs, and is connected."""
    control = layout.controller
    if control is None:
        return
    unit = next(unit for unit in control.units if unit.name == CONTROLLER_UNIT)
    await_ready([Watched(control, unit, processes[control.name], rootless)], lambda _: None)
    agents = [host for host in layout.hosts if host.agent]
    if not agents:
        return
    operator = _Operator(processes[control.name], rootless)
    tokens = operator.ask("tokens", [host.name for host in agents])
    _all_join(agents, control, processes, tokens, rootless=rootless)
    progress(f"{len(agents)} agents have joined")
    operator.ask("connected", [host.name for host in agents])
    progress(f"{len(agents)} agents are connected")


def _join(host: PlacedHost, control: PlacedHost, *, rootless: bool) -> list[str]:
    """Enrol with the token on standard input, which `ps` does not show; then let the agent's unit start."""
    command = [*OUR_PYTHON, "-m", "blackstart_agent", "enroll", "--token", "-", "--config", AGENT_CONFIG]
    command += ["--controller", f"{control.address4}:{API_PORT}", "--policy", POLICY]
    command += ["--name", host.name, "--site", host.site.name, "--supervisor", f"runit:{SERVICES}"]
    command += ["--link-user", "" if rootless else LINK_USER]
    for key, value in host.labels.items():
        command += ["--label", f"{key}={value}"]
    unit = f"{SERVICES}/{AGENT_UNIT}"
    return ["sh", "-c", f'"$@" && rm -f {unit}/down && sv up {unit} >/dev/null', "join", *command]


def _all_join(
    agents: Sequence[PlacedHost],
    control: PlacedHost,
    processes: Mapping[str, Process],
    tokens: Mapping[str, object],
    *,
    rootless: bool,
) -> None:
    """Side by side, because each spends its time starting Python."""
    with _killed_at_the_end() as started:
        for host in agents:
            command = _join(host, control, rootless=rootless)
            argv = enter_command(processes[host.name], command, rootless=rootless)
            pipe = subprocess.PIPE
            started[host.name] = subprocess.Popen(argv, stdin=pipe, stdout=pipe, stderr=pipe, text=True)
        deadline = time.monotonic() + JOIN_S
        for name, process in started.items():
            left_s = max(1.0, deadline - time.monotonic())
            _, words = process.communicate(str(tokens[name]), timeout=left_s)
            if process.returncode:
                raise LabError(f"host {name}: the agent could not join: {words.strip()}")


@contextmanager
def _killed_at_the_end() -> Iterator[dict[str, subprocess.Popen[str]]]:
    started: dict[str, subprocess.Popen[str]] = {}
    try:
        yield started
    except subprocess.TimeoutExpired as error:
        raise LabError(f"agents did not join within {JOIN_S:.0f} s; the machine may be too busy") from error
    finally:
        for process in started.values():
            process.kill()
            process.wait()


class _Operator:
    """Asks the controller from inside its own host, where its admin context lies."""

    def __init__(self, process: Process, rootless: bool) -> None:
        self._process = process
        self._rootless = rootless

    def ask(self, verb: str, names: Sequence[str]) -> dict[str, object]:
        command = [*OUR_PYTHON, "-m", "blackstart_lab.operator", verb, f"{STATE}/admin.json", *names]
        argv = enter_command(self._process, command, rootless=self._rootless)
        done = subprocess.run(
            argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=2 * JOIN_S
        )
        if done.returncode:
            raise LabError(f"the lab's controller: {done.stderr.strip()}")
        answer: dict[str, object] = json.loads(done.stdout)
        return answer
