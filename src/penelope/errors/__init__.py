"""The one error tree.

PenelopeError
├── InputError            the caller can mend it
│   ├── InvalidRequest        malformed body, header or parameter
│   ├── InvalidSignal         a signal that says too little, or something impossible
│   ├── InvalidPlaybook       a playbook that does not follow its schema
│   ├── InvalidCatalogue      a service catalogue that does not follow its schema
│   ├── InvalidPolicy         a policy that does not follow its schema, or is not admitted
│   ├── PolicyFailed          a policy that could not be judged, and so refused
│   ├── InvalidPatch          a diff that does not parse, or leaves its repository
│   ├── UnknownService        not in the catalogue
│   ├── UnknownPlaybook       not in the library
│   ├── UnknownIncident       no such incident
│   ├── UnknownAdapter        an action names an adapter or operation that is not installed
│   ├── UnknownApproval       no such request for approval
│   ├── UnknownReview         no such review of a broken glass
│   ├── UnknownMission        no such mission
│   ├── UnknownDeployment     no such deployment
│   ├── InvalidQuery          a question that the model or the graph cannot answer
│   ├── UnknownConcept        nothing that the asker may see is defined by it
│   ├── AmbiguousConcept      a concept that several definitions fit about as well
│   ├── AccessDenied          the policy withholds it from the asker
│   ├── UnknownAnswer         no such answer
│   ├── InvalidLink           a link to answer with that was altered, used or has expired
│   ├── AlreadyDecided        the approval was decided, expired or withdrawn before
│   ├── UnknownDecision       no such decision
│   ├── NotReplayable         a decision that cannot be made again from what is recorded
│   ├── PayloadGone           what was recorded was erased since
│   ├── BadSettings           configuration that cannot be used
│   ├── Unauthenticated       no key, or one that is wrong, expired or revoked
│   ├── InvalidToken          an access token that is not good here
│   ├── Forbidden             the key lacks the scope
│   └── TooLarge              the body exceeds the limit
├── DependencyError       something that we lean on
│   ├── Unavailable           does not answer (retryable)
│   ├── Timeout               answered too late (retryable)
│   └── AccessBroken          a store gave what the policy withholds: nothing of it is shown
├── ActionError           something that we tried to do
│   ├── ActionFailed          it certainly did not happen, or its failure is known
│   ├── OutcomeUnknown        it may have happened: probe it, never repeat it blindly
│   └── CompensationFailed    it could not be taken back: the loudest event of the system
├── VerificationError
│   └── ObservationMissing    what a contract asks about could not be seen
└── LedgerError
    ├── ChainBroken           stored history does not hash to what was recorded
    ├── ProofInvalid          a proof does not lead to the root that it is said to lead to
    ├── EntryTooLarge         more than a line of the log can hold
    ├── SignatureInvalid      no trusted key signed it, or a trusted key's signature does not fit
    ├── WitnessRefused        a witness does not cosign a checkpoint
    └── AppendConflict        another writer was first (retryable)

Refusals, escalations and degraded evidence are ordinary values, not errors.
"""

from penelope.errors.base import (
    PenelopeError,
)
from penelope.errors.callers import (
    AccessDenied,
    AlreadyDecided,
    AmbiguousConcept,
    BadSettings,
    Forbidden,
    InputError,
    InvalidCatalogue,
    InvalidLink,
    InvalidPatch,
    InvalidPlaybook,
    InvalidPolicy,
    InvalidQuery,
    InvalidRequest,
    InvalidSignal,
    InvalidToken,
    NotReplayable,
    PayloadGone,
    PolicyFailed,
    TooLarge,
    Unauthenticated,
    UnknownAdapter,
    UnknownAnswer,
    UnknownApproval,
    UnknownConcept,
    UnknownDecision,
    UnknownDeployment,
    UnknownIncident,
    UnknownMission,
    UnknownPlaybook,
    UnknownReview,
    UnknownService,
)
from penelope.errors.doing import (
    AccessBroken,
    ActionError,
    ActionFailed,
    CompensationFailed,
    DependencyError,
    ObservationMissing,
    OutcomeUnknown,
    Timeout,
    Unavailable,
    VerificationError,
)
from penelope.errors.ledger import (
    AppendConflict,
    ChainBroken,
    EntryTooLarge,
    LedgerError,
    ProofInvalid,
    SignatureInvalid,
    WitnessRefused,
)

__all__ = [
    "AccessBroken",
    "AccessDenied",
    "ActionError",
    "ActionFailed",
    "AlreadyDecided",
    "AmbiguousConcept",
    "AppendConflict",
    "BadSettings",
    "ChainBroken",
    "CompensationFailed",
    "DependencyError",
    "EntryTooLarge",
    "Forbidden",
    "InputError",
    "InvalidCatalogue",
    "InvalidLink",
    "InvalidPatch",
    "InvalidPlaybook",
    "InvalidPolicy",
    "InvalidQuery",
    "InvalidRequest",
    "InvalidSignal",
    "InvalidToken",
    "LedgerError",
    "NotReplayable",
    "ObservationMissing",
    "OutcomeUnknown",
    "PayloadGone",
    "PenelopeError",
    "PolicyFailed",
    "ProofInvalid",
    "SignatureInvalid",
    "Timeout",
    "TooLarge",
    "Unauthenticated",
    "Unavailable",
    "UnknownAdapter",
    "UnknownAnswer",
    "UnknownApproval",
    "UnknownConcept",
    "UnknownDecision",
    "UnknownDeployment",
    "UnknownIncident",
    "UnknownMission",
    "UnknownPlaybook",
    "UnknownReview",
    "UnknownService",
    "VerificationError",
    "WitnessRefused",
]
