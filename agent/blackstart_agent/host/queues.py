"""Queues of packets for workers (NFQUEUE): by nf_tables itself, or by iptables where that has no queues."""

from __future__ import annotations

import os
from collections.abc import Iterator

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
_CHAINS = ("INPUT", "FORWARD", "OUTPUT")


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
                programs.run(program, (*_WAIT, "-t", "mangle", "-S", "OUTPUT"), timeout_s=_TIMEOUT_S)
                self._try(program)
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
        for program, chain, rule in _rules(queue):
            if not self._there(program, chain, rule):
                programs.run(program, (*_WAIT, "-t", "mangle", "-A", chain, *rule), timeout_s=_TIMEOUT_S)

    def unlead(self, queue: int) -> None:
        for program, chain, rule in _rules(queue):
            while self._there(program, chain, rule):
                programs.run(program, (*_WAIT, "-t", "mangle", "-D", chain, *rule), timeout_s=_TIMEOUT_S)

    def led(self, queue: int) -> bool:
        return any(self._there(*one) for one in _rules(queue))

    def _there(self, program: str, chain: str, rule: tuple[str, ...]) -> bool:
        listed = programs.run(program, (*_WAIT, "-t", "mangle", "-S", chain), timeout_s=_TIMEOUT_S)
        number = rule[rule.index("--queue-num") + 1]
        return any(f"--queue-num {number} " in f"{line} " for line in listed.splitlines())

    def _try(self, program: str) -> None:
        """In a chain of its own that nothing leads to."""
        chain = "blackstart-probe"
        for words in (("-N", chain), ("-A", chain, *_rule(1)), ("-F", chain), ("-X", chain)):
            programs.run(program, (*_WAIT, "-t", "mangle", *words), timeout_s=_TIMEOUT_S)


def _rules(queue: int) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    for program in _PROGRAMS:
        for chain in _CHAINS:
            yield program, chain, _rule(queue)


def _rule(queue: int) -> tuple[str, ...]:
    mark = ("-m", "mark", "--mark", f"{queue:#x}")
    return (*mark, "-j", "NFQUEUE", "--queue-num", str(queue), "--queue-bypass")
