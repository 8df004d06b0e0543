"""A host and a clock in memory, for tests of everything above `host/`: a file for each door of `host/ports`.

FakeHost keeps the promises of the ports that faults rely on. Two of them are equal when they look the same
from outside: that is how a test sees that a fault has left no trace.
"""

from __future__ import annotations

from blackstart_agent.testing.clock import FakeClock
from blackstart_agent.testing.host import FakeHost
from blackstart_agent.testing.network import FakeNetwork
from blackstart_agent.testing.nft import FakeNft
from blackstart_agent.testing.processes import FakeProcesses
from blackstart_agent.testing.units import FakeUnits

__all__ = ["FakeClock", "FakeHost", "FakeNetwork", "FakeNft", "FakeProcesses", "FakeUnits"]
