"""Every error that the controller or the command line shows to a person.

The class says who must act and fixes the exit code and the HTTP status; the text says what, which one, the
limit or cause, and the next step.
"""

from __future__ import annotations

from typing import ClassVar


class BlackstartError(Exception):
    """Base of all errors whose text is meant for a person."""

    code: ClassVar[str] = "internal"
    exit_code: ClassVar[int] = 6
    status: ClassVar[int] = 500


class InvalidDocument(BlackstartError):
    """A document is wrong. The text is one line per error: `file:line:column: path: what; allowed values`."""

    code = "invalid_document"
    exit_code = 2
    status = 422


class UsageError(BlackstartError):
    code = "usage"
    exit_code = 2
    status = 400


class NotFound(BlackstartError):
    code = "not_found"
    exit_code = 6
    status = 404


class NoTargets(BlackstartError):
    code = "no_targets"
    exit_code = 6
    status = 409


class Refused(BlackstartError):
    """The plan breaks a rule: a limit, a policy of a host, the mode. The text lists every reason."""

    code = "refused"
    exit_code = 7
    status = 409


class PlanHashNeeded(Refused):
    """A protected environment: the person who starts must have looked at exactly this plan."""

    code = "plan_hash_needed"


class Unauthorised(BlackstartError):
    code = "unauthorised"
    exit_code = 7
    status = 401


class Forbidden(BlackstartError):
    """Known, but of a role that may not do this."""

    code = "forbidden"
    exit_code = 7
    status = 403


class Unreachable(BlackstartError):
    code = "unreachable"
    exit_code = 6
    status = 503
