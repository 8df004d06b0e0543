"""Every error that the lab shows to a person."""

from __future__ import annotations

from blackstart_controller.errors import BlackstartError, NotFound, UsageError


class LabError(BlackstartError):
    """A lab could not be brought up, entered or taken down. Nothing of a failed `up` is left."""

    code = "lab"


class NoSuchLab(NotFound):
    """No lab of this name is running, or none at all, or several and no name was given."""


class CannotRun(UsageError):
    """This machine or this user lacks what a lab needs; the text says what to install or allow."""
