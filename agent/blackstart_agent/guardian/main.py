"""The guardian's process: one loop that never waits for anything but events, its children, and its end."""

from __future__ import annotations

import logging
import os
import selectors
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from blackstart_proto.v1 import agent_pb2 as pb
from blackstart_proto.v1 import guardian_pb2

from blackstart_agent import config as agent_config
from blackstart_agent import policy as agent_policy
from blackstart_agent.config import AgentConfig
from blackstart_agent.errors import AgentError
from blackstart_agent.faults import FAULTS, capabilities, sweep
from blackstart_agent.faults.decode import decode
from blackstart_agent.guardian import hardening, open_host, sentry
from blackstart_agent.guardian.child import Child
from blackstart_agent.guardian.chronicle import Chronicle
from blackstart_agent.guardian.engine import Engine
from blackstart_agent.guardian.events import EventLog
from blackstart_agent.guardian.firing import Firing
from blackstart_agent.guardian.journal import Journal
from blackstart_agent.guardian.notify import Notifier
from blackstart_agent.guardian.recovery import tables_of
from blackstart_agent.guardian.signals import Signals
from blackstart_agent.guardian.steps import Steps, problem_of
from blackstart_agent.guardian.surroundings import Around, own_units
from blackstart_agent.guardian.wire import Wire
from blackstart_agent.guardian.workers import ThreadWorker
from blackstart_agent.host import LinuxHost

log = logging.getLogger("blackstart-guardian")

LINK_PROGRAM = (sys.executable, "-m", "blackstart_agent.link")
S = 1_000_000_000
BEAT_NS = S
LOCK_TIMEOUT_S = 10.0
LINK_FROZEN_NS = 5 * S
SENTRY_FROZEN_NS = S
FAREWELL_NS = S  # how long a stopping guardian waits for its last events to be acknowledged
LINK_END_S = 2.0
BUG_STATUS = 70


class Guardian:
    """Everything that one guardian has open. `run` returns its exit status."""

    def __init__(self, config: AgentConfig, journal: Journal, link: Child) -> None:
        self._config = config
        self._journal = journal
        self._host = LinuxHost(config.supervisor)
        self._notifier = Notifier()
        self._selector = selectors.DefaultSelector()
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._signals = Signals()
        self._sentry = _sentry_child(config)
        self._link = link
        self._wire: Wire | None = None
        self._spool = open_host.open_events(config)
        self._log = EventLog(self._spool)
        self._firing = Firing()
        self._engine = self._make_engine()
        self._written = False
        self._beat_ns = self._alive_ns = self._stop_ns = 0
        self._said_deadline_ns = -1

    def run(self) -> int:
        """0 after an orderly end with nothing left; 1 when a second signal cut that short."""
        self._selector.register(self._wake, selectors.EVENT_READ, self._woken)
        self._selector.register(self._signals.socket, selectors.EVENT_READ, self._signalled)
        self._start_sentry()
        self._firing.start()
        self._revert_what_is_left()
        self._start_link()
        self._notifier.ready()
        while not self._finished():
            for key, _ in self._selector.select(self._timeout_s()):
                key.data()
            self._turn()
            if self._signals.stops > 1:
                return 1  # without a farewell: the sentry sees to what is left
        self._farewell()
        return 0

    # ---- one turn of the loop ----

    def _turn(self) -> None:
        self._beat(time.monotonic_ns())  # before anything is fired: the sentry must know its deadline
        self._engine.run_posted()
        self._engine.tick()
        now = time.monotonic_ns()
        for child, start in ((self._sentry, self._start_sentry), (self._link, self._start_link)):
            child.check_frozen(now)
            if child.restart_ns and child.restart_ns <= now:
                start()
        self._serve_link()
        self._beat(now)
        if self._notifier.watchdog_s and now - self._alive_ns >= self._notifier.watchdog_s * S:
            self._alive_ns = now
            self._notifier.alive()

    def _timeout_s(self) -> float:
        now = time.monotonic_ns()
        due = [now + BEAT_NS, self._engine.due_ns(), self._sentry.due_ns(now), self._link.due_ns(now)]
        if self._notifier.watchdog_s:
            due.append(self._alive_ns + int(self._notifier.watchdog_s * S))
        return max(0.0, min(each for each in due if each is not None) - now) / S

    def _beat(self, now: int) -> None:
        """The sentry learns each new deadline at once, and once a second that we are alive."""
        deadline = self._engine.deadline_ns()
        if self._sentry.socket is None:
            return
        if deadline == self._said_deadline_ns and now - self._beat_ns < BEAT_NS:
            return
        self._beat_ns, self._said_deadline_ns = now, deadline
        problem_of(lambda: self._tell_sentry(sentry.BEAT.pack(now, deadline, self._link.pid)))

    def _tell_sentry(self, packet: bytes) -> None:
        if self._sentry.socket is not None:
            self._sentry.socket.send(packet)

    def _finished(self) -> bool:
        if not self._stop_ns or not self._engine.clean:
            return False
        waited = time.monotonic_ns() - self._stop_ns > FAREWELL_NS
        told = self._wire is None or not self._log.pending(0, 1)
        return waited or (self._engine.idle and told)

    # ---- what may happen ----

    def _woken(self) -> None:
        os.eventfd_read(self._wake)

    def _signalled(self) -> None:
        for number in self._signals.read():
            if number == signal.SIGUSR1:
                self._engine.revert_all("revert --all on this host")
            elif number in (signal.SIGTERM, signal.SIGINT) and not self._stop_ns:
                log.info("stopping: every open fault is reverted first")
                self._stop_ns = time.monotonic_ns()
                self._notifier.stopping()
                self._engine.stop("the agent stops")

    def _serve_link(self) -> None:
        wire = self._wire
        if wire is None:
            return
        if self._written:
            self._written = False
            wire.send_events()
        if wire.closed:
            self._link.kill()
            self._drop_wire()
            return
        wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if wire.wants_to_write else 0)
        if self._selector.get_key(wire.socket).events != wanted:
            self._selector.modify(wire.socket, wanted, self._link_ready)

    def _link_ready(self) -> None:
        if self._wire is None:
            return
        self._wire.flush()
        self._wire.send_events()
        for message in self._wire.receive():
            self._obey(message)

    def _obey(self, message: guardian_pb2.ToGuardian) -> None:
        match message.WhichOneof("body"):
            case "stream":
                self._engine.stream(connected=message.stream.connected)
            case "resolve":
                self._engine.resolve(message.resolve.request, message.resolve.order)
            case "arm":
                self._engine.arm(message.arm.request, message.arm.order)
            case "inject":
                self._engine.inject(message.inject.order_ids, message.inject.at_mono_ns)
            case "renew":
                self._engine.renew(message.renew.order_ids, message.renew.lease_ms)
            case "revert":
                self._engine.revert(message.revert.order_ids, message.revert.reason)
            case "revert_all":
                self._engine.revert_all(message.revert_all.reason)
            case "ack":
                self._engine.chronicle.ack(message.ack.spool, message.ack.seq)
            case "report_faults":
                self._send(guardian_pb2.FromGuardian(open_faults=self._engine.open_faults()))

    def _send(self, message: guardian_pb2.FromGuardian) -> None:
        if self._wire is not None:
            self._wire.send(message)

    def _answer(self, answer: pb.Answer) -> None:
        if self._wire is not None:
            self._wire.answer(answer)

    # ---- children ----

    def _start_sentry(self) -> None:
        self._start(self._sentry, self._sentry_ended)
        self._said_deadline_ns = -1

    def _start_link(self) -> None:
        if self._stop_ns or not self._start(self._link, self._link_ended):
            return
        assert self._link.socket is not None
        hardening.set_oom_score(self._link.pid, hardening.LINK_OOM)
        self._wire = Wire(self._link.socket, self._log.pending)
        self._selector.register(self._wire.socket, selectors.EVENT_READ, self._link_ready)
        self._wire.send(guardian_pb2.FromGuardian(about=self._about()))
        self._wire.send_events()

    def _start(self, child: Child, ended: Callable[[], None]) -> bool:
        now = time.monotonic_ns()
        try:
            child.start(now)
        except OSError as error:
            log.warning("%s cannot be started: %s", child.name, error)
            child.forget(now)
            return False
        self._selector.register(child.pidfd, selectors.EVENT_READ, ended)
        return True

    def _sentry_ended(self) -> None:
        self._ended(self._sentry)

    def _link_ended(self) -> None:
        self._drop_wire()
        self._ended(self._link)

    def _ended(self, child: Child) -> None:
        self._selector.unregister(child.pidfd)
        log.warning("%s (pid %d) has ended; it is started again", child.name, child.pid)
        child.forget(time.monotonic_ns())

    def _drop_wire(self) -> None:
        if self._wire is not None:
            self._selector.unregister(self._wire.socket)
            self._wire.closed = True
            self._wire = None
            self._engine.stream(connected=False)

    # ---- start and end ----

    def _revert_what_is_left(self) -> None:
        contents = self._journal.load(quarantine=True)
        for name in contents.quarantined:
            log.error("journal %s cannot be read and was set aside; our tables are swept", name)
        boot_id = self._host.clock.boot_id()
        for entry in contents.entries:
            same_boot = entry.record.boot_id == boot_id
            self._engine.adopt(entry, "found at start" if same_boot else "found at boot: ended by the reboot")
        known = tables_of(contents.entries)
        stayed: list[str] = []
        problem = problem_of(lambda: stayed.extend(sweep(self._host, known)))
        for each in stayed:
            log.error("%s", each)
        if problem:
            log.warning("tables cannot be swept: %s", problem)

    def _farewell(self) -> None:
        self._drop_wire()
        self._link.end(LINK_END_S)
        problem_of(lambda: self._tell_sentry(sentry.GO))
        self._sentry.end(LINK_END_S)
        self._firing.close()
        self._spool.close()

    def _about(self) -> guardian_pb2.About:
        kinds, unsupported = capabilities(self._host)
        return guardian_pb2.About(
            boot_id=self._host.clock.boot_id(),
            fault_kinds=kinds,
            unsupported=unsupported,
            policy_digest=agent_policy.load(self._config.policy).digest,
            open=self._engine.open_faults(),
        )

    def _make_engine(self) -> Engine:
        around = Around(self._config, own_units(), lambda: (self._link.pid, self._sentry.pid))
        steps = Steps(
            self._host, FAULTS, decode, lambda: agent_policy.load(self._config.policy), around, self._journal
        )
        disk = ThreadWorker("disk")
        chronicle = Chronicle(self._log, self._journal, self._host.clock, disk, self._on_written)
        return Engine(
            host_name=self._config.name,
            steps=steps,
            chronicle=chronicle,
            schedule=self._firing,
            open_worker=ThreadWorker,
            answer=self._answer,
            wake=self._wake_up,
            grace_ms=self._config.stream_grace_ms,
        )

    def _on_written(self) -> None:
        self._written = True
        self._wake_up()

    def _wake_up(self) -> None:
        os.eventfd_write(self._wake, 1)


def run(config_path: Path, link_program: Sequence[str] = LINK_PROGRAM) -> int:
    """Guards this host until a signal says to stop. AgentError when it cannot begin."""
    logging.basicConfig(level=logging.INFO, format="blackstart-guardian: %(levelname)s: %(message)s")
    config = agent_config.load(config_path)
    threading.excepthook = _die
    for missing in hardening.harden():
        log.warning("%s", missing)
    agent_config.make_state(config)
    with Journal(config.journal_dir, config.mirror_dir) as journal:
        if not journal.lock(open_host.owner_line("guardian"), LOCK_TIMEOUT_S):
            raise AgentError(
                f"{config.journal_dir}/lock is held by {journal.owner() or 'another process'}; "
                "one guardian runs on a host at a time"
            )
        return Guardian(config, journal, _link_child(config, link_program)).run()


def _die(what: threading.ExceptHookArgs) -> None:
    """A thread that a bug ended leaves an unknown state: the guardian ends, the sentry reverts everything."""
    log.critical("thread ended by a bug", exc_info=what.exc_value)
    os._exit(BUG_STATUS)


def _sentry_child(config: AgentConfig) -> Child:
    program = [sys.executable, "-m", "blackstart_agent.guardian.sentry"]
    return Child(
        "sentry",
        lambda fd: [*program, "--guardian", str(os.getpid()), "--fd", str(fd), "--config", str(config.path)],
        SENTRY_FROZEN_NS,
        new_session=True,
    )


def _link_child(config: AgentConfig, program: Sequence[str]) -> Child:
    ids = agent_config.user_ids(config.link_user)
    identity = {} if ids is None else {"user": ids[0], "group": ids[1], "extra_groups": ids[2]}
    return Child(
        "link",
        lambda fd: [*program, "--fd", str(fd), "--config", str(config.path)],
        LINK_FROZEN_NS,
        identity=identity,
    )
