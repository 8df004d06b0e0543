"""From each host's clock to the controller's. Each estimate of a run is kept; the smallest error counts."""

from __future__ import annotations

from blackstart_controller.measure.model import Mapping
from blackstart_controller.measure.timeline import mapping_at
from blackstart_controller.runs.ports import ClockEstimate


class Timelines:
    """Only estimates of the controller's present boot belong in here."""

    def __init__(self) -> None:
        self._estimates: dict[str, list[ClockEstimate]] = {}
        self._passing: set[str] = set()  # hosts whose last estimate the next idle one replaces

    def add(self, estimate: ClockEstimate, *, in_run: bool = True) -> None:
        """Keep an estimate; of those that were made while no run needed the host, one between two runs."""
        known = self._estimates.setdefault(estimate.host, [])
        if in_run:
            self._passing.discard(estimate.host)
        elif estimate.host in self._passing:
            known.pop()
        else:
            self._passing.add(estimate.host)
        known.append(estimate)

    def mapping(self, host: str, boot_id: str, host_ns: int) -> Mapping | None:
        """How to read `host_ns`; None when this host was never measured in that boot."""
        return mapping_at(self._estimates.get(host, ()), boot_id, host_ns)
