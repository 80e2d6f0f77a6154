"""Past cases as rows, the counts that each adds to, and what decisions read of both."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from math import isfinite
from typing import Any

from penelope.domain.precedent import Durations, PastCase, PastDurations, Stratum, Tallies, Tally
from penelope.kit.clock import timestamp
from penelope.store.rows import as_text
from penelope.store.statements import PAST_COLUMNS


def past_row(case: PastCase) -> tuple[Any, ...]:
    """In the order of PAST_COLUMNS."""
    special = {
        "severity": case.severity.value,
        "labels": as_text(dict(case.labels)),
        "kind": case.kind.value,
        "stratum": case.stratum.value,
        "opened_at": timestamp(case.opened_at),
        "ended_at": timestamp(case.ended_at),
    }
    return tuple(special[name] if name in special else getattr(case, name) for name in PAST_COLUMNS)


def tally_rows(case: PastCase, traits: str) -> Iterator[tuple[Any, ...]]:
    """What a use of a playbook adds: for all playbooks, for this one, with these traits, and on this service.

    Always in this order, so that two writers never wait crosswise.
    """
    playbook = case.playbook or ""
    counted = (False, int(bool(case.verified)), int(not case.verified))
    yield (case.stratum.value, "", "", "", *counted)
    yield (case.stratum.value, playbook, "", "", *counted)
    if traits:
        yield (case.stratum.value, playbook, "", traits, *counted)
    yield (case.stratum.value, playbook, case.service, "", *counted)


def imported_tallies(cases: Iterable[PastCase]) -> list[tuple[Any, ...]]:
    """What imported uses of playbooks add, a row each: for the playbook only, wherever it was used."""
    uses = Counter(
        (case.stratum.value, case.playbook, case.verified)
        for case in cases
        if case.playbook is not None and case.verified is not None
    )
    return [
        (stratum, playbook, "", "", True, uses[stratum, playbook, True], uses[stratum, playbook, False])
        for stratum, playbook in sorted({use[:2] for use in uses})
    ]


def durations_of(found: Sequence[Sequence[Any]]) -> PastDurations:
    """From rows of `durations`. What cannot be a duration says nothing."""
    kinds: list[tuple[list[float], list[float]]] = [([], []), ([], []), ([], [])]
    for which, seconds, healed in found:
        if isinstance(seconds, int | float) and isfinite(seconds) and seconds >= 0:
            kinds[which][0 if healed else 1].append(seconds)
    here, imported, elsewhere = (Durations(healed=tuple(one), cut=tuple(other)) for one, other in kinds)
    return PastDurations(here=here, imported=imported, elsewhere=elsewhere)


def tallies_of(
    found: Sequence[Sequence[Any]], playbook: str, service: str, traits: str, stratum: Stratum
) -> Tallies:
    """From rows of `tallies`. Imported cases count whatever their stratum, which nobody measured."""
    lived: dict[tuple[str, str, str], Tally] = {}
    successes = failures = 0
    for told, *key, imported, well, badly in found:
        if not imported and told == stratum:
            lived[key[0], key[1], key[2]] = Tally(successes=well, failures=badly)
        elif imported and key == [playbook, "", ""]:
            successes, failures = successes + well, failures + badly
    return Tallies(
        everything=lived.get(("", "", ""), Tally()),
        playbook=lived.get((playbook, "", ""), Tally()),
        alike=lived.get((playbook, "", traits), Tally()) if traits else Tally(),
        service=lived.get((playbook, service, ""), Tally()),
        imported=Tally(successes=successes, failures=failures),
    )
