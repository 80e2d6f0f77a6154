"""Expressions of `match`, in CEL over the incident: compiled when a playbook is read, bounded in what they may cost."""

from collections.abc import Callable, Mapping
from functools import cache, lru_cache
from typing import Any

from penelope.adapters import cel
from penelope.domain.incident import Incident

VARIABLES: Mapping[str, str] = {
    "incident.name": "string",
    "incident.service": "string",
    "incident.severity": "string",
    "incident.labels": "map(string, string)",
    "incident.fingerprint": "string",
}
"""What an expression may ask about, with its type."""

SLOWEST_SECONDS = 0.02
"""CPU that an expression may take on an incident with as many and as long labels as there may be."""

_WORDS: Mapping[str, str] = {"NOT_FOUND": "it asks for a label that the incident does not have"}

_LARGEST: Mapping[str, Any] = {
    **dict.fromkeys(VARIABLES, "a" * 256),
    "incident.severity": "critical",
    "incident.labels": {f"label-{number}": "a" * 450 for number in range(64)},
}


@lru_cache(maxsize=512)
def holds(source: str) -> Callable[[Incident], bool]:
    """What the expression says of an incident; it raises ValueError where it cannot be judged, without showing a value.

    Raises ValueError itself that says why the expression is not admitted.
    """
    program = cel.compiled(_environment(), source, VARIABLES, "docs/playbooks.md")
    _try_out(program)

    def judge(incident: Incident) -> bool:
        try:
            answer = program.eval(_environment().Activation(_values(incident)))
            value, kind = answer.value(), answer.type().name()
        except Exception as error:
            raise ValueError(type(error).__name__) from error
        if kind != "BOOL":
            # The library's text may quote a value of the incident: only its kind is told.
            reason = str(value).partition(":")[0] if kind == "ERROR" else f"it is {kind.lower()}"
            raise ValueError(_WORDS.get(reason, reason))
        return bool(value)

    return judge


def _try_out(program: Any) -> None:
    activation = _environment().Activation(dict(_LARGEST))
    try:
        answer = program.eval(activation)
    except RuntimeError as error:  # it goes through the labels of an incident too often, say
        raise ValueError(f"cannot be judged: {str(error).splitlines()[0]}") from None
    if answer.type().name() == "ERROR" and (why := cel.complaint(str(answer.value()))) is not None:
        raise ValueError(f"cannot be judged: {why}")
    if cel.cost(program, activation) > SLOWEST_SECONDS:
        raise ValueError(f"takes more than {SLOWEST_SECONDS * 1000:g} ms on the largest incident")


def _values(incident: Incident) -> dict[str, Any]:
    return {
        "incident.name": incident.name,
        "incident.service": incident.service,
        "incident.severity": incident.severity.value,
        "incident.labels": dict(incident.labels),
        "incident.fingerprint": incident.fingerprint,
    }


@cache
def _environment() -> Any:
    return cel.environment(VARIABLES)
