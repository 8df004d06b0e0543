"""The disk of the state directory becomes read-only while a fault is open, and all our processes are dead."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root for a mount namespace of its own"),
]
RECORD = """
import os, shutil, signal, subprocess, sys, uuid
from pathlib import Path
from blackstart_agent import config as agent_config
from blackstart_agent.faults.select import Selector
from blackstart_agent.faults.base import Surroundings
from blackstart_agent.faults.process import ProcessPause
from blackstart_agent.guardian import open_host
from blackstart_agent.guardian.journal import Journal, Progress, Record
from blackstart_agent.host import LinuxHost
config = agent_config.load(Path(sys.argv[1]))
agent_config.make_state(config)
host, order = LinuxHost(config.supervisor), str(uuid.uuid4())
fault = ProcessPause(Selector(executable=sys.argv[2]))
undo = fault.prepare(host, Surroundings(order, False, None)).undo
with Journal(config.journal_dir) as journal:
    assert journal.lock(open_host.owner_line("guardian"))
    journal.open(Record(order, "r", fault.kind, "tethered", host.clock.boot_id(), undo), Progress("injected"))
open_host.open_events(config).close()
fault.fire(host, undo, 0)
"""


def test_a_paused_process_goes_on_although_nothing_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "services").mkdir()
    (tmp_path / "state").mkdir()
    toml = tmp_path / "agent.toml"
    toml.write_text(
        f'name = "h"\ncontroller = "127.0.0.1:9"\nstate_dir = "{tmp_path}/state"\n'
        f'policy = "{tmp_path}/p.toml"\nsupervisor = "runit:{tmp_path}/services"\nlink_user = ""\n'
    )
    (tmp_path / "record.py").write_text(RECORD)
    script = f"""set -e
cd {tmp_path}; mount -t tmpfs tmpfs state; cp "$(command -v sleep)" bs-sleeper
./bs-sleeper 60 & pid=$!
trap 'kill -9 $pid' EXIT
{sys.executable} record.py agent.toml {tmp_path}/bs-sleeper
sed 's/.*) //' /proc/$pid/stat | cut -c1
mount -o remount,ro state
{sys.executable} -m blackstart_agent revert --all --config {toml} || echo "exit $?"
sed 's/.*) //' /proc/$pid/stat | cut -c1
ls state/guardian/journal | grep -c json
"""
    done = subprocess.run(
        ["unshare", "--mount", "--net", "sh", "-c", script], capture_output=True, text=True, timeout=60
    )
    lines = done.stdout.split("\n")
    assert lines[0] == "T" and "S" in lines[1:], (done.stdout, done.stderr)
    assert lines[-2] == "1", "the record stays, for nobody has been told"
