"""Errors that reach the operator: what happened, to which object, and what to do."""


class ReconcileError(Exception):
    """An error with a message for the operator. ``hint`` says what to do next."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        # within other sentences (reasons, notes, the journal) a line break would have to be escaped
        end = "" if self.message.endswith((".", ":", "?", "!")) else "."
        return f"{self.message}{end} {self.hint}" if self.hint else self.message


class ConfigError(ReconcileError):
    """The configuration file cannot be used; the message lists every problem in it."""


class ReadError(ReconcileError):
    """A portal or cluster could not be read completely, so nothing may be planned from it."""


class RulesError(ReadError):
    """A portal's policy that cannot be used; it concerns the limits of its offering alone."""


class ConflictError(ReconcileError):
    """Somebody else has moved the object on, so that what was asked does not fit the state it is in."""


class GoneError(ReconcileError):
    """The object is not there, or not to be seen."""


class RefusedError(ReconcileError):
    """What was asked is not taken as it stands; a part of it may be."""


class DeniedError(ReconcileError):
    """Whoever asked lacks the role for it."""


class CommandError(ReadError):
    """A command could not be started, timed out, or ended with an error."""


class StalePlanError(ReconcileError):
    """The world moved since the plan was made."""


class StoppedError(ReconcileError):
    """A signal came: what was begun ends, and nothing more is begun."""


class FrozenError(ReconcileError):
    """Nothing may be applied at this time."""

    exit_code = 3


class LockedError(ReconcileError):
    """Another apply is running on the same cluster."""
