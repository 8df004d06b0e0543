"""Looking at services from outside: an open-loop sampler, and one small file per kind of probe.

A new kind is a file with a class that has `look`, a line in `KINDS` here, and a field in the contract's
`Probe`.
"""

from __future__ import annotations

from blackstart_agent.probes.base import PROBE_KINDS as PROBE_KINDS
from blackstart_agent.probes.base import Look, Surroundings, build
from blackstart_agent.probes.sampler import Sampler

__all__ = ["PROBE_KINDS", "Look", "Sampler", "Surroundings", "build"]
