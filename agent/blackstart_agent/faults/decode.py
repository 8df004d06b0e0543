"""From the contract's order to a fault. What this agent does not know is refused by name, never guessed."""

from __future__ import annotations

from collections.abc import Iterator

from blackstart_proto.v1 import faults_pb2 as pb
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.unknown_fields import UnknownFieldSet

from blackstart_agent.errors import InvalidOrder
from blackstart_agent.faults import FAULTS
from blackstart_agent.faults.base import NOT_KNOWN, Fault

_SPECS: dict[str, str] = {
    field.name.replace("_", ".", 1): field.name for field in pb.Fault.DESCRIPTOR.oneofs_by_name["spec"].fields
}  # "network.partition" -> "network_partition"


def decode(order: pb.Order) -> Fault:
    """The fault that `order` asks for. Raises InvalidOrder, naming the first thing that cannot be read."""
    kind = order.fault.kind
    if kind not in _SPECS:
        raise InvalidOrder(f'fault "{kind}": {NOT_KNOWN}; it knows {", ".join(sorted(_SPECS))}')
    for name in order.requires:
        if name not in KNOWN_NAMES:
            raise InvalidOrder(f"{name}: {NOT_KNOWN}")
    for where in _unknown_fields(order, "order"):
        raise InvalidOrder(f"{where}: {NOT_KNOWN}")
    given = order.fault.WhichOneof("spec")
    if given != _SPECS[kind]:
        raise InvalidOrder(
            f"{kind}: the order's parameters are for {given or 'nothing'}; {_SPECS[kind]} must be set"
        )
    return FAULTS[kind].of(getattr(order.fault, _SPECS[kind]))


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


KNOWN_NAMES = known_names()
