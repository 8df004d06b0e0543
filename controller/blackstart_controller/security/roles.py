"""Who may do what: four roles, each with all that the one before may do. The table is the whole truth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from blackstart_controller.errors import UsageError


class Permission(StrEnum):
    """What a route asks of the operator who calls it."""

    READ = "read"  # hosts, plans, runs, reports
    HALT = "halt"  # halt runs, engage the lever
    OPERATE = "operate"  # start runs, notes, schedules, game days
    APPROVE = "approve"  # be the second person, release the lever, see zero-notice times
    ADMIN = "admin"  # operators, environments, join tokens, where notices go


class Role(StrEnum):
    VIEWER = "viewer"
    OPERATOR = "operator"
    APPROVER = "approver"
    ADMIN = "admin"


_VIEWER = frozenset({Permission.READ})
_OPERATOR = _VIEWER | {Permission.HALT, Permission.OPERATE}
_APPROVER = _OPERATOR | {Permission.APPROVE}
GRANTS: Mapping[Role, frozenset[Permission]] = MappingProxyType(
    {
        Role.VIEWER: _VIEWER,
        Role.OPERATOR: _OPERATOR,
        Role.APPROVER: _APPROVER,
        Role.ADMIN: frozenset(Permission),
    }
)


@dataclass(frozen=True, slots=True)
class Operator:
    """Who asks. `halt_only`: the token was good before, but the database cannot say so now."""

    name: str
    role: Role
    halt_only: bool = False

    def may(self, permission: Permission) -> bool:
        granted = permission in GRANTS[self.role]
        return granted and (permission == Permission.HALT or not self.halt_only)


def least_role(permission: Permission) -> Role:
    """The first role that may."""
    return next(role for role in Role if permission in GRANTS[role])


def role_of(text: str) -> Role:
    try:
        return Role(text)
    except ValueError:
        raise UsageError(f"role {text[:80]!r}: must be one of {', '.join(Role)}") from None
