"""Cases for `decide` of every kind, drawn from a seed: the same seed gives the same ones."""

from datetime import UTC, datetime, timedelta
from random import Random

from penelope.domain.action import Action, Tier
from penelope.domain.contract import Contract
from penelope.domain.evidence import Dossier, Evidence
from penelope.domain.incident import Incident, IncidentState
from penelope.domain.likeness import Likeness
from penelope.domain.outcome import PlaybookRecord
from penelope.domain.plan import Match, Plan, Playbook
from penelope.domain.precedent import Durations, PastDurations, Tallies, Tally
from penelope.domain.service import Service, Target
from penelope.domain.signal import Severity
from penelope.rooms.decide.case import Case

BEGINNING = datetime(2026, 11, 21, 7, tzinfo=UTC)

_CONTRACT = Contract(clauses=(), deadline_seconds=1)


def drawn_case(random: Random, incident: str) -> Case:
    """One incident with evidence, a past and mostly a plan; it opened some time before BEGINNING."""
    names = [f"target-{number}" for number in range(random.randint(1, 4))]
    service = Service(
        name=f"service-{random.randint(0, 9)}",
        owner=random.choice(["", "team"]),
        tier=random.randint(1, 4),
        targets={name: Target(name=name, service="", adapter=random.choice("pg")) for name in names},
    )
    planned = random.random() < 0.8
    return Case(
        incident=_incident(random, incident, service),
        service=service,
        dependents=random.choice([0, 0, 1, 3, 40]),
        dossier=_dossier(random, service),
        playbook=_playbook(random) if planned else None,
        plan=_plan(random, incident, service) if planned else None,
        record=_record(random, service) if planned else None,
        obstacles=() if planned else ("none fits",),
        fits=planned or random.random() < 0.5,
        durations=PastDurations(
            here=_durations(random), imported=_durations(random), elsewhere=_durations(random)
        ),
        tallies=_tallies(random),
        similar=tuple(
            Likeness(
                incident=f"inc_{number}",
                similarity=random.random(),
                verified=random.choice([True, False, None]),
            )
            for number in range(random.randint(0, 3))
        ),
    )


def _incident(random: Random, identifier: str, service: Service) -> Incident:
    opened = BEGINNING - timedelta(seconds=random.uniform(-5, 400))
    return Incident(
        id=identifier,
        service=service.name,
        fingerprint="problem",
        name="Broken",
        severity=random.choice(list(Severity)),
        state=random.choice([IncidentState.OBSERVING, IncidentState.AWAITING_APPROVAL]),
        opened_at=opened,
        updated_at=opened,
        signal_count=1,
        observed_since=random.choice([None, opened + timedelta(seconds=30)]),
    )


def _dossier(random: Random, service: Service) -> Dossier:
    found = [
        _evidence(f"metric.figure_{number}", random.choice([None, random.uniform(-1, 1e6), 3, "text"]))
        for number in range(random.randint(0, 5))
    ]
    for name in ("availability", "latency")[: random.randint(0, 2)]:
        actual, allowed = random.choice([0.0, random.expovariate(1), 3.0]), random.choice([0.0, 0.02, 1.0])
        found.append(
            _evidence(f"slo.{name}", {"objective": allowed, "actual": actual, "met": actual <= allowed})
        )
    if random.random() < 0.5:
        found.append(_evidence("change.target-0.release", {"to": "1.1", "from": "1.0"}))
    return Dossier(service=service.name, gathered_at=BEGINNING, evidence=tuple(found))


def _evidence(concept: str, value: object) -> Evidence:
    return Evidence(
        concept=concept,
        value=value,
        source="drawn",
        observed_at=BEGINNING,
        confidence=0.0 if value is None else 1.0,
        note="no answer" if value is None else "",
    )


def _playbook(random: Random) -> Playbook:
    return Playbook(
        name="fix",
        version="1",
        title="Fix",
        match=Match(),
        steps=(),
        verify=_CONTRACT,
        approval=random.random() < 0.1,
    )


def _plan(random: Random, incident: str, service: Service) -> Plan:
    steps = tuple(
        Action(
            key=f"{incident}:{number}",
            name=f"step-{number}",
            adapter="fake",
            operation="set",
            target=Target(
                name=random.choice(list(service.targets)),
                service=random.choice([service.name, service.name, "another"]),
                adapter="fake",
            ),
            params={},
            tier=Tier(random.choice([1, 1, 2, 2, 3, 4])),
            timeout_seconds=1,
        )
        for number in range(random.randint(1, 4))
    )
    return Plan(
        id=f"{incident}:plan",
        incident=incident,
        service=service.name,
        playbook="fix",
        playbook_version="1",
        steps=steps,
        verify=_CONTRACT,
    )


def _record(random: Random, service: Service) -> PlaybookRecord:
    return PlaybookRecord(
        playbook="fix",
        service=service.name,
        successes=random.choice([0, 0, 1, 20]),
        failures=random.choice([0, 0, 1, 20]),
    )


def _durations(random: Random) -> Durations:
    typical = random.choice([1.0, 30.0, 600.0])
    lasted = [random.expovariate(1 / typical) for _ in range(random.choice([0, 3, 30]))]
    share = random.random()
    healed = [random.random() < share for _ in lasted]
    pairs = list(zip(lasted, healed, strict=True))
    return Durations(
        healed=tuple(seconds for seconds, well in pairs if well),
        cut=tuple(seconds for seconds, well in pairs if not well),
    )


def _tallies(random: Random) -> Tallies:
    successes = failures = 0
    levels: list[Tally] = []
    for _ in range(4):
        successes += random.choice([0, 0, 1, 5, 50])
        failures += random.choice([0, 0, 1, 5])
        levels.append(Tally(successes=successes, failures=failures))
    service, alike, playbook, everything = levels
    imported = Tally(successes=random.choice([0, 4, 10_000]), failures=random.choice([0, 4]))
    return Tallies(everything=everything, playbook=playbook, alike=alike, service=service, imported=imported)
