"""A past case, of which a test changes what it is about."""

from dataclasses import replace
from typing import Any

from penelope.domain.outcome import OutcomeKind
from penelope.domain.precedent import PastCase, Stratum
from penelope.domain.signal import Severity
from penelope.testing.cases import BEGINNING


def past_case(**changes: Any) -> PastCase:
    """A problem of the shop that the playbook `fix` healed; changes are fields of a PastCase."""
    made = PastCase(
        incident="inc_1",
        service="shop",
        fingerprint="problem",
        name="Broken",
        severity=Severity.ERROR,
        labels={},
        summary="",
        playbook="fix",
        kind=OutcomeKind.HEALED,
        verified=True,
        alone_seconds=60.0,
        healed_itself=False,
        stratum=Stratum.CONFIRMED,
        confidence=0.7,
        imported=False,
        opened_at=BEGINNING,
        ended_at=BEGINNING,
    )
    return replace(made, **changes)
