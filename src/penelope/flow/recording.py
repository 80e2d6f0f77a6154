"""Records with a decision all that it was made from, and makes it again from there."""

from collections.abc import Mapping
from datetime import datetime

import orjson

from penelope.domain.decision import Decision
from penelope.domain.work import Change
from penelope.errors import NotReplayable
from penelope.flow import records
from penelope.kit.canonical import Json, canonical
from penelope.kit.codec import from_data, to_data
from penelope.rooms.decide.case import Case
from penelope.rooms.decide.facts import SCHEMA, Facts, facts_of
from penelope.rooms.decide.run import Limits, judge

_AUDITED = ("judgement", "risk", "confidence", "playbook", "precedents", "leaned_on")
"""What the decision audit keeps beside the incident's service."""


def of_decision(decision: Decision, case: Case, limits: Limits) -> Change:
    """A decision as it is recorded, with all that it was made from."""
    attributes = _attributes(decision, case, limits)
    return Change(
        unit=records.decision_unit(decision.incident),
        kind="decision",
        incident=decision.incident,
        status=decision.judgement.value,
        attributes=attributes,
        event="DecisionMade",
        actor=records.PENELOPE,
        reason=decision.rationale,
        details={
            "service": case.service.name,
            **{name: attributes[name] for name in _AUDITED},
            "articles": [{"article": item.article.value, "kept": item.kept} for item in decision.articles],
        },
    )


def _attributes(decision: Decision, case: Case, limits: Limits) -> dict[str, Json]:
    """The evidence is among what a decision was made from; it stands beside the other inputs, once."""
    facts = to_data(facts_of(case))
    evidence = facts.pop("evidence")
    inputs = {"schema": SCHEMA, "facts": facts, "limits": to_data(limits)}
    return {**to_data(decision), "evidence": evidence, "inputs": inputs}


def made_again(attributes: Mapping[str, Json]) -> dict[str, Json]:
    """The decision that the recorded inputs lead to, as it would be recorded.

    Raises NotReplayable for one that an older or newer Penelope made, or whose inputs are not what is recorded.
    """
    facts, limits = inputs_of(attributes)
    decided_at = from_data(datetime, attributes["decided_at"])
    # As it comes back from a database: lists for tuples, and 1 for 1.0.
    decision: dict[str, Json] = orjson.loads(canonical(to_data(judge(facts, limits, decided_at))))
    return decision


def inputs_of(attributes: Mapping[str, Json]) -> tuple[Facts, Limits]:
    """What a decision was made from. Raises NotReplayable."""
    inputs = attributes.get("inputs")
    schema = inputs.get("schema") if isinstance(inputs, dict) else None
    if not isinstance(inputs, dict) or schema != SCHEMA:
        made_by = "before inputs were recorded" if schema is None else f"by version {schema} of the judgement"
        raise NotReplayable(f"the decision was made {made_by}; this Penelope has version {SCHEMA}")
    try:
        facts = from_data(Facts, {**inputs["facts"], "evidence": attributes["evidence"]})
        limits = from_data(Limits, inputs["limits"])
        from_data(datetime, attributes["decided_at"])
    except (ValueError, KeyError, TypeError) as error:
        raise NotReplayable(f"the recorded inputs are not complete: {error}") from error
    return facts, limits
