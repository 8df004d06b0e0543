"""A kind of fault is known to the documents, the plans, the contract and the agents, or the build fails."""

from __future__ import annotations

from typing import get_args

from blackstart_agent.faults import FAULTS
from blackstart_controller.plan.faults import KINDS
from blackstart_controller.spec.faults import FaultStep, OnHosts
from blackstart_proto.v1 import faults_pb2

SPECS = faults_pb2.Fault.DESCRIPTOR.oneofs_by_name["spec"].fields
ONLY_IN_DOCUMENTS = {"site.blackout"}  # it becomes host.blackout


def kinds_of(union: object) -> set[str]:
    classes = get_args(union)
    return {kind for one in classes for kind in get_args(one.model_fields["fault"].annotation)}


def test_every_kind_is_known_on_both_sides_and_in_the_contract() -> None:
    contract = {field.name.replace("_", ".", 1) for field in SPECS}
    assert set(KINDS) == set(FAULTS) == contract
    assert kinds_of(OnHosts) == contract
    assert kinds_of(FaultStep) == contract | ONLY_IN_DOCUMENTS
