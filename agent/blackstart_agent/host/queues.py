"""Queues of packets for workers (NFQUEUE): by nf_tables itself, or by iptables where that has no queues."""

from __future__ import annotations

import os

from blackstart_agent.errors import HostError, Unsupported
from blackstart_agent.host import programs
from blackstart_agent.host.ports import Nft

_PROBE = """create table inet {name} {{
}}
table inet {name} {{
chain one {{
queue num 1 bypass
}}
}}
delete table inet {name}"""
_TIMEOUT_S = 10.0
_WAIT = ("-w", "5")  # for another iptables that is at work
_PROGRAMS = ("iptables-legacy", "ip6tables-legacy")
_PLACES = tuple((program, chain) for program in _PROGRAMS for chain in ("INPUT", "FORWARD", "OUTPUT"))
_PROBE_CHAIN = "blackstart-probe"


class LinuxQueues:
    def __init__(self, nft: Nft) -> None:
        self._nft = nft
        self._by_mark: bool | None = None  # a kernel does not change
        self._tried = False

    def check(self) -> None:
        if self._tried or not self.by_mark():
            return
        try:
            for program in _PROGRAMS:
                _try(program)
        except (HostError, Unsupported) as error:
            raise Unsupported(
                f"packets cannot be queued: this kernel's nf_tables has no queue, and iptables: {error}"
            ) from error
        self._tried = True

    def by_mark(self) -> bool:
        if self._by_mark is None:
            self._by_mark = not self._takes_queues()
        return self._by_mark

    def _takes_queues(self) -> bool:
        try:
            self._nft.run(_PROBE.format(name=f"blackstart_probe_queue_{os.getpid()}"))
        except HostError:
            return False
        return True

    def lead(self, queue: int) -> None:
        for program, chain in _PLACES:
            if not _there(program, chain, queue):
                _run(program, "-A", chain, *_rule(queue))

    def unlead(self, queue: int) -> None:
        for program, chain in _PLACES:
            while _there(program, chain, queue):
                _run(program, "-D", chain, *_rule(queue))

    def led(self, queue: int) -> bool:
        return any(_there(program, chain, queue) for program, chain in _PLACES)

    def manual(self, queue: int) -> tuple[str, ...]:
        rule = " ".join(_rule(queue))
        return tuple(f"{program} -t mangle -D {chain} {rule}" for program, chain in _PLACES)


def _try(program: str) -> None:
    """In a chain of its own that nothing leads to; one that a killed agent left behind is used, and goes."""
    if f"-N {_PROBE_CHAIN}" not in _run(program, "-S").splitlines():
        _run(program, "-N", _PROBE_CHAIN)
    try:
        _run(program, "-A", _PROBE_CHAIN, *_rule(1))
    finally:
        _run(program, "-F", _PROBE_CHAIN)
        _run(program, "-X", _PROBE_CHAIN)


def _there(program: str, chain: str, queue: int) -> bool:
    return any(f"--queue-num {queue} " in f"{line} " for line in _run(program, "-S", chain).splitlines())


def _rule(queue: int) -> tuple[str, ...]:
    mark = ("-m", "mark", "--mark", f"{queue:#x}")
    return (*mark, "-j", "NFQUEUE", "--queue-num", str(queue), "--queue-bypass")


def _run(program: str, *words: str) -> str:
    return programs.run(program, (*_WAIT, "-t", "mangle", *words), timeout_s=_TIMEOUT_S)
