"""How sure we are that acting is right, as a sum of named parts."""

from penelope.domain.decision import Contribution, Score, score
from penelope.domain.evidence import Dossier
from penelope.rooms.decide.case import Case

_EVIDENCE = 0.3
_FITS = 0.2
_CONFIRMED, _CONTRADICTED = 0.25, -0.1
_PRECEDENT = 0.25


def confidence(case: Case) -> Score:
    """0 (we know nothing) … 1."""
    parts = [_seen(case.dossier), *_objectives(case.dossier)]
    if case.plan is not None:
        parts += [
            Contribution(name="fit", value=_FITS, reason="a playbook fits and could be bound"),
            _precedent(case),
        ]
    return score(*parts)


def _seen(dossier: Dossier) -> Contribution:
    known = sum(1 for item in dossier.evidence if item.known)
    reason = f"{known} of {len(dossier.evidence)} pieces of evidence could be seen"
    return Contribution(name="evidence", value=_EVIDENCE * dossier.confidence, reason=reason)


def _objectives(dossier: Dossier) -> list[Contribution]:
    """Whether the service's own objectives bear the signal out."""
    objectives = {
        item.concept.removeprefix("slo."): item.value
        for item in dossier.evidence
        if item.concept.startswith("slo.") and item.known and item.value.get("met") is not None
    }
    if not objectives:
        return []
    missed = sorted(name for name, value in objectives.items() if not value["met"])
    if missed:
        return [Contribution(name="confirmed", value=_CONFIRMED, reason=f"not met: {', '.join(missed)}")]
    return [
        Contribution(name="contradicted", value=_CONTRADICTED, reason="the service meets all its objectives")
    ]


def _precedent(case: Case) -> Contribution:
    """The mean of a Beta(1 + successes, 1 + failures) belief: Laplace's rule of succession."""
    record = case.record
    successes = 0 if record is None else record.successes
    uses = successes + (0 if record is None else record.failures)
    belief = (successes + 1) / (uses + 2)
    reason = f"healed {successes} of {uses} times here" if uses else "no precedent here: even odds"
    return Contribution(name="precedent", value=_PRECEDENT * belief, reason=reason)
