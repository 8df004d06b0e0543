"""A whole gate: the documents are read, a controller is found or made, everything is run and written down."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from blackstart_controller.cli.client import Client
from blackstart_controller.cli.context import find
from blackstart_controller.cli.documents import found
from blackstart_controller.cli.gate_place import kept
from blackstart_controller.cli.gate_run import Stage, Wishes
from blackstart_controller.cli.gate_write import Outputs
from blackstart_controller.cli.interrupts import Interrupts
from blackstart_controller.cli.output import progress
from blackstart_controller.errors import BlackstartError, InvalidDocument, UsageError
from blackstart_controller.gate.model import INVALID, Attempt, Gate, Gated
from blackstart_controller.spec.document import Document
from blackstart_controller.spec.load import load_experiment


@dataclass(frozen=True, slots=True)
class Place:
    """Where the stage runs. `keeper` is the module and its words that make a place; empty: a controller's."""

    context: Path | None
    keeper: tuple[str, ...] = ()

    @classmethod
    def chosen(cls, lab: Path | None, *, local: bool, policy: Path | None, context: Path | None) -> Place:
        """From the command line; UsageError for what does not go together."""
        if lab and local:
            raise UsageError("gate: --lab and --local are two places; give one")
        if local != bool(policy):
            raise UsageError(
                "gate: --local and --policy go together: the policy says what may be hit on this very host"
            )
        if lab:
            return cls(context, ("blackstart_lab.keep", str(lab)))
        if policy:
            return cls(context, ("blackstart_controller.cli.gate_local", str(policy)))
        return cls(context)

    @contextmanager
    def client(self, interrupts: Interrupts) -> Iterator[Client]:
        if self.keeper:
            with kept(self.keeper, interrupts) as client:
                yield client
        else:
            with Client(find(self.context)) as client:
                yield client


def stage(
    files: Sequence[str],
    parameters: Mapping[str, str],
    place: Place,
    wishes: Wishes,
    outputs: Outputs,
    *,
    fail_on_regression: bool,
) -> int:
    """The exit code; every report is written, whatever happens in between."""
    outputs.check()
    gate = Gate(tuple(_read(name, parameters) for name in files), fail_on_regression)
    with Interrupts() as interrupts:
        if gate.exit_code != INVALID:
            gate = _walked(gate, place, wishes, interrupts)
        gate = outputs.write(gate)
    return gate.exit_code


def _read(name: str, parameters: Mapping[str, str]) -> Gated:
    """The file as it is before anything is run; an invalid one has failed already."""
    document = Document("", name, parameters)
    try:
        document = found(name, parameters)
        return Gated(document, load_experiment(document).name)
    except InvalidDocument as error:
        progress(str(error))
        return Gated(document, name, (Attempt(1, INVALID, reason=str(error)),))


def _walked(gate: Gate, place: Place, wishes: Wishes, interrupts: Interrupts) -> Gate:
    """The gate after every file was run. What keeps it from that, before or after, is its trouble."""
    try:
        with place.client(interrupts) as client:
            gate = replace(gate, files=Stage(client, interrupts, wishes).walk(gate.files))
    except BlackstartError as error:
        progress(f"gate: {error}")
        gate = replace(gate, trouble=str(error), trouble_code=error.exit_code)
    return gate
