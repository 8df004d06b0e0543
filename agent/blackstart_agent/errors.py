"""Every error that an agent shows to a person.

The class says who must act; the text says what, which, the limit or cause, and the next step.
"""

from __future__ import annotations

from collections.abc import Sequence


class AgentError(Exception):
    """Base of all errors whose text is meant for a person."""


class ConfigError(AgentError):
    """agent.toml or policy.toml cannot be used: the host's administrator must mend it."""


class InvalidOrder(AgentError):
    """An order is malformed or newer than this agent: the controller's side must act."""


class Refused(AgentError):
    """This host will not or cannot carry out an order. `reasons` lists every one, not only the first."""

    def __init__(self, reasons: Sequence[str]) -> None:
        self.reasons = tuple(reasons)
        super().__init__("; ".join(self.reasons))


class HostError(AgentError):
    """The operating system did not do what was asked.

    Whether it half happened is unknown: revert, never retry.
    """


class Unsupported(AgentError):
    """This kernel or this host lacks what a fault needs."""
