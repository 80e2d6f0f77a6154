"""What the caller can mend."""

from collections.abc import Mapping

from penelope.errors.base import PenelopeError


class InputError(PenelopeError):
    """The caller can mend it."""

    code = "invalid_input"
    hint = "Correct the input and send it again."


class InvalidRequest(InputError):
    """A malformed body, header or parameter."""

    code = "invalid_request"
    hint = "Compare the request with the OpenAPI document at /openapi.json."


class InvalidSignal(InputError):
    """A signal that says too little, or something impossible."""

    code = "invalid_signal"
    hint = "A signal needs a name, a service and a start time with a time zone."


class InvalidPlaybook(InputError):
    """A playbook that does not follow its schema."""

    code = "invalid_playbook"
    hint = "Run `penelope playbooks lint FILE`: it names line and column of each mistake."


class InvalidCatalogue(InputError):
    """A service catalogue that does not follow its schema."""

    code = "invalid_catalogue"
    hint = "Compare the file with docs/reference/services.schema.json."


class InvalidPolicy(InputError):
    """A policy that does not follow its schema, or that uses what is not admitted."""

    code = "invalid_policy"
    hint = "Run `penelope policy lint FILE`; docs/policy.md lists the variables and what is admitted."


class PolicyFailed(InputError):
    """A policy that could not be judged, and so refused. `details` are its inputs, redacted."""

    code = "policy_failed"
    hint = "Correct the policy, and add the case to its tests: `penelope policy test FILE`."

    def __init__(
        self, message: str, *, hint: str | None = None, inputs: Mapping[str, object] | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.details = dict(inputs or {})


class InvalidPatch(InputError):
    """A diff that does not parse, or that leaves its repository."""

    code = "invalid_patch"
    hint = "Make the diff with `git diff` inside the repository; paths must stay inside it."


class UnknownService(InputError):
    """A service that the catalogue does not list."""

    code = "unknown_service"
    hint = "Add the service to services.yaml, or correct its name."


class UnknownPlaybook(InputError):
    """A playbook that the library does not hold."""

    code = "unknown_playbook"
    hint = "List the library with `penelope playbooks list`."


class UnknownIncident(InputError):
    """No incident has this identifier."""

    code = "unknown_incident"
    hint = "List incidents with `penelope incidents`."


class UnknownAdapter(InputError):
    """An action names an adapter or an operation that is not installed."""

    code = "unknown_adapter"
    hint = "See docs/playbooks.md for the operations that exist."


class UnknownApproval(InputError):
    """No request for approval has this identifier."""

    code = "unknown_approval"
    hint = "List requests with `penelope approvals list`."


class UnknownReview(InputError):
    """No review of a broken glass has this identifier."""

    code = "unknown_review"
    hint = "List reviews with `penelope approvals reviews`."


class UnknownMission(InputError):
    """No mission has this identifier."""

    code = "unknown_mission"
    hint = "List missions with `penelope missions list`."


class UnknownDeployment(InputError):
    """No deployment has this identifier."""

    code = "unknown_deployment"
    hint = "List deployments with `penelope rollout list`."


class InvalidQuery(InputError):
    """A question that the semantic model or the graph cannot answer: an unknown member, a join that fans out."""

    code = "invalid_query"
    hint = "List what can be asked for with `penelope context model`."


class UnknownConcept(InputError):
    """Nothing that the asker may see is defined by these words."""

    code = "unknown_concept"
    hint = "Say it in other words; `GET /api/v1/assets` lists what can be asked for."


class AmbiguousConcept(InputError):
    """Several definitions fit about as well; `choices` among the members are these."""

    code = "ambiguous_concept"
    hint = "Ask again by the title of one of the choices, or teach the words with `POST /api/v1/feedback`."


class AccessDenied(InputError):
    """The policy withholds it from this asker; the message has its reasons."""

    code = "access_denied"
    hint = (
        "Ask whoever owns the data, or somebody who may see it; docs/context-policy.md tells what is judged."
    )


class UnknownAnswer(InputError):
    """No answer has this identifier."""

    code = "unknown_answer"
    hint = "Its id stands in the answer, and in the ledger's entry ConceptResolved."


class InvalidLink(InputError):
    """A link to answer with that was altered, was used before, or has expired."""

    code = "invalid_link"
    hint = "Answer with `penelope approvals show ID` and a key of yours, or wait for the next notice."


class AlreadyDecided(InputError):
    """The approval was decided, expired or withdrawn before this answer came."""

    code = "already_decided"
    hint = "Look at the incident: it shows who decided what, and when."


class UnknownDecision(InputError):
    """No decision has this number, and no incident of this identifier was judged."""

    code = "unknown_decision"
    hint = (
        "List decisions with `penelope audit list`; an incident's identifier stands for its latest decision."
    )


class NotReplayable(InputError):
    """A decision that cannot be made again: another version made it, or its inputs are not complete."""

    code = "not_replayable"
    hint = "Explain it instead: what it said is recorded. To make it again, run the version that made it."


class PayloadGone(InputError):
    """What was recorded was erased since; that it was recorded can still be proven."""

    code = "payload_gone"
    hint = (
        "If it was archived, put the archive's file back; what was erased about a person does not come back."
    )


class BadSettings(InputError):
    """Configuration that cannot be used."""

    code = "bad_settings"
    hint = "Run `penelope config check`; every setting is in docs/reference/settings.md."


class Unauthenticated(InputError):
    """No key, or one that is wrong, expired or revoked."""

    code = "unauthenticated"
    hint = "Send `Authorization: Bearer <key>`; make a key with `penelope keys create`."


class InvalidToken(InputError):
    """An access token that is not good here; why stands in the metric `penelope_tokens_total`, not in the answer."""

    code = "invalid_token"
    hint = "Get a new token from your identity provider; docs/access.md tells what it must hold."


class Forbidden(InputError):
    """The key or the token is good but lacks the scope."""

    code = "forbidden"
    hint = "Ask for a key with the scope that the message names, or for a group that has it."


class TooLarge(InputError):
    """The body exceeds the limit."""

    code = "too_large"
    hint = "Split the batch; the limit is the setting api.max_body_bytes."
