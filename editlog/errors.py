"""The failures that reach a user: one clear sentence each, with the exit code that scripts rely on."""

from __future__ import annotations


class LifelongError(Exception):
    """A failure the user can do something about; its message is one sentence: what, where, what to do."""

    exit_code = 1


class UsageError(LifelongError):
    """The request itself cannot be carried out as it was made."""

    exit_code = 2


class PartlyDone(LifelongError):
    """The work is done, but some facts were rejected, failed or held."""

    exit_code = 3


class AuditFailed(LifelongError):
    """The audit stopped the job: nothing was published."""

    exit_code = 4


class IntegrityError(LifelongError):
    """What lies on disk is not what was written: nothing is repaired in silence, the evidence is kept."""

    exit_code = 6


class Busy(LifelongError):
    """Someone else holds what is needed; the same call may succeed later."""

    exit_code = 75


EXIT_CODES: dict[int, type[LifelongError]] = {
    kind.exit_code: kind for kind in (LifelongError, UsageError, PartlyDone, AuditFailed, IntegrityError, Busy)
}
"""The kind of failure that an exit code means: how a failure crosses from one process to another."""
