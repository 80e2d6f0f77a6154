"""Reads a target's options and a step's parameters into typed values; says precisely what does not fit."""

from collections.abc import Collection, Mapping
from typing import TypeVar

import msgspec

from penelope.domain.action import Operation, Tier
from penelope.domain.service import Target
from penelope.errors import InvalidCatalogue, InvalidPlaybook, UnknownAdapter
from penelope.kit.canonical import Json
from penelope.kit.codec import to_data

Options = TypeVar("Options", bound=msgspec.Struct)
Parameters = TypeVar("Parameters", bound=msgspec.Struct)


def read_options(kind: type[Options], target: Target) -> Options:
    """The options of a target. Raises InvalidCatalogue, without showing any value."""
    try:
        return msgspec.convert(to_data(target.options), kind)
    except msgspec.ValidationError as error:
        where = f"target {target.name!r} of service {target.service!r}"
        raise InvalidCatalogue(f"the options of {where} do not fit: {error}") from None


def read_params(kind: type[Parameters], params: Mapping[str, Json]) -> Parameters:
    """The parameters of a step. Raises InvalidPlaybook, without showing any value."""
    try:
        return msgspec.convert(to_data(params), kind)
    except msgspec.ValidationError as error:
        raise InvalidPlaybook(f"the step's parameters do not fit: {error}") from None


def operation(
    summary: str,
    params: type[msgspec.Struct],
    *permissions: str,
    tier: Tier = Tier.LOCAL,
    snapshots: tuple[str, ...] = (),
) -> Operation:
    """What an adapter declares of an operation whose parameters have the shape of a struct."""
    (schema,), parts = msgspec.json.schema_components([params])
    shape = {**parts[params.__name__]} if "$ref" in schema else schema
    rest = {name: part for name, part in parts.items() if name != params.__name__}
    return Operation(
        summary=summary,
        params={**shape, **({"$defs": rest} if rest else {})},
        permissions=permissions,
        tier=tier,
        snapshots=snapshots,
    )


def require_operation(adapter: str, operations: Collection[str], operation: str) -> None:
    """Raises UnknownAdapter when the adapter has no such operation."""
    if operation not in operations:
        raise UnknownAdapter(
            f"the adapter {adapter!r} has no operation {operation!r}",
            hint=f"It offers {', '.join(sorted(operations))}.",
        )
