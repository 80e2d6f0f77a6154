"""Settings of the policies that plans are held against."""

from typing import Annotated

from pydantic import Strict

from penelope.settings.section import Location, Section


class Policy(Section):
    """The operators' and the organisation's own rules, see [policies](../policy.md)."""

    paths: Annotated[tuple[Location, ...], Strict(False)] = ()
    """Files of CEL expressions (YAML), and folders of them. All of them are looked at for every plan."""

    rego: Annotated[tuple[Location, ...], Strict(False)] = ()
    """Files of Rego, and folders of them. Packages below `penelope.gate` must all allow a plan."""
