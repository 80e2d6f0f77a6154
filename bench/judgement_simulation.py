"""How wisely Penelope judges 10,000 incidents whose truth is known, beside three plain rules about the same incidents.

It decides with the rooms as they are and the settings' defaults; only the world, the store and the people are made up.
"""

import random
import sys
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from _synthetic import HEALS_SOON_SECONDS, Episode, Truth, World

from penelope.bootstrap.autonomy import policy_of
from penelope.bootstrap.brakes import brake_rules, brakes_of
from penelope.bootstrap.constitution import constitution_of
from penelope.domain.action import Tier
from penelope.domain.approval import Approval, ApprovalStatus, Ballot, Refusal, vote
from penelope.domain.autonomy import Level, Standing
from penelope.domain.decision import Decision, Judgement
from penelope.domain.gate import Ruling
from penelope.domain.halt import Breaker, Failure, FailureKind, Scope, ScopeKind, scopes_of
from penelope.domain.intervention import Usage
from penelope.domain.outcome import OutcomeKind, PlaybookRecord
from penelope.domain.people import Voter
from penelope.domain.plan import Plan, Playbook
from penelope.domain.precedent import Durations, PastCase, PastDurations, Stratum, traits
from penelope.domain.signal import Severity
from penelope.rooms.decide.case import Case
from penelope.rooms.decide.run import Limits, decide
from penelope.rooms.decide.survival import Waiting
from penelope.rooms.gate.approval import ApprovalRule
from penelope.rooms.gate.autonomy import AutonomyRule
from penelope.rooms.gate.refusal import before_asking
from penelope.rooms.gate.rules import Request, Rule
from penelope.rooms.gate.run import gate
from penelope.rooms.learn.autonomy import beginning, failed, succeeded
from penelope.rooms.learn.calibration import Prediction, calibration
from penelope.rooms.plan.run import Proposal, plan
from penelope.settings import Settings
from penelope.store.past import tallies_of, tally_rows

INCIDENTS = 10_000
SEED = 20261121
ACTION_SECONDS = 20.0
ANSWER_MEDIAN_SECONDS = 300.0
SEES_GOOD, SEES_BAD = 0.97, 0.80
"""How often a person who is asked approves a plan that helps, and refuses one that does not."""

WARM_UP_OUTCOMES = 500
RUNAWAY_WINDOW = timedelta(minutes=15)


@dataclass
class Score:
    """What a way of judging has come to."""

    name: str
    ends: Counter[str] = field(default_factory=Counter)
    healable: int = 0
    saved: int = 0
    acted: int = 0
    harmed: int = 0
    needless: int = 0
    handed_over: int = 0
    failures: dict[str, deque[datetime]] = field(default_factory=lambda: defaultdict(deque))
    longest_run: int = 0
    predictions: list[Prediction] = field(default_factory=list)

    def ended(self, episode: Episode, how: str) -> None:
        self.ends[how] += 1
        if _healable(episode):
            self.healable += 1
            self.saved += how in {"healed", "healed after approval", "ended by itself"}

    def act(self, episode: Episode, now: datetime, *, asked: bool) -> bool:
        """Carries the plan out; returns whether that was verified."""
        self.acted += 1
        self.harmed += episode.would_harm
        self.needless += not asked and episode.ends_itself_seconds <= HEALS_SOON_SECONDS
        if not episode.would_heal:
            lately = self.failures[episode.incident.service]
            lately.append(now)
            while now - lately[0] > RUNAWAY_WINDOW:
                lately.popleft()
            self.longest_run = max(self.longest_run, len(lately))
        return episode.would_heal


def _healable(episode: Episode) -> bool:
    """What the right thing at the right time would have ended."""
    if episode.truth is Truth.SELF_HEALING:
        return True
    return episode.truth is Truth.RECOVERABLE and episode.would_heal


class Person:
    """Answers after minutes, and is right most of the time."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)

    def answer(self, episode: Episode) -> tuple[float, bool]:
        """After how many seconds, and whether the plan is approved."""
        seconds = self._chance.lognormvariate(0, 0.7) * ANSWER_MEDIAN_SECONDS
        return seconds, self._chance.random() < (SEES_GOOD if episode.would_heal else 1 - SEES_BAD)


# --- the three plain rules ----------------------------------------------------------------------------------


def ask(score: Score, person: Person, episode: Episode, waited: float) -> str:
    """Hands an incident to a person who may let the plan run."""
    score.handed_over += 1
    seconds, approved = person.answer(episode)
    if episode.ends_itself_seconds <= waited + seconds:
        return "ended by itself"
    if not approved:
        return "left to people"
    now = episode.incident.opened_at + timedelta(seconds=waited + seconds)
    return "healed after approval" if score.act(episode, now, asked=True) else "failed"


def always(score: Score, person: Person, episode: Episode) -> str:
    return "healed" if score.act(episode, episode.incident.opened_at, asked=False) else "failed"


def never(score: Score, person: Person, episode: Episode) -> str:
    score.handed_over += 1
    return "ended by itself" if episode.ends_itself_seconds <= HEALS_SOON_SECONDS else "left to people"


def table(score: Score, person: Person, episode: Episode) -> str:
    """What a runbook would say: act if it is serious, the figures confirm it and the service is not of the first tier."""
    serious = episode.incident.severity in {Severity.ERROR, Severity.CRITICAL}
    if serious and episode.met is False and episode.problem.service.tier > 1:
        return always(score, person, episode)
    return ask(score, person, episode, 0.0)


# --- Penelope -----------------------------------------------------------------------------------------------


class Penelope:
    """Decides, passes the gate and learns, as the story does, with its memory in this process."""

    def __init__(self, world: World, start: Level | None = None) -> None:
        settings = Settings()
        self._world = world
        self._limits = Limits(
            **settings.decide.model_dump(),
            waiting=Waiting(**settings.waiting.model_dump()),
            constitution=constitution_of(settings.constitution),
        )
        policy = policy_of(settings.autonomy, (), ())
        self._policy = policy if start is None else replace(policy, start=start)
        self._brakes = brakes_of(settings)
        self._rules: tuple[Rule, ...] = (
            *brake_rules(settings),
            AutonomyRule(low_risk=settings.autonomy.low_risk),
            ApprovalRule(tier=Tier(settings.gate.approval_tier)),
        )
        self._tallies: dict[tuple[str, ...], list[int]] = {}
        self._durations: dict[tuple[str, str], deque[tuple[float, bool]]] = defaultdict(
            lambda: deque(maxlen=50)
        )
        self._by_name: dict[str, deque[tuple[str, float, bool]]] = defaultdict(lambda: deque(maxlen=60))
        self._standings: dict[tuple[str, str], Standing] = {}
        self._breakers: dict[Scope, Breaker] = {}
        self._records: dict[tuple[str, str], PlaybookRecord] = {}
        self._actions: deque[tuple[datetime, str, str]] = deque()
        self._refusal_seconds = settings.approval.refusal_seconds
        self._refusals: dict[tuple[str, str], deque[Approval]] = defaultdict(lambda: deque(maxlen=10))

    def __call__(self, score: Score, person: Person, episode: Episode) -> str:
        begin, waited = episode.incident.opened_at, 0.0
        while True:
            if episode.ends_itself_seconds <= waited:
                self._remember(episode, episode.ends_itself_seconds, OutcomeKind.RESOLVED)
                return "ended by itself"
            now = begin + timedelta(seconds=waited)
            case = self._case(episode, now)
            decision = decide(case, self._limits, now)
            if decision.judgement is Judgement.OBSERVE:
                waited += decision.recheck_seconds or self._limits.recheck_seconds
                continue
            if case.plan is None or case.playbook is None:
                self._remember(episode, waited, OutcomeKind.ESCALATED)
                score.handed_over += 1
                return "left to people"
            return self._gate(score, person, episode, case, decision, waited)

    def _gate(
        self, score: Score, person: Person, episode: Episode, case: Case, decision: Decision, waited: float
    ) -> str:
        now = episode.incident.opened_at + timedelta(seconds=waited)
        ruling = self._ruling(self._request(case, decision, now))
        if ruling is Ruling.REFUSE:
            score.handed_over += 1
            self._remember(episode, waited, OutcomeKind.ESCALATED)
            return "left to people"
        how = "healed"
        if ruling is Ruling.ASK:
            score.handed_over += 1
            seconds, approved = person.answer(episode)
            if episode.ends_itself_seconds <= waited + seconds:
                self._remember(episode, episode.ends_itself_seconds, OutcomeKind.RESOLVED)
                return "ended by itself"
            waited += seconds
            now += timedelta(seconds=seconds)
            if not approved:
                self._remember(episode, waited, OutcomeKind.ESCALATED)
                self._refused(case, now)
                return "left to people"
            how = "healed after approval"
        verified = score.act(episode, now, asked=ruling is Ruling.ASK)
        score.predictions.append(Prediction(confidence=decision.confidence.value, verified=verified))
        self._learn(episode, case, decision, now, waited, verified=verified)
        return how if verified else "failed"

    def _ruling(self, request: Request) -> Ruling:
        verdict = gate(request, self._rules)
        if verdict.ruling is Ruling.ASK:
            verdict = before_asking(verdict, request, self._refusal_seconds)
        return verdict.ruling

    def _case(self, episode: Episode, now: datetime) -> Case:
        incident = replace(episode.incident, updated_at=now)
        service, dossier = episode.problem.service, episode.evidence(now)
        case = Case(
            incident=incident,
            service=service,
            dependents=sum(service.name in item.dependencies for item in self._world.services.values()),
            dossier=dossier,
            durations=self._past(episode),
        )
        proposal = plan(incident, service, dossier, self._world.playbooks)
        if not isinstance(proposal, Proposal):
            return replace(case, obstacles=proposal.reasons, fits=proposal.fits)
        pair = (proposal.playbook.name, service.name)
        stratum = {None: Stratum.UNSEEN, True: Stratum.CONTRADICTED, False: Stratum.CONFIRMED}[episode.met]
        rows = [(*key, False, *counts) for key, counts in self._tallies.items()]
        return replace(
            case,
            playbook=proposal.playbook,
            plan=proposal.plan,
            fits=True,
            record=self._records.get(pair, PlaybookRecord(playbook=pair[0], service=pair[1])),
            tallies=tallies_of(_relevant(rows, *pair), *pair, traits(service), stratum),
            failed_at=tuple(
                item.at for item in self._breaker(Scope(kind=ScopeKind.SERVICE, name=service.name)).failures
            ),
        )

    def _past(self, episode: Episode) -> PastDurations:
        incident = episode.incident
        here = self._durations[incident.service, incident.fingerprint]
        others = [item for item in self._by_name[incident.name] if item[0] != incident.service][-30:]
        return PastDurations(here=_durations(here), elsewhere=_durations((s, h) for _, s, h in others))

    def _request(self, case: Case, decision: Decision, now: datetime) -> Request:
        made, playbook = _both(case)
        scopes = scopes_of(made.service, made.playbook, case.incident.fingerprint)
        return Request(
            incident=case.incident,
            service=case.service,
            dossier=case.dossier,
            playbook=playbook,
            plan=made,
            decision=decision,
            record=case.record or PlaybookRecord(playbook=made.playbook, service=made.service),
            approvals=(),
            now=now,
            standing=self._standing(made, now),
            breakers={scope: self._breaker(scope) for scope in scopes},
            usage=self._usage(made, now),
            heals=(),
            upstream=(),
            refusals=self._refusals[made.playbook, case.incident.fingerprint],
        )

    def _usage(self, made: Plan, now: datetime) -> Usage:
        while self._actions and now - self._actions[0][0] > timedelta(seconds=self._brakes.rate_seconds):
            self._actions.popleft()
        counts = {
            ScopeKind.SERVICE: sum(service == made.service for _, service, _ in self._actions),
            ScopeKind.PLAYBOOK: sum(playbook == made.playbook for _, _, playbook in self._actions),
            ScopeKind.FLEET: len(self._actions),
        }
        return Usage(actions=counts, running=dict.fromkeys(counts, 0))

    def _standing(self, made: Plan, now: datetime) -> Standing:
        pair = (made.playbook, made.service)
        if pair not in self._standings:
            self._standings[pair] = beginning(self._policy, *pair, now)
        return self._standings[pair]

    def _breaker(self, scope: Scope) -> Breaker:
        return self._breakers.setdefault(scope, Breaker(scope=scope))

    def _refused(self, case: Case, now: datetime) -> None:
        made, _ = _both(case)
        asked = Approval(
            id=case.incident.id,
            incident=case.incident.id,
            plan_digest=made.digest,
            reasons=(),
            status=ApprovalStatus.PENDING,
            requested_at=now,
            expires_at=now + timedelta(days=1),
        )
        no = Ballot(approve=False, reason="it would not help")
        rejected = vote(asked, Voter(identity="person", actor="person"), no, now)
        if isinstance(rejected, Refusal):
            raise TypeError(rejected.reason)
        self._refusals[made.playbook, case.incident.fingerprint].append(rejected)
        self._standings[made.playbook, made.service] = failed(
            self._standing(made, now), self._policy, now, "a person refused its plan"
        )

    def _learn(
        self,
        episode: Episode,
        case: Case,
        decision: Decision,
        now: datetime,
        waited: float,
        *,
        verified: bool,
    ) -> None:
        made, _ = _both(case)
        pair = (made.playbook, made.service)
        self._actions.append((now, made.service, made.playbook))
        standing = self._standing(made, now)
        self._standings[pair] = (
            succeeded(standing, self._policy)
            if verified
            else failed(standing, self._policy, now, "its contract was not kept")
        )
        for scope in scopes_of(made.service, made.playbook, episode.incident.fingerprint):
            breaker = self._breaker(scope)
            if verified:
                self._breakers[scope] = breaker.succeeded(episode.incident.id)
            else:
                failure = Failure(incident=episode.incident.id, kind=FailureKind.FAILED, at=now)
                self._breakers[scope] = breaker.noted(failure, self._brakes.limits[scope.kind], now)
        record = self._records.get(pair, PlaybookRecord(playbook=pair[0], service=pair[1]))
        self._records[pair] = replace(
            record,
            successes=record.successes + verified,
            failures=record.failures + (not verified),
            changed_at=now,
        )
        kind = OutcomeKind.HEALED if verified else OutcomeKind.ESCALATED
        past = self._remember(episode, waited, kind, playbook=made.playbook, verified=verified)
        past = replace(past, stratum=decision.stratum, confidence=decision.confidence.value)
        for *key, _, well, badly in tally_rows(past, traits(case.service)):
            counts = self._tallies.setdefault(tuple(key), [0, 0])
            counts[0] += well
            counts[1] += badly

    def _remember(
        self,
        episode: Episode,
        alone: float,
        kind: OutcomeKind,
        *,
        playbook: str | None = None,
        verified: bool | None = None,
    ) -> PastCase:
        incident = episode.incident
        healed = kind is OutcomeKind.RESOLVED
        self._durations[incident.service, incident.fingerprint].append((alone, healed))
        self._by_name[incident.name].append((incident.service, alone, healed))
        return PastCase(
            incident=incident.id,
            service=incident.service,
            fingerprint=incident.fingerprint,
            name=incident.name,
            severity=incident.severity,
            labels={},
            summary="",
            playbook=playbook,
            kind=kind,
            verified=verified,
            alone_seconds=alone,
            healed_itself=healed,
            stratum=Stratum.UNSEEN,
            confidence=None,
            imported=False,
            opened_at=incident.opened_at,
            ended_at=incident.opened_at + timedelta(seconds=alone),
        )


def _both(case: Case) -> tuple[Plan, Playbook]:
    if case.plan is None or case.playbook is None:
        raise ValueError("there is no plan")
    return case.plan, case.playbook


def _durations(found: "Iterator[tuple[float, bool]] | deque[tuple[float, bool]]") -> Durations:
    items = list(found)
    return Durations(
        healed=tuple(seconds for seconds, healed in items if healed),
        cut=tuple(seconds for seconds, healed in items if not healed),
    )


def _relevant(rows: list[tuple[object, ...]], playbook: str, service: str) -> list[tuple[object, ...]]:
    """As the store's statement narrows them down."""
    return [row for row in rows if row[1] in {"", playbook} and row[2] in {"", service}]


# --- the report ---------------------------------------------------------------------------------------------

Way = Callable[[Score, Person, Episode], str]


def run(name: str, way: Way, world: World) -> Score:
    score, person = Score(name), Person(SEED + 1)
    for episode in world.episodes(INCIDENTS):
        score.ended(episode, way(score, person, episode))
    return score


def line(score: Score) -> str:
    ends = score.ends
    return (
        f"  {score.name:<16}{score.saved / score.healable:>8.1%}{ends['healed'] / INCIDENTS:>9.1%}"
        f"{score.acted:>8,}{score.harmed / max(1, score.acted):>9.2%}{score.harmed:>7}"
        f"{score.needless / INCIDENTS:>10.1%}{score.handed_over / INCIDENTS:>11.1%}{score.longest_run:>9}"
    )


def main() -> int:
    print(
        f"{INCIDENTS:,} incidents, seed {SEED}\n  way             healable  healed    acted  harmful  harms  needless  "
        "handed to  failures\n                     ended  unasked          of acts                      people   in 15 min"
    )
    for name, way in (("always act", always), ("never act", never), ("rule table", table)):
        print(line(run(name, way, World(SEED))))
    world = World(SEED)
    print(line(run("trusted at once", Penelope(world, Level.AUTONOMOUS), world)))
    world = World(SEED)
    score = run("Penelope", Penelope(world), world)
    print(line(score))
    late = score.predictions[WARM_UP_OUTCOMES:]
    for what, found in ((f"after {WARM_UP_OUTCOMES} outcomes", late), ("all", score.predictions)):
        fit = calibration(found)
        print(
            f"  calibration, {what}: {fit.count} outcomes, Brier {fit.brier:.3f}, "
            f"expected error {fit.expected_error:.3f}, base rate {fit.base_rate:.3f}"
        )
    for item in calibration(late).curve:
        print(
            f"    said {item.predicted:.2f}, came true {item.observed:.2f} of {item.count} "
            f"({item.interval[0]:.2f} to {item.interval[1]:.2f})"
        )
    error = calibration(late).expected_error or 0.0
    goals = {
        "healable ended >= 95 %": score.saved / score.healable >= 0.95,
        "harmful actions <= 0.5 %": score.harmed / max(1, score.acted) <= 0.005,
        "no runaway": score.longest_run <= 3,
        "ECE <= 0.05": error <= 0.05,
    }
    for goal, kept in goals.items():
        print(f"  goal {goal}: {'kept' if kept else 'MISSED'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
