"""The link's process: `python -m blackstart_agent.link --fd N --config FILE`, started by the guardian."""

from __future__ import annotations

import argparse
import asyncio
import logging
import resource
import signal
import socket
from collections.abc import Callable, Sequence
from pathlib import Path

from blackstart_proto.v1 import agent_pb2

import blackstart_agent
from blackstart_agent import config as agent_config
from blackstart_agent.config import AgentConfig
from blackstart_agent.errors import AgentError
from blackstart_agent.link import keystore
from blackstart_agent.link.addresses import own_addresses
from blackstart_agent.link.dial import secure_dial
from blackstart_agent.link.guardian_port import SocketPort
from blackstart_agent.link.renewal import FileRenewal
from blackstart_agent.link.samples import SPOOL_BYTES, SampleOutbox
from blackstart_agent.link.stream import HostFacts, Prober, StreamClient
from blackstart_agent.probes.base import PROBE_KINDS
from blackstart_agent.spool import Spool

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class LazyProber:
    """The sampler, made when the first probe starts. It knows the policy's commands of that moment."""

    def __init__(self, policy: Path) -> None:
        self._policy = policy
        self._sampler: Prober | None = None

    def start(
        self,
        run_id: str,
        probes: Sequence[agent_pb2.Probe],
        deliver: Callable[[str, list[agent_pb2.Sample]], None],
    ) -> None:
        if self._sampler is None:
            self._sampler = self._load()
        self._sampler.start(run_id, probes, deliver)

    def stop(self, run_id: str) -> None:
        if self._sampler is not None:
            self._sampler.stop(run_id)

    def close(self) -> None:
        if self._sampler is not None:
            self._sampler.close()

    def _load(self) -> Prober:
        from blackstart_agent import policy
        from blackstart_agent.probes import Sampler, Surroundings

        return Sampler(Surroundings(commands=policy.load(self._policy).commands))


def main(argv: Sequence[str] | None = None) -> int:
    """Run until the guardian is gone."""
    parser = argparse.ArgumentParser(prog="blackstart_agent.link", description=__doc__)
    parser.add_argument("--fd", type=int, required=True, help="the socketpair to the guardian")
    parser.add_argument("--config", type=Path, required=True, help="agent.toml")
    options = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="blackstart-link: %(levelname)s: %(message)s")
    signal.signal(
        signal.SIGINT, signal.SIG_IGN
    )  # Ctrl-C on a terminal is for the guardian, which reverts first
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core dump would hold the key
    guardian = socket.socket(fileno=options.fd)
    try:
        asyncio.run(run(agent_config.load(options.config), guardian))
    except AgentError as error:
        logging.getLogger(__name__).error("%s", error)
        return 1
    return 0


async def run(settings: AgentConfig, guardian: socket.socket) -> None:
    host, port = settings.controller
    boot_id = BOOT_ID.read_text().strip()  # noqa: ASYNC240 - /proc does not block
    spool = Spool(settings.samples_dir, max_bytes=SPOOL_BYTES, drop_oldest=True)
    facts = HostFacts(
        name=settings.name,
        version=blackstart_agent.__version__,
        site=settings.site,
        labels=settings.labels,
        probe_kinds=PROBE_KINDS,
        addresses=own_addresses,
    )
    client = StreamClient(
        facts,
        secure_dial(
            f"[{host}]:{port}" if ":" in host else f"{host}:{port}", lambda: keystore.load(settings.link_dir)
        ),
        SocketPort(guardian),
        samples=SampleOutbox(spool, boot_id),
        prober=LazyProber(settings.policy),
        renewal=FileRenewal(settings.link_dir, settings.name),
    )
    await client.run()
