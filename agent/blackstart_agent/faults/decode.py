"""From the contract's order to a fault. What this agent does not know is refused by name, never guessed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TypeVar

from blackstart_proto.v1 import faults_pb2 as pb
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.unknown_fields import UnknownFieldSet

from blackstart_agent import __version__
from blackstart_agent.errors import InvalidOrder
from blackstart_agent.faults.base import Fault
from blackstart_agent.faults.blackout import HostBlackout
from blackstart_agent.faults.network import Direction, NetworkPartition, Verdict
from blackstart_agent.faults.process import ProcessKill, ProcessPause
from blackstart_agent.faults.select import Selector
from blackstart_agent.faults.unit import UnitStop

_T = TypeVar("_T")
_UPGRADE = f"not known to this agent {__version__}; upgrade the agent"
_SPECS: dict[str, str] = {
    field.name.replace("_", ".", 1): field.name for field in pb.Fault.DESCRIPTOR.oneofs_by_name["spec"].fields
}  # "network.partition" -> "network_partition"


def decode(order: pb.Order) -> Fault:
    """The fault that `order` asks for. Raises InvalidOrder, naming the first thing that cannot be read."""
    kind = order.fault.kind
    if kind not in _SPECS:
        raise InvalidOrder(f'fault "{kind}": {_UPGRADE}; it knows {", ".join(sorted(_SPECS))}')
    for name in order.requires:
        if name not in KNOWN_NAMES:
            raise InvalidOrder(f"{name}: {_UPGRADE}")
    for where in _unknown_fields(order, "order"):
        raise InvalidOrder(f"{where}: {_UPGRADE}")
    given = order.fault.WhichOneof("spec")
    if given != _SPECS[kind]:
        raise InvalidOrder(
            f"{kind}: the order's parameters are for {given or 'nothing'}; {_SPECS[kind]} must be set"
        )
    return _DECODERS[kind](order.fault)


def known_names() -> frozenset[str]:
    """Every dotted name that `Order.requires` may hold here: `<kind>.<field>` and `order.<field>`."""
    specs = {
        name
        for kind, spec in _SPECS.items()
        for name in _paths(_message_type(pb.Fault.DESCRIPTOR.fields_by_name[spec]), kind)
    }
    return frozenset(specs | {f"order.{field.name}" for field in pb.Order.DESCRIPTOR.fields} | set(_SPECS))


def _paths(descriptor: Descriptor, prefix: str) -> Iterator[str]:
    for field in descriptor.fields:
        yield f"{prefix}.{field.name}"
        if field.type == FieldDescriptor.TYPE_MESSAGE:
            yield from _paths(_message_type(field), f"{prefix}.{field.name}")


def _message_type(field: FieldDescriptor) -> Descriptor:
    assert field.message_type is not None
    return field.message_type


def _unknown_fields(message: Message, where: str) -> Iterator[str]:
    """Where in `message`, at any depth, a newer sender has set a field that this agent has no name for."""
    unknown = UnknownFieldSet(message)
    for index in range(len(unknown)):
        yield f"{where}: field number {unknown[index].field_number}"
    for field, value in message.ListFields():
        if field.type == FieldDescriptor.TYPE_MESSAGE:
            for one in [value] if isinstance(value, Message) else value:
                yield from _unknown_fields(one, f"{where}.{field.name}")


def _partition(fault: pb.Fault) -> Fault:
    spec = fault.network_partition
    return NetworkPartition(
        peers=tuple(spec.peers),
        ports=tuple(spec.ports),
        direction=_choice("network.partition: direction", spec.direction, _DIRECTIONS),
        verdict=_choice("network.partition: verdict", spec.verdict, _VERDICTS),
    )


def _blackout(fault: pb.Fault) -> Fault:
    return HostBlackout(_choice("host.blackout: units_are", fault.host_blackout.units_are, _FROZEN))


def _selector(spec: pb.ProcessSelector) -> Selector:
    return Selector(unit=spec.unit, executable=spec.executable, name=spec.name)


def _choice(what: str, number: int, choices: Mapping[int, _T]) -> _T:
    if number not in choices:
        raise InvalidOrder(f"{what} {number}: {_UPGRADE}")
    return choices[number]


_DIRECTIONS: Mapping[int, Direction] = {
    pb.DIRECTION_UNSPECIFIED: Direction.BOTH,
    pb.DIRECTION_BOTH: Direction.BOTH,
    pb.DIRECTION_IN: Direction.IN,
    pb.DIRECTION_OUT: Direction.OUT,
}
_VERDICTS: Mapping[int, Verdict] = {
    pb.VERDICT_UNSPECIFIED: Verdict.DROP,
    pb.VERDICT_DROP: Verdict.DROP,
    pb.VERDICT_REJECT: Verdict.REJECT,
}
_FROZEN: Mapping[int, bool] = {
    pb.UNITS_ARE_UNSPECIFIED: False,
    pb.UNITS_ARE_KILLED: False,
    pb.UNITS_ARE_FROZEN: True,
}
_DECODERS: Mapping[str, Callable[[pb.Fault], Fault]] = {
    NetworkPartition.kind: _partition,
    ProcessKill.kind: lambda fault: ProcessKill(_selector(fault.process_kill.select)),
    ProcessPause.kind: lambda fault: ProcessPause(_selector(fault.process_pause.select)),
    UnitStop.kind: lambda fault: UnitStop(tuple(fault.unit_stop.units)),
    HostBlackout.kind: _blackout,
}
KNOWN_NAMES = known_names()
