"""Keeps people from being asked again for what one of them refused: who is asked often enough says yes at last."""

from dataclasses import dataclass
from datetime import timedelta

from penelope.domain.gate import GateVerdict, RuleVerdict, Ruling
from penelope.domain.interval import wilson
from penelope.rooms.gate.rules import Request
from penelope.rooms.gate.run import gate

_MORE_OFTEN_THAN_NOT = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Refuses where a person rejected a plan of this playbook about this problem less than `stands_seconds` ago.

    Silence, a withdrawal and the no of a machine are no such word. Nor does one no silence a playbook that has proven
    itself on the service, where the decision has no doubt of its own: then people are asked again.
    """

    stands_seconds: float

    @property
    def name(self) -> str:
        return "refusal"

    def check(self, request: Request) -> RuleVerdict:
        if request.refusals is None:
            return self._says(Ruling.REFUSE, "nobody has looked whether a person refused this before")
        since = request.now - timedelta(seconds=self.stands_seconds)
        noes = [item.objection for item in request.refusals if item.objection and item.objection.at > since]
        if not noes:
            return self._says(Ruling.PASS, f"nobody refused it within {self.stands_seconds:g} s")
        last = max(noes, key=lambda vote: vote.at)
        told = f"{last.actor} refused {request.plan.playbook} for this problem on {last.at:%Y-%m-%d %H:%M:%S} UTC"
        if not request.decision.needs_approval and _has_proven_itself(request):
            record = request.record
            uses = record.successes + record.failures
            return self._says(Ruling.PASS, f"{told}, but it was verified {record.successes} of {uses} times")
        # The words come last: there they are found when the person is erased.
        words = f": {last.reason}" if last.reason else ""
        return self._says(Ruling.REFUSE, f"{told}, which stands for {self.stands_seconds:g} s{words}")

    def _says(self, ruling: Ruling, reason: str) -> RuleVerdict:
        return RuleVerdict(rule=self.name, ruling=ruling, reason=reason)


def before_asking(verdict: GateVerdict, request: Request, stands_seconds: float) -> GateVerdict:
    """What becomes of a verdict that would ask: a refusal where a person's no stands."""
    last = gate(request, (Refusal(stands_seconds=stands_seconds),))
    return GateVerdict(verdicts=(*verdict.verdicts, *last.verdicts))


def _has_proven_itself(request: Request) -> bool:
    """Whether even the lower end of the 95 % interval of its verified uses on the service is more than half."""
    record = request.record
    uses = record.successes + record.failures
    return uses > 0 and wilson(record.successes / uses, uses)[0] > _MORE_OFTEN_THAN_NOT
