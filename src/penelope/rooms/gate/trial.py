"""Refuses a plan that cannot work, as far as trying it tells: by the dry run of its actions, and on the twin."""

from penelope.domain.gate import RuleVerdict, Ruling
from penelope.domain.rehearsal import RehearsalOutcome
from penelope.domain.trial import Trial
from penelope.rooms.gate.rules import Request


class TrialRule:
    """Speaks last, and only about plans that nothing else refuses or keeps waiting: trying takes time."""

    @property
    def name(self) -> str:
        return "trial"

    def check(self, request: Request) -> RuleVerdict:
        trial = request.trial
        if trial is None:
            return RuleVerdict(rule=self.name, ruling=Ruling.REFUSE, reason="nobody has tried the plan")
        if trial.refusal:
            return RuleVerdict(rule=self.name, ruling=Ruling.REFUSE, reason=trial.refusal)
        held = trial.rehearsal
        unsure = held is not None and held.outcome is RehearsalOutcome.NOT_POSSIBLE
        noted = unsure or bool(trial.preview.missing)
        return RuleVerdict(rule=self.name, ruling=Ruling.PASS, reason=_found(trial), noted=noted)


def _found(trial: Trial) -> str:
    actions, missing = trial.preview.actions, trial.preview.missing
    said = [f"{len(actions) - len(missing)} of {len(actions)} actions previewed"]
    said += [f"{item.name} is not previewed: {item.missing}" for item in missing]
    if trial.rehearsal is not None:
        said.append(
            f"{trial.rehearsal.outcome.value.replace('_', ' ')} on the twin: {trial.rehearsal.reason}"
        )
    return "; ".join(said)
