"""Past cases as rows, and the counts that each adds to."""

from collections.abc import Iterator
from typing import Any

from penelope.domain.precedent import PastCase
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
    counted = (case.imported, int(bool(case.verified)), int(not case.verified))
    yield (case.stratum.value, "", "", "", *counted)
    yield (case.stratum.value, playbook, "", "", *counted)
    if traits:
        yield (case.stratum.value, playbook, "", traits, *counted)
    yield (case.stratum.value, playbook, case.service, "", *counted)
