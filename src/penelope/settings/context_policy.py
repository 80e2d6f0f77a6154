"""Settings of who may know and see what, and of the patience with the stores of the context platform."""

from typing import Annotated, Literal, Self

from pydantic import Strict, model_validator

from penelope.settings.section import Address, Count, Location, Seconds, Section


class ContextPolicy(Section):
    """Who may know of, and see, what the context platform resolves, see [access](../context-policy.md)."""

    kind: Literal["embedded", "opa"] = "embedded"
    """Where policies are judged: in this process, or on an OPA server."""

    paths: Annotated[tuple[Location, ...], Strict(False)] = ()
    """Files of Rego, and folders of them, for the embedded evaluator; one must be of the package `penelope.context`.
    By default the policy that comes with Penelope."""

    url: Address | None = None
    """The OPA server, such as `http://127.0.0.1:8181`; it must hold `penelope.context` and `context_batch.rego`."""

    timeout_seconds: Seconds = 1.0
    """How long, in seconds, one request may wait for the OPA server; what is not decided by then is denied."""

    token_file: Location | None = None
    """A file that holds the bearer token for the OPA server; it is read anew for each call."""

    ca_file: Location | None = None
    """A file with the certificates that the OPA server's is held against; by default the machine's authorities."""

    @model_validator(mode="after")
    def _server_is_named(self) -> Self:
        if self.kind == "opa" and self.url is None:
            raise ValueError("context_policy.kind is opa, so context_policy.url should be set")
        if self.kind == "opa" and self.paths:
            raise ValueError(
                "context_policy.paths are for the embedded evaluator: load them on the OPA server"
            )
        return self


class ContextGuard(Section):
    """How long a store of the context platform is waited for, how often it is tried, and when it is left alone; each store
    has a guard of its own. See [access](../context-policy.md).
    """

    timeout_seconds: Seconds = 2.0
    """How long, in seconds, one attempt may take."""

    attempts: Count = 3
    """The most attempts; only what may pass by itself is tried again, and nothing beyond the request's deadline."""

    first_wait_seconds: Seconds = 1.0
    """The longest wait, in seconds, before the second attempt; it doubles from attempt to attempt, and the wait is drawn
    between nothing and it."""

    most_wait_seconds: Seconds = 10.0
    """The longest wait, in seconds, before any attempt."""

    failures: Count = 5
    """How many failures in a row open the call breaker."""

    recovery_seconds: Seconds = 60.0
    """How long, in seconds, a store is then left alone before one call tries it."""

    at_once: Count = 16
    """The most calls of a store at once."""

    waiting: Count = 64
    """The most calls that wait for their turn; whoever comes then is refused at once."""

    @model_validator(mode="after")
    def _waits_grow(self) -> Self:
        if self.first_wait_seconds > self.most_wait_seconds:
            raise ValueError(
                "context_guard.first_wait_seconds should not exceed context_guard.most_wait_seconds"
            )
        return self
