"""Which past cases an incident is like, and whether they speak for a plan: pure, and the same in any order."""

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from penelope.domain.incident import Incident
from penelope.domain.likeness import Hit, Likeness
from penelope.domain.outcome import OutcomeKind
from penelope.domain.precedent import PastCase

_SAME_PROBLEM = 0.9
_SAME_NAME = 0.6
_BY_TEXT = 0.84
"""The most that words and meaning alone can make: the same problem of the same service stands above them."""
_SHARED_LABELS, _LABELS_ALONE = 0.1, 0.3
_SAME_SERVICE = 0.05
_FLOOR = 0.35
"""What is less alike is not shown: it would only look like a precedent."""
_DIGITS = 4

_WORD = re.compile(r"[^\W_]+")
_HUMPS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_LONGEST_TEXT = 1000
_LONGEST_WORD = 64
_LONGEST_LABEL = 128
_MOST_WORDS, _MOST_LABELS = 128, 64


def text_of(name: str, summary: str) -> str:
    """What the meaning of an incident is taken from: its name in words, and its summary.

    Neither service nor labels: those compare exactly, and without them equal alerts have equal texts.
    """
    return (f"{_in_words(name)}. {summary}" if name else summary)[:_LONGEST_TEXT]


def terms_of(name: str, summary: str, labels: Mapping[str, str]) -> tuple[str, ...]:
    """What keywords are compared by: the different words of name and summary, without case, and the labels."""
    words = [word[:_LONGEST_WORD] for word in _WORD.findall(text_of(name, summary).casefold())]
    given = [f"{key}={value}"[:_LONGEST_LABEL] for key, value in sorted(labels.items())[:_MOST_LABELS]]
    return tuple(dict.fromkeys([*words[:_MOST_WORDS], *given]))


def _in_words(name: str) -> str:
    """``HighErrorRate`` and ``high_error_rate`` as words."""
    return _HUMPS.sub(" ", name.replace("_", " ").replace("-", " "))


def rank(
    incident: Incident,
    cases: Iterable[PastCase],
    hits: Iterable[Hit],
    *,
    playbook: str | None,
    limit: int,
) -> tuple[Likeness, ...]:
    """The cases most like an incident, most alike first, and of equals the newest.

    `cases` are the candidates, `hits` what a search by words and meaning says of some of them; `playbook` is the
    one that the plan at hand would use.
    """
    found = {case.incident: case for case in cases if case.incident != incident.id}
    by_text = {hit.incident: hit for hit in hits}
    weights = _informativeness(list(found.values()))
    alike = [
        (_likeness(incident, case, by_text.get(case.incident), weights, playbook), case)
        for case in found.values()
    ]
    alike = [(item, case) for item, case in alike if item.similarity >= _FLOOR]
    alike.sort(key=lambda pair: pair[1].incident)
    alike.sort(key=lambda pair: (pair[0].similarity, pair[1].ended_at), reverse=True)
    return tuple(item for item, _ in alike[:limit])


def _likeness(
    incident: Incident,
    case: PastCase,
    hit: Hit | None,
    weights: Mapping[tuple[str, str], float],
    playbook: str | None,
) -> Likeness:
    by: list[str] = []
    shared = _shared(incident.labels, case.labels, weights)
    if (case.service, case.fingerprint) == (incident.service, incident.fingerprint):
        by.append("fingerprint")
        structure = _SAME_PROBLEM + _SHARED_LABELS * shared
    elif case.name == incident.name:
        by.append("name")
        structure = _SAME_NAME + _SHARED_LABELS * shared
    else:
        structure = _LABELS_ALONE * shared
    if shared:
        by.append("labels")
    text = 0.0
    if hit is not None:
        by += hit.by
        text = _BY_TEXT * hit.likeness + (_SAME_SERVICE if case.service == incident.service else 0.0)
    verified = case.verified if playbook is not None and case.playbook == playbook else None
    return Likeness(
        incident=case.incident,
        similarity=round(min(1.0, max(structure, text)), _DIGITS),
        verified=verified,
        agrees=agrees(case, playbook),
        by=tuple(by),
        counted=verified is not None and not case.imported,
    )


def _informativeness(cases: Sequence[PastCase]) -> Mapping[tuple[str, str], float]:
    """What each label is worth: one that few of the candidates have tells more than one that all have."""
    counts = Counter(label for case in cases for label in case.labels.items())
    return {label: math.log1p(len(cases) / count) for label, count in counts.items()}


def _shared(
    mine: Mapping[str, str], theirs: Mapping[str, str], weights: Mapping[tuple[str, str], float]
) -> float:
    """How much of the labels of either both have, by weight, 0…1; labels that no candidate has weigh most."""
    if not mine or not theirs:
        return 0.0
    heaviest = max(weights.values())
    # Sorted, for floats add up to something else in another order.
    both = sum(weights[label] for label in sorted(mine.items() & theirs.items()))
    either = sum(weights.get(label, heaviest) for label in sorted(mine.items() | theirs.items()))
    return both / either


def agrees(case: PastCase, playbook: str | None) -> bool | None:
    """Whether what came of a case speaks for acting with a playbook now: True, False, or None for neither.

    What healed by itself speaks against any action. Another playbook's success or failure says nothing about this one.
    """
    if playbook is None:
        return None
    if case.playbook == playbook and case.verified is not None:
        return case.verified
    if case.kind is OutcomeKind.RESOLVED and case.healed_itself:
        return False
    return None
