"""The document that policies of access read, and how strictly their answers are read."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from penelope.domain.access import Access, AccessQuestion, Masking
from penelope.domain.semantics import AllOf, AnyOf, Condition, Filter, Operator
from penelope.kit.canonical import Json

LONGEST_TEXT = 1000
"""Characters of a name, a role, a reason."""

MOST_COLUMNS = 1000
MOST_FILTERS, MOST_VALUES, DEEPEST = 200, 1000, 8
_MOST_REASONS, _LONGEST_REASON = 20, 300

_DATES = {
    Operator.IN_DATE_RANGE: (1, 2),
    Operator.NOT_IN_DATE_RANGE: (1, 2),
    Operator.SET: (0, 0),
    Operator.NOT_SET: (0, 0),
}
_ONE = {
    Operator.GT,
    Operator.GTE,
    Operator.LT,
    Operator.LTE,
    Operator.BEFORE_DATE,
    Operator.BEFORE_OR_ON_DATE,
    Operator.AFTER_DATE,
    Operator.AFTER_OR_ON_DATE,
}


def document(question: AccessQuestion) -> Json:
    """``{subject, verb, asset}``. Raises ValueError, which repeats nothing of it, for what is too large or no text."""
    subject, asset = question.subject, question.asset
    if len(asset.columns) > MOST_COLUMNS:
        raise ValueError(f"the asset has more than {MOST_COLUMNS} columns")
    return {
        "subject": {
            "actor": _text(subject.actor),
            "role": _text(subject.role),
            "region": _text(subject.region),
            "purpose": _text(subject.purpose),
        },
        "verb": _text(question.verb),
        "asset": {
            "name": _text(asset.name),
            "kind": _text(asset.kind),
            "classification": _text(asset.classification),
            "owner": _text(asset.owner),
            "columns": {_text(name): _text(kind) for name, kind in asset.columns.items()},
        },
    }


def access_of(answer: Json, columns: Collection[str]) -> Access:
    """The policy's answer about an asset of these columns; what is not exactly as it should be is a no that says why."""
    try:
        return _read(answer, columns)
    except ValueError as error:
        return denied(str(error))


def denied(why: str) -> Access:
    """What follows where nothing, or nothing sensible, was said."""
    return Access(allow=False, reasons=("the policy could not be judged, so it denies",), failed=why)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("a part of the question is no text")  # noqa: TRY004 - whoever asks catches one kind
    text = str(value)
    if len(text) > LONGEST_TEXT:
        raise ValueError(f"a part of the question is longer than {LONGEST_TEXT} characters")
    try:
        text.encode()
    except UnicodeEncodeError:
        # Evaluators differ about half a character: one refuses it, one replaces it.
        raise ValueError("a part of the question is no proper text") from None
    return text


def _read(answer: Json, columns: Collection[str]) -> Access:
    if answer is None:
        raise ValueError("the policy says nothing")
    if not isinstance(answer, dict) or answer.keys() != {"allow", "row_filters", "masks", "reasons"}:
        raise ValueError("the policy's answer has not the shape {allow, row_filters, masks, reasons}")
    allow, reasons = answer["allow"], _reasons(answer["reasons"])
    filters, masks = _filters(answer["row_filters"], columns), _masks(answer["masks"], columns)
    if allow is True and not reasons:
        return Access(allow=True, row_filters=filters, masks=masks)
    if allow is True or allow is False:
        # A policy that allows and objects at once contradicts itself.
        return Access(allow=False, reasons=reasons, failed="" if allow is False else "it allows and objects")
    raise ValueError("the policy says neither yes nor no")


def _reasons(found: Json) -> tuple[str, ...]:
    if not isinstance(found, list) or not all(isinstance(item, str) for item in found):
        raise ValueError("the policy's reasons are no list of texts")
    return tuple(sorted(item[:_LONGEST_REASON] for item in found)[:_MOST_REASONS])


def _masks(found: Json, columns: Collection[str]) -> Mapping[str, Masking]:
    if not isinstance(found, dict):
        raise ValueError("the policy's masks are no mapping")  # noqa: TRY004 - whoever reads catches one kind
    if any(name not in columns for name in found):
        raise ValueError("the policy masks a column that the asset does not have")
    try:
        return {name: Masking(kind) for name, kind in sorted(found.items())}
    except (ValueError, TypeError):
        raise ValueError("the policy names a mask that is none of hash, partial, null") from None


def _filters(found: Json, columns: Collection[str]) -> tuple[Condition, ...]:
    if not isinstance(found, list):
        raise ValueError("the policy's row filters are no list")  # noqa: TRY004 - whoever reads catches one kind
    left = [MOST_FILTERS]
    return tuple(_condition(item, columns, left, DEEPEST) for item in found)


def _condition(found: Json, columns: Collection[str], left: list[int], depth: int) -> Condition:
    left[0] -= 1
    if left[0] < 0 or depth < 0:
        raise ValueError("the policy's row filters are too many or too deep")
    if not isinstance(found, dict):
        raise ValueError("a row filter is no mapping")  # noqa: TRY004 - whoever reads catches one kind
    for key, made in (("and", AllOf), ("or", AnyOf)):
        if found.keys() == {key}:
            parts = found[key]
            # Nothing at all would be met by every row, or by none: neither can be meant.
            if not isinstance(parts, list) or not parts:
                raise ValueError(f"a row filter's '{key}' is no list with something in it")
            return made(parts=tuple(_condition(item, columns, left, depth - 1) for item in parts))
    return _filter(found, columns)


def _filter(found: Mapping[str, Json], columns: Collection[str]) -> Filter:
    if not {"member", "operator"} <= found.keys() <= {"member", "operator", "values"}:
        raise ValueError("a row filter has not the shape {member, operator, values}")
    member, values = found["member"], found.get("values", [])
    if not isinstance(member, str) or member not in columns:
        raise ValueError("a row filter is on a column that the asset does not have")
    try:
        operator = Operator(found["operator"])
    except (ValueError, TypeError):
        raise ValueError("a row filter has an operator that does not exist") from None
    if not _texts(values):
        raise ValueError("a row filter's values are no list of texts")
    least, most = _DATES.get(operator, (1, 1 if operator in _ONE else MOST_VALUES))
    if not least <= len(values) <= most:
        raise ValueError("a row filter has too few or too many values for its operator")
    return Filter(member=member, operator=operator, values=tuple(values))


def _texts(values: Json) -> bool:
    return isinstance(values, list) and all(
        isinstance(item, str) and len(item) <= LONGEST_TEXT for item in values
    )


def batches(
    questions: Sequence[AccessQuestion], most: int, columns: int
) -> Iterator[Sequence[AccessQuestion]]:
    """The questions in lists of at most `most`, and of at most so many columns together where one alone has not more."""
    start = weight = 0
    for index, question in enumerate(questions):
        own = _columns(question)
        if index > start and (index - start == most or weight + own > columns):
            yield questions[start:index]
            start, weight = index, 0
        weight += own
    if start < len(questions):
        yield questions[start:]


def _columns(question: AccessQuestion) -> int:
    """None of what is no question: it is denied later, and must not take the others with it."""
    try:
        return len(question.asset.columns)
    except (AttributeError, TypeError):
        return 0
