"""The shape of policy files: a set of expressions, and the cases that test policies."""

from typing import Annotated, Any, Literal

from pydantic import Field

from penelope.adapters.playbooks.model import Slug, Word
from penelope.adapters.yaml_model import Part

Text = Annotated[str, Field(min_length=1, max_length=1000)]


class PolicyEntry(Part):
    """One policy: where its expression is true, it denies or asks."""

    name: Slug
    """What it is called in verdicts, metrics and tests."""
    description: Text
    """Why it is there."""
    expression: Text
    """CEL over the variables of docs/policy.md; true means that the policy objects."""
    effect: Literal["deny", "ask"]
    """What follows then: the plan is refused, or a person is asked."""
    message: Text
    """What people are told."""


class PolicySet(Part):
    """A file of policies."""

    api_version: Literal["penelope.dev/v1"] = Field(alias="apiVersion")
    """The version of this form."""
    kind: Literal["PolicySet"]
    """What the file holds."""
    policies: Annotated[list[PolicyEntry], Field(min_length=1, max_length=500)]
    """The policies; all of them are looked at, whatever the others say."""


class PolicyCase(Part):
    """One case: what is given, and what the policies should say."""

    name: Word
    """What the case shows."""
    input: dict[str, Any] = Field(default_factory=dict)
    """Variables that differ from those of the example, such as `service.tier: 1`."""
    expect: Literal["pass", "ask", "deny"]
    """The verdict."""
    by: list[Word] = Field(default_factory=list)
    """The policies that must have objected, if it matters."""


class PolicyTest(Part):
    """A file of cases."""

    api_version: Literal["penelope.dev/v1"] = Field(alias="apiVersion")
    """The version of this form."""
    kind: Literal["PolicyTest"]
    """What the file holds."""
    policies: Annotated[list[Word], Field(min_length=1)]
    """The policy files under test, seen from this file's folder: sets of expressions (.yaml) or Rego (.rego)."""
    cases: Annotated[list[PolicyCase], Field(min_length=1)]
    """The cases."""
