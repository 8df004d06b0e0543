"""A lab of a user without any privilege, in a user namespace."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.lab

NOBODY = 65534
LAB = """
lab: rootless
sites: {pangyo: {}, busan: {}}
hosts:
  a:
    site: pangyo
    units:
      redis:
        command: [sh, /etc/new/start]
        ready: {tcp: 6379}
        files: {/etc/new/start: 'exec python3 -m http.server 6379 --bind {{ host.address }}'}
  b: {site: busan}
"""
SCRIPT = """
import json, sys
from blackstart_lab import api
from blackstart_lab.errors import CannotRun
try:
    state = api.up(sys.argv[1])
except CannotRun as error:
    sys.exit(f"CANNOT {error}")
try:
    a = state.hosts["a"].address4
    pings = [["ping", family, "-c", "1", "-W", "2", "a"] for family in ("-4", "-6")]
    ping = [api.run(None, "b", command).returncode for command in pings]
    get = ["python3", "-c", f"import urllib.request as u; print(u.urlopen('http://{a}:6379/').status)"]
    chain = "chain i { type filter hook ingress device eth0 priority 0; policy drop; }"
    cut = ["nft", f"add table netdev t {{ {chain}; }}"]
    got = api.run(None, "b", get).stdout
    nft = api.run(None, "a", cut).stderr
    code = api.exec_(None, "a", ["sh", "-c", "exit 9"])
    dark = api.run(None, "b", ["ping", "-c", "1", "-W", "1", "a"]).returncode
    user = api.run(None, "b", ["id", "-u"]).stdout
finally:
    down = api.down()
seen = dict(ping=ping, got=got, nft=nft, code=code, dark=dark, user=user, down=down, left=api.running())
print(json.dumps(seen))
"""


@pytest.fixture
def directory() -> Iterator[Path]:
    """A place that another user can read: pytest's own are private to root."""
    path = Path(f"/tmp/blackstart-rootless-{os.getpid()}")
    path.mkdir(mode=0o755)
    yield path
    shutil.rmtree(path)


def as_nobody() -> list[str]:
    """A command that drops every privilege; a reason to skip when nobody could not even run our code."""
    drop = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--inh-caps=-all"]
    if os.getuid():
        drop = []
    for python in (sys.executable, "/usr/bin/python3"):
        done = subprocess.run(
            [*drop, "env", "-i", *environment(), python, "-c", "import blackstart_lab.api"],
            capture_output=True,
        )
        if done.returncode == 0:
            return [*drop, "env", "-i", *environment(), python]
    return pytest.skip(f"another user cannot run this Python and its packages: {done.stderr.decode()[-300:]}")


def environment() -> list[str]:
    modules = [entry for entry in sys.path if "lib/python3" not in entry or "site-packages" in entry]
    return [f"PYTHONPATH={':'.join(modules)}", "PATH=/usr/sbin:/usr/bin:/sbin:/bin"]


def test_without_root_a_lab_works_in_a_user_namespace(directory: Path) -> None:
    (directory / "lab.yaml").write_text(LAB)
    command = [*as_nobody(), "-c", SCRIPT, str(directory / "lab.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=90)
    if "CANNOT" in done.stderr:
        pytest.skip(done.stderr)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "ping": [0, 0],
        "got": "200\n",
        "nft": "",
        "code": 9,
        "dark": 1,
        "user": "0\n",
        "down": True,
        "left": [],
    }
    assert not Path(f"/tmp/blackstart-lab-{NOBODY}").exists()


def test_a_unit_that_needs_another_user_is_told_that_it_needs_root(directory: Path) -> None:
    (directory / "lab.yaml").write_text(
        "{lab: rootless, sites: {s: {}},"
        " hosts: {h: {site: s, units: {u: {command: ['true'], user: daemon}}}}}"
    )
    command = [*as_nobody(), "-c", SCRIPT, str(directory / "lab.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=90)
    if "CANNOT" in done.stderr:
        pytest.skip(done.stderr)
    assert "host h: unit u: user daemon needs root; without root a lab knows one user only" in done.stderr
