"""What a person is told who has to take an incident over."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Briefing:
    """A prepared dossier; every text is one short line.

    `known` is what was seen, `ruled_out` what was considered and why it was left, `candidate` the plan that would
    act, if there is one, with its `steps` in order, `dangers` what its risk is made of, `precedents` what came of
    it before, and `next_steps` what to do now, the most useful first.
    """

    known: tuple[str, ...]
    ruled_out: tuple[str, ...]
    candidate: str
    steps: tuple[str, ...]
    dangers: tuple[str, ...]
    precedents: tuple[str, ...]
    next_steps: tuple[str, ...]
