"""Real Debian hosts for a test: systemd booted in containers, each in a network namespace of its own.

One tree is made by debootstrap (kept in build/, 300 MB) and is the lower half of every host's overlay. Mounts
live in the mount namespace of each container's own launcher: when it dies, nothing is left.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
TREE = REPOSITORY / "build" / "real-host" / "bookworm"
PACKAGES = "systemd,systemd-sysv,dbus,iproute2,nftables,python3,python3-venv,openssl,procps"
TOOLS = {
    "debootstrap": "debootstrap",
    "systemd-nspawn": "systemd-container",
    "ip": "iproute2",
    "nsenter": "util-linux",
}
BOOT_S = 90.0
# pip finds everything in /wheels: the hosts have no way out, and need none.
ENVIRONMENT = ("PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "PIP_NO_INDEX=1", "PIP_FIND_LINKS=/wheels")
NETWORK = "10.0.0"  # inside namespaces of our own; the addresses of docs/install.md


def why_not() -> str:
    """Why real hosts cannot be booted here; empty when they can be tried."""
    if os.geteuid() != 0:
        return "needs root"
    missing = sorted({package for tool, package in TOOLS.items() if shutil.which(tool) is None})
    return f"needs {', '.join(missing)}: apt-get install {' '.join(missing)}" if missing else ""


def command(argv: Sequence[str | Path], *, timeout_s: float = 60, check: bool = True) -> str:
    """What `argv` wrote; a failure carries everything it said."""
    done = subprocess.run(
        [str(word) for word in argv],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=timeout_s,
    )
    if check and done.returncode != 0:
        raise AssertionError(f"{shlex.join(map(str, argv))} ended with {done.returncode}:\n{done.stdout}")
    return done.stdout


def debian_tree() -> Path:
    """The shared tree; made once, whole or not at all."""
    if not TREE.exists():
        draft = TREE.with_name(f"draft-{os.getpid()}")
        draft.parent.mkdir(parents=True, exist_ok=True)
        try:
            command(
                ["debootstrap", "--variant=minbase", f"--include={PACKAGES}", "bookworm", draft],
                timeout_s=600,
            )
            shutil.rmtree(draft / "var/cache/apt/archives", ignore_errors=True)
            (draft / "etc/hostname").unlink(missing_ok=True)  # this machine's; each host gets its own
            draft.rename(TREE)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    return TREE


def wheels(folder: Path) -> Path:
    """This project's wheel and everything it needs, checked by hash, in one folder."""
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    pins = REPOSITORY / "requirements" / "controller.txt"
    only = ["--only-binary=:all:", "--python-version=3.11", "--require-hashes"]
    command([*pip, "download", *only, "--no-deps", "-r", pins, "-d", folder], timeout_s=300)
    command([*pip, "wheel", "--no-deps", "--no-build-isolation", REPOSITORY, "-w", folder], timeout_s=120)
    return folder


@dataclass
class RealHost:
    """One booted Debian. `upper` keeps its disk over a loss of power."""

    name: str
    number: int
    folder: Path
    lower: str
    prefix: str
    wheels: Path
    process: subprocess.Popen[bytes] | None = None
    leader: int = 0

    @property
    def address(self) -> str:
        return f"{NETWORK}.{self.number}"

    @property
    def netns(self) -> str:
        return f"{self.prefix}-{self.name}"

    def boot(self) -> None:
        """Power on: systemd has reached its goal. The network namespace is new, as after any power-on."""
        self._wire()
        for part in ("upper", "work", "root"):
            (self.folder / part).mkdir(parents=True, exist_ok=True)
        overlay = f"lowerdir={self.lower},upperdir={self.folder}/upper,workdir={self.folder}/work"
        script = 'mount -t overlay overlay -o "$1" "$2" && shift 2 && exec systemd-nspawn "$@"'
        argv = ["setpriv", "--pdeathsig", "KILL"]  # a test run that is killed takes its hosts along
        argv += ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh", overlay]
        argv += [
            str(self.folder / "root"),
            "-D",
            str(self.folder / "root"),
            "--boot",
            "--register=no",
            "--keep-unit",
        ]
        argv += [
            f"--network-namespace-path=/run/netns/{self.netns}",
            "--capability=CAP_NET_ADMIN",
            "-M",
            self.netns,
        ]
        argv += [
            f"--hostname={self.name}",
            "--console=pipe",
            "--link-journal=no",
            "--resolv-conf=off",
            "--timezone=off",
        ]
        argv += [f"--bind-ro={self.wheels}:/wheels"]
        log = (self.folder / "console").open("ab")
        with log:
            self.process = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        self._await_goal()

    def power_off(self) -> None:
        """As when the plug is pulled: no process of the host gets to say goodbye."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                if self.leader:
                    os.kill(self.leader, signal.SIGKILL)
            self.process.kill()
            self.process.wait(30)
            self.process, self.leader = None, 0
        command(["ip", "-n", f"{self.prefix}-sw", "link", "delete", f"v{self.number}"], check=False)
        command(["ip", "netns", "delete", self.netns], check=False)

    def _enter(self) -> list[str]:
        return ["nsenter", "-t", str(self.leader), "-a"]

    def run(self, script: str, *, timeout_s: float = 60, check: bool = True) -> str:
        """What a root shell on the host wrote."""
        argv = [*self._enter(), "env", "-i", *ENVIRONMENT]
        return command([*argv, "sh", "-euc", script], timeout_s=timeout_s, check=check)

    def write(self, path: str, text: str) -> None:
        script = 'mkdir -p "$(dirname "$1")" && cat > "$1"'
        argv = [*self._enter(), "sh", "-euc", script, "sh", path]
        subprocess.run(argv, input=text, text=True, check=True, timeout=30)

    def until(self, script: str, *, within_s: float = 30) -> float:
        """Seconds until `script` succeeded; asked again and again."""
        started_s = time.monotonic()
        while True:
            argv = [*self._enter(), "sh", "-euc", script]
            done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
            took_s = time.monotonic() - started_s
            if done.returncode == 0:
                return took_s
            if took_s > within_s:
                told = f"{done.stdout}{done.stderr}\n{self.journal()}"
                raise AssertionError(f"{self.name}: not within {within_s} s: {script}\n{told}")
            time.sleep(0.1)

    def journal(self) -> str:
        return self.run("journalctl --no-pager -n 60 -o short-monotonic", check=False)

    def _wire(self) -> None:
        switch, inside = f"{self.prefix}-sw", f"v{self.number}"
        command(["ip", "netns", "add", self.netns])
        command(
            [
                "ip",
                "-n",
                switch,
                "link",
                "add",
                inside,
                "type",
                "veth",
                "peer",
                "name",
                "eth0",
                "netns",
                self.netns,
            ]
        )
        command(["ip", "-n", switch, "link", "set", inside, "master", "br0", "up"])
        command(["ip", "-n", self.netns, "addr", "add", f"{self.address}/24", "dev", "eth0"])
        command(["ip", "-n", self.netns, "link", "set", "eth0", "up"])
        command(["ip", "-n", self.netns, "link", "set", "lo", "up"])

    def _await_goal(self) -> None:
        assert self.process is not None
        deadline_s = time.monotonic() + BOOT_S
        state = ""
        while time.monotonic() < deadline_s:
            assert self.process.poll() is None, (
                f"{self.name} died:\n{(self.folder / 'console').read_text(errors='replace')}"
            )
            children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
            self.leader = int(children[0]) if children else 0
            if self.leader:
                done = subprocess.run(
                    [*self._enter(), "systemctl", "is-system-running"],
                    capture_output=True,
                    text=True,
                )
                state = done.stdout.strip()
                if state in ("running", "degraded"):
                    return
            time.sleep(0.2)
        raise AssertionError(f"{self.name}: not up within {BOOT_S} s, but {state or 'without systemd'}")


def sweep_namespaces() -> None:
    """Names that a killed test run left behind are gone; those of one that lives are not touched."""
    for path in Path("/run/netns").glob("bsrh*-*"):
        if not Path(f"/proc/{path.name.removeprefix('bsrh').partition('-')[0]}").exists():
            command(["ip", "netns", "delete", path.name], check=False)


@dataclass
class RealSite:
    """Hosts on one switch. `close` leaves nothing: no process, namespace or mount."""

    folder: Path
    lower: str
    wheels: Path
    prefix: str = field(default_factory=lambda: f"bsrh{os.getpid()}")
    hosts: list[RealHost] = field(default_factory=list)

    def add(self, name: str) -> RealHost:
        host = RealHost(name, len(self.hosts) + 1, self.folder / name, self.lower, self.prefix, self.wheels)
        self.hosts.append(host)
        host.boot()
        return host

    def open(self) -> None:
        sweep_namespaces()
        switch = f"{self.prefix}-sw"
        command(["ip", "netns", "add", switch])
        command(["ip", "-n", switch, "link", "add", "br0", "type", "bridge"])
        command(["ip", "-n", switch, "link", "set", "br0", "up"])

    def close(self) -> None:
        for host in self.hosts:
            host.power_off()
        command(["ip", "netns", "delete", f"{self.prefix}-sw"], check=False)


@contextlib.contextmanager
def real_site(folder: Path, lower: str, wheels: Path) -> Iterator[RealSite]:
    site = RealSite(folder, lower, wheels)
    try:
        site.open()
        yield site
    finally:
        site.close()
