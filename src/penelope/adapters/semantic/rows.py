"""Cells of DuckDB as JSON knows them, the same as those of Cube's answers."""

import math
from collections.abc import Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from penelope.kit.canonical import Json

_WHOLE = 2**53


def rows(found: Sequence[Sequence[Any]]) -> tuple[tuple[Json, ...], ...]:
    return tuple(tuple(cell(value) for value in row) for row in found)


def cell(value: Any) -> Json:
    """Numbers with a fraction become floats, and so do whole ones beyond 2^53, which JSON does not hold exactly; what is
    no number or infinite becomes None; days and moments become text, in UTC where they bear a zone.
    """
    match value:
        case None | bool() | str():
            return value
        case int():
            return value if abs(value) <= _WHOLE else float(value)
        case float():
            return value if math.isfinite(value) else None
        case Decimal():
            return cell(float(value)) if value.is_finite() else None
        case _:
            return _text(value)


def _text(value: Any) -> str:
    if isinstance(value, datetime):
        moment = value.astimezone(UTC).replace(tzinfo=None) if value.tzinfo else value
        return moment.isoformat(timespec="milliseconds")
    return f"{value.isoformat()}T00:00:00.000" if isinstance(value, date) else str(value)
