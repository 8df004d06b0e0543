"""The plan's frozen data as messages of the contract."""

from __future__ import annotations

from collections.abc import Iterator

from blackstart_proto.v1 import agent_pb2, faults_pb2
from google.protobuf.message import Message

from blackstart_controller.plan import model

_DIRECTIONS = {
    "both": faults_pb2.DIRECTION_BOTH,
    "in": faults_pb2.DIRECTION_IN,
    "out": faults_pb2.DIRECTION_OUT,
}
_VERDICTS = {"drop": faults_pb2.VERDICT_DROP, "reject": faults_pb2.VERDICT_REJECT}
_MODES = {
    model.Mode.TETHERED: faults_pb2.MODE_TETHERED,
    model.Mode.SEALED: faults_pb2.MODE_SEALED,
}
_UNITS_ARE = {"kill": faults_pb2.UNITS_ARE_KILLED, "freeze": faults_pb2.UNITS_ARE_FROZEN}


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


def encode_fault(fault: model.FaultSpec) -> faults_pb2.Fault:
    encoded = faults_pb2.Fault(kind=fault.kind)
    match fault:
        case model.NetworkPartition():
            encoded.network_partition.CopyFrom(
                faults_pb2.NetworkPartition(
                    peers=fault.peers,
                    ports=fault.ports,
                    direction=_DIRECTIONS[fault.direction],
                    verdict=_VERDICTS[fault.verdict],
                )
            )
        case model.ProcessKill():
            encoded.process_kill.select.CopyFrom(_selector(fault.select))
        case model.ProcessPause():
            encoded.process_pause.select.CopyFrom(_selector(fault.select))
        case model.UnitStop():
            encoded.unit_stop.units.extend(fault.units)
        case model.HostBlackout():
            encoded.host_blackout.units_are = _UNITS_ARE[fault.units]
    return encoded


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


def _selector(select: model.ProcessSelector) -> faults_pb2.ProcessSelector:
    return faults_pb2.ProcessSelector(unit=select.unit, executable=select.executable, name=select.name)
