"""The plan's frozen data as messages of the contract."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

from blackstart_proto.v1 import agent_pb2, faults_pb2
from google.protobuf.message import Message

from blackstart_controller.plan import model
from blackstart_controller.plan.faults import FaultData

_MODES = {
    model.Mode.TETHERED: faults_pb2.MODE_TETHERED,
    model.Mode.SEALED: faults_pb2.MODE_SEALED,
}


def encode_order(run_id: str, order: model.HostOrder) -> faults_pb2.Order:
    """One host's order, with `requires` naming every field that is set, so that an older agent can refuse."""
    encoded = faults_pb2.Order(
        id=order.id,
        run_id=run_id,
        host=order.host,
        fault=encode_fault(order.fault),
        mode=_MODES[order.mode],
        lease_ms=round(order.lease_s * 1000),
        hold_ms=round(order.hold_s * 1000),
    )
    encoded.requires.extend(required_fields(encoded))
    return encoded


def required_fields(order: faults_pb2.Order) -> list[str]:
    """`order.FIELD` and `FAULT KIND.FIELD[.FIELD…]` for every field that is set, read from the contract."""
    names = [f"order.{field.name}" for field, _ in order.ListFields() if field.name != "requires"]
    spec_name = order.fault.WhichOneof("spec")
    if spec_name is not None:
        names += _paths(getattr(order.fault, spec_name), order.fault.kind)
    return names


def _paths(message: Message, prefix: str) -> Iterator[str]:
    for field, value in message.ListFields():
        yield f"{prefix}.{field.name}"
        if isinstance(value, Message):
            yield from _paths(value, f"{prefix}.{field.name}")


def encode_fault(fault: FaultData) -> faults_pb2.Fault:
    """The message of its kind, filled field by field: a fault of a plan has the names of the contract."""
    encoded = faults_pb2.Fault(kind=fault.kind)
    spec = getattr(encoded, fault.kind.replace(".", "_", 1))
    spec.SetInParent()  # without any field set, too, it says which kind it is
    _fill(spec, fault)
    return encoded


def _fill(message: Message, data: Any) -> None:
    for field in dataclasses.fields(data):
        descriptor = message.DESCRIPTOR.fields_by_name.get(field.name)
        if descriptor is None:
            assert field.name == "kind", f"{message.DESCRIPTOR.full_name} has no field {field.name}"
            continue
        value = getattr(data, field.name)
        if dataclasses.is_dataclass(value):
            _fill(getattr(message, field.name), value)
        elif isinstance(value, tuple):
            getattr(message, field.name).extend(value)
        elif (enum := descriptor.enum_type) is not None:
            if value:  # an empty one is the default of the contract
                setattr(message, field.name, enum.values_by_name[_enum_name(enum.name, value)].number)
        else:
            setattr(message, field.name, value)


def _enum_name(enum: str, value: str) -> str:
    """`UnitsAre` and `killed` are UNITS_ARE_KILLED, as protobuf's style has it."""
    prefix = "".join(f"_{letter}" if letter.isupper() else letter for letter in enum).lstrip("_")
    return f"{prefix}_{value}".upper()


def encode_probe(probe: model.PlannedProbe) -> agent_pb2.Probe:
    encoded = agent_pb2.Probe(
        id=probe.id, service=probe.service, every_ms=probe.every_ms, timeout_ms=probe.timeout_ms
    )
    spec = probe.spec
    match spec:
        case model.HttpProbe():
            encoded.http.CopyFrom(
                agent_pb2.HttpProbe(
                    url=spec.url, expect_status=spec.expect_status, expect_body=spec.expect_body
                )
            )
        case model.TcpProbe():
            encoded.tcp.CopyFrom(agent_pb2.TcpProbe(address=spec.address))
        case model.RedisProbe():
            encoded.redis.CopyFrom(
                agent_pb2.RedisProbe(
                    addresses=spec.addresses, sentinel_master=spec.sentinel_master, write=spec.write
                )
            )
        case model.NatsProbe():
            encoded.nats.CopyFrom(agent_pb2.NatsProbe(addresses=spec.addresses, publish=spec.publish))
        case model.CommandProbe():
            encoded.command.CopyFrom(agent_pb2.CommandProbe(name=spec.name))
    return encoded
