"""Real processes: guardian, sentry and link are killed and frozen, and a paused process goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from blackstart_proto.v1 import agent_pb2 as pb
from blackstart_proto.v1.guardian_pb2 import ToGuardian
from guardian_process import Bench, bench, state_of, wait_for

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root for a network namespace of its own"),
]


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Bench]:
    with bench(tmp_path) as made:
        yield made


@pytest.fixture
def paused(host: Bench) -> Bench:
    host.start()
    host.pause(str(uuid.uuid4()))
    return host


def cli(host: Bench, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "blackstart_agent", *arguments, "--config", str(host.config_path)],
        capture_output=True,
        text=True,
        timeout=60,
    )


def ends_clean(host: Bench) -> None:
    wait_for("the process goes on", lambda: not host.paused())
    wait_for("the journal is empty", lambda: not host.records())


def test_a_fault_begins_and_ends_on_order(paused: Bench) -> None:
    (fault,) = _open(paused)
    paused.send(ToGuardian(revert=pb.Revert(order_ids=[fault], reason="ordered")))
    assert paused.event("REVERTED").detail == "ordered"
    ends_clean(paused)


def test_it_ends_at_its_lease(host: Bench) -> None:
    host.start()
    began = time.monotonic()
    host.pause(str(uuid.uuid4()), lease_ms=500)
    ends_clean(host)
    print(f"lease 500 ms: goes on after {(time.monotonic() - began) * 1e3:.0f} ms, arming included")


def test_a_killed_guardian_leaves_nothing_paused(paused: Bench) -> None:
    sentry = paused.sentry_pids()[0]
    print(f"sentry: {_rss_kib(sentry)} KiB resident; guardian: {_rss_kib(_pid(paused))} KiB")
    paused.kill(signal.SIGKILL)
    took = wait_for("the process goes on", lambda: not paused.paused())
    print(f"guardian killed: goes on after {took * 1e3:.0f} ms")
    assert paused.guardian is not None
    paused.guardian.wait()
    wait_for("the sentry ends", lambda: state_of(sentry) in ("", "Z"))
    assert not paused.records()
    assert paused.spooled()[-2:] == [("REVERTING", "guardian died"), ("REVERTED", "guardian died")]


def test_a_record_that_its_disk_has_lost_still_ends_its_fault(paused: Bench) -> None:
    for file in paused.config.journal_dir.glob("*.json"):
        file.unlink()
    paused.kill(signal.SIGKILL)
    ends_clean(paused)


def test_a_frozen_guardian_is_killed_after_the_lease_and_leaves_nothing_paused(host: Bench) -> None:
    host.start()
    host.pause(str(uuid.uuid4()), lease_ms=1_000)
    began = time.monotonic()
    host.kill(signal.SIGSTOP)
    ends_clean(host)
    print(f"guardian frozen, lease 1000 ms: goes on after {(time.monotonic() - began) * 1e3:.0f} ms")
    assert host.guardian is not None
    assert host.guardian.wait() == -signal.SIGKILL


def test_a_frozen_guardian_without_faults_is_left_alone(host: Bench) -> None:
    pid = host.start()
    host.kill(signal.SIGSTOP)
    with pytest.raises(AssertionError):
        wait_for("it is killed", lambda: state_of(pid) in ("", "Z"), timeout_s=1.5)


def test_stopping_reverts_first_and_says_goodbye(paused: Bench) -> None:
    sentry = paused.sentry_pids()[0]
    paused.kill(signal.SIGTERM)
    assert paused.event("REVERTED").detail == "the agent stops"
    assert paused.guardian is not None
    assert paused.guardian.wait(20) == 0
    assert not paused.paused()
    assert not paused.records()
    assert state_of(sentry) in ("", "Z")


def test_a_second_signal_leaves_the_rest_to_the_sentry(paused: Bench) -> None:
    os.kill(_pid(paused), signal.SIGSTOP)
    paused.kill(signal.SIGTERM)
    paused.kill(signal.SIGINT)
    os.kill(_pid(paused), signal.SIGCONT)
    assert paused.guardian is not None
    paused.guardian.wait(20)
    ends_clean(paused)


def test_a_killed_link_ends_the_fault_after_the_grace_and_a_new_link_learns_of_it(paused: Bench) -> None:
    (link,) = paused.link_pids()
    os.kill(link, signal.SIGKILL)
    paused.connect()
    assert paused.event("REVERTED").detail == "stream lost"
    ends_clean(paused)


def test_a_new_link_is_given_every_event_that_nobody_acknowledged(paused: Bench) -> None:
    (link,) = paused.link_pids()
    os.kill(link, signal.SIGKILL)
    paused.connect()
    seqs = [paused.receive("event").event.seq for _ in range(3)]
    assert seqs == [1, 2, 3]


def test_a_frozen_link_is_replaced(paused: Bench) -> None:
    (link,) = paused.link_pids()
    os.kill(link, signal.SIGSTOP)
    wait_for("it is killed", lambda: state_of(link) in ("", "Z"))
    paused.connect()


def test_a_killed_or_frozen_sentry_is_replaced_and_the_new_one_reverts(paused: Bench) -> None:
    for number in (signal.SIGKILL, signal.SIGSTOP):
        (sentry,) = paused.sentry_pids()
        os.kill(sentry, number)

        def replaced(old: int = sentry) -> bool:
            return any(pid != old for pid in paused.sentry_pids()) and state_of(old) in ("", "Z")

        wait_for("a new sentry", replaced)
    (link,) = paused.link_pids()
    os.kill(link, signal.SIGSTOP)
    paused.kill(signal.SIGKILL)
    ends_clean(paused)


def kill_all(host: Bench) -> None:
    """Guardian and sentry die at one moment: frozen first, so that neither sees the other die."""
    (sentry,) = host.sentry_pids()
    host.kill(signal.SIGSTOP)
    os.kill(sentry, signal.SIGKILL)
    host.kill(signal.SIGKILL)
    assert host.guardian is not None
    host.guardian.wait()
    assert host.paused()


def test_what_is_left_when_all_are_killed_is_reverted_at_the_next_start(paused: Bench) -> None:
    kill_all(paused)
    paused.start()
    assert paused.event("REVERTED").detail == "found at start"
    ends_clean(paused)


def test_a_damaged_journal_is_still_reverted_at_the_next_start(paused: Bench) -> None:
    kill_all(paused)
    (record,) = paused.config.journal_dir.glob("*.json")
    data = bytearray(record.read_bytes())
    data[40] ^= 0xFF
    record.write_bytes(data)
    paused.start()
    ends_clean(paused)


def test_revert_all_works_without_any_process_of_ours(paused: Bench) -> None:
    kill_all(paused)
    assert "process.pause" in cli(paused, "status").stdout
    done = cli(paused, "revert", "--all")
    assert (done.returncode, done.stderr) == (0, "")
    assert "reverted" in done.stdout
    assert not paused.paused()
    assert cli(paused, "status").stdout == "no open faults\n"
    again = cli(paused, "revert", "--all", "--boot")
    assert (again.returncode, again.stdout) == (0, "nothing to revert\n")


def test_revert_all_asks_a_living_guardian(paused: Bench) -> None:
    done = cli(paused, "revert", "--all")
    assert (done.returncode, done.stderr) == (0, "")
    assert not paused.paused()
    assert paused.guardian is not None
    assert paused.guardian.poll() is None
    assert paused.event("REVERTED").detail == "revert --all on this host"


def test_revert_all_does_not_wait_for_a_frozen_guardian(paused: Bench) -> None:
    paused.kill(signal.SIGSTOP)
    done = cli(paused, "revert", "--all")
    assert done.returncode == 0, done.stderr
    assert not paused.paused()
    assert not paused.records()


def test_only_one_guardian_runs(host: Bench) -> None:
    host.start()
    second = cli(host, "run")
    assert second.returncode == 1
    assert "one guardian runs on a host at a time" in second.stderr


def test_doctor_says_what_works_and_the_next_step(host: Bench) -> None:
    at = ["--config", str(host.config_path)]
    done = subprocess.run(
        ["unshare", "--net", "--", sys.executable, "-m", "blackstart_agent", "doctor", *at],
        capture_output=True,
        text=True,
    )
    assert "ok  process.pause: works here" in done.stdout
    assert "NO  identity: no key.pem" in done.stdout
    assert done.returncode == 1


def _open(host: Bench) -> list[str]:
    host.send(ToGuardian(report_faults=pb.ReportFaults()))
    return [fault.order_id for fault in host.receive("open_faults").open_faults.faults]


def _pid(host: Bench) -> int:
    assert host.guardian is not None
    return host.guardian.pid


def _rss_kib(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1])
    return 0
