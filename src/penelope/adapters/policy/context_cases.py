"""Runs the cases that operators write for their policies of access."""

import asyncio
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from penelope.adapters.playbooks.model import Word
from penelope.adapters.policy.context_rego import read_governor
from penelope.adapters.yaml_model import Part, validate
from penelope.adapters.yaml_source import Document, Problem
from penelope.domain.access import Access, AccessQuestion, Asset, Classification, Subject, Verb
from penelope.domain.semantics import AllOf, Condition, Filter
from penelope.errors import InvalidPolicy

KIND = "ContextPolicyTest"

Class = Literal["public", "internal", "confidential", "restricted", "pii"]
Some = Annotated[str, Field(max_length=1000)]


class SubjectPart(Part):
    """Who asks."""

    actor: Some = "ann"
    """The name of the person or program."""
    role: Some
    """What they are."""
    region: Some = ""
    """Where they work, if it is said."""
    purpose: Some = ""
    """To which end they ask, if it is said."""


class AssetPart(Part):
    """What is asked for."""

    name: Some = "orders"
    """Its name."""
    kind: Some = "cube"
    """Such as cube, definition, document, node."""
    classification: Class = "confidential"
    """How much harm it does where others see it."""
    owner: Some = ""
    """Who owns it."""
    columns: Annotated[dict[Some, Class], Field(max_length=1000)] = Field(default_factory=dict)
    """The classifications of its members, by name."""


class AccessCase(Part):
    """One case: who asks for what, and what the policy should say."""

    name: Word
    """What the case shows."""
    subject: SubjectPart
    """Who asks."""
    verb: Literal["discover", "read"] = "read"
    """Whether it is only to be known of, or seen."""
    asset: AssetPart
    """What is asked for."""
    expect: Literal["allow", "deny"]
    """The answer."""
    masks: dict[Some, Literal["hash", "partial", "null"]] | None = None
    """All masks that should be there, if it matters."""
    row_filters: list[dict[str, Any]] | None = None
    """All row filters that should be there, if it matters, as the policy gives them."""
    reasons: list[Word] = Field(default_factory=list)
    """What the reasons must have among them."""


class AccessTest(Part):
    """A file of cases."""

    api_version: Literal["penelope.dev/v1"] = Field(alias="apiVersion")
    """The version of this form."""
    kind: Literal["ContextPolicyTest"]
    """What the file holds."""
    policies: Annotated[list[Word], Field(min_length=1)]
    """The policy files under test, seen from this file's folder."""
    cases: Annotated[list[AccessCase], Field(min_length=1)]
    """The cases."""


def failures(path: Path, document: Document) -> tuple[int, list[Problem]]:
    """How many cases a file has, and those that did not come out as expected.

    Raises InvalidPolicy where the file or the policies under test cannot be read.
    """
    content, problems = validate(document, AccessTest)
    if content is None:
        raise InvalidPolicy("\n".join(map(str, problems)))
    governor, problems = read_governor([path.parent / name for name in content.policies])
    if governor is None:
        raise InvalidPolicy("\n".join(map(str, problems)))
    answers = asyncio.run(governor.judge([_question(case) for case in content.cases]))
    found = [
        document.problem(("cases", index), f"{case.name}: {text}")
        for index, (case, access) in enumerate(zip(content.cases, answers, strict=True))
        for text in _differences(case, access)
    ]
    return len(content.cases), found


def _question(case: AccessCase) -> AccessQuestion:
    columns = {name: Classification(each) for name, each in case.asset.columns.items()}
    return AccessQuestion(
        subject=Subject(
            actor=case.subject.actor,
            role=case.subject.role,
            region=case.subject.region,
            purpose=case.subject.purpose,
        ),
        verb=Verb(case.verb),
        asset=Asset(
            name=case.asset.name,
            kind=case.asset.kind,
            classification=Classification(case.asset.classification),
            owner=case.asset.owner,
            columns=columns,
        ),
    )


def _differences(case: AccessCase, access: Access) -> Iterator[str]:
    said = "allow" if access.allow else "deny"
    if said != case.expect:
        told = "; ".join([*access.reasons, access.failed]).strip("; ") or "nothing objected"
        yield f"expected {case.expect}, but the answer is {said} ({told})"
    masks = {name: masking.value for name, masking in access.masks.items()}
    if case.masks is not None and masks != case.masks:
        yield f"expected the masks {case.masks}, but they are {masks}"
    filters = [written(item) for item in access.row_filters]
    if case.row_filters is not None and filters != case.row_filters:
        yield f"expected the row filters {case.row_filters}, but they are {filters}"
    for reason in set(case.reasons) - set(access.reasons):
        yield f"expected the reason '{reason}', but it is not among {list(access.reasons)}"


def written(condition: Condition) -> Mapping[str, Any]:
    """A condition as policies give it."""
    if isinstance(condition, Filter):
        shown = {"member": condition.member, "operator": condition.operator.value}
        return {**shown, "values": list(condition.values)} if condition.values else shown
    key = "and" if isinstance(condition, AllOf) else "or"
    return {key: [written(part) for part in condition.parts]}
