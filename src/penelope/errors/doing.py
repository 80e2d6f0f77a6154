"""What we lean on, what we try to do, and what we look at afterwards."""

from penelope.errors.base import PenelopeError


class DependencyError(PenelopeError):
    """Something that we lean on."""

    code = "dependency_failed"
    hint = "Check the dependency that the message names; Penelope tries again by itself."


class Unavailable(DependencyError):
    """A dependency does not answer."""

    code = "unavailable"
    retryable = True


class Timeout(DependencyError):
    """A dependency answered too late."""

    code = "timeout"
    retryable = True


class AccessBroken(DependencyError):
    """A store gave what the policy withholds; nothing of it is shown."""

    code = "access_broken"
    hint = (
        "Check that the store runs the models and masks of this version; tell whoever looks after the data."
    )


class ActionError(PenelopeError):
    """Something that we tried to do."""

    code = "action_error"
    hint = "Look at the incident's timeline for what was tried and what was taken back."


class ActionFailed(ActionError):
    """The action certainly did not take effect, or its failure is known."""

    code = "action_failed"


class OutcomeUnknown(ActionError):
    """The action may have happened: it is probed, never repeated blindly."""

    code = "outcome_unknown"
    hint = "Check the target by hand, then reopen the incident or close it."


class CompensationFailed(ActionError):
    """What was done could not be taken back."""

    code = "compensation_failed"
    hint = "Restore the target by hand from the snapshot that the timeline shows."


class VerificationError(PenelopeError):
    """Something about judging an effect."""

    code = "verification_error"
    hint = "Check that the service's metrics are reachable."


class ObservationMissing(VerificationError):
    """What a contract asks about could not be seen."""

    code = "observation_missing"
