"""Records how an incident ends: outcome, lesson and last state in one transaction."""

from dataclasses import dataclass, replace

from penelope.domain.incident import Incident, IncidentState
from penelope.domain.outcome import OutcomeKind
from penelope.domain.work import Change
from penelope.flow import records
from penelope.flow.autonomy import DEFAULTS as AUTONOMY
from penelope.flow.autonomy import learn
from penelope.flow.engine import Engine
from penelope.flow.halting import DEFAULTS, Brakes, settle
from penelope.flow.learning import remember
from penelope.flow.ports import Transaction
from penelope.rooms.learn.autonomy import Policy
from penelope.rooms.learn.run import conclude, counts_for_playbook


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How the story ends, and why. One that was `stopped` by a halt says nothing about its playbook; one that `broke`
    off may still hold targets.
    """

    kind: OutcomeKind
    reason: str
    playbook: str | None = None
    acted: bool = False
    stopped: bool = False
    broke: bool = False


async def finish(
    engine: Engine,
    incident: str,
    ending: Ending,
    brakes: Brakes = DEFAULTS,
    policy: Policy = AUTONOMY,
) -> None:
    """Ends an incident, once; the story does it, or on its behalf whoever finds it broken off."""

    async def body(transaction: Transaction) -> None:
        found = await records.incident_of(transaction, incident)
        if not found.state.ended:
            await transaction.save(*await end(transaction, found, ending, brakes, policy))
            if ending.broke:
                await transaction.leases.give_back_all(incident)

    # Whatever counts for one playbook writes the same statistics.
    await engine.transaction("finish", body, lane=f"playbook {ending.playbook}")


async def end(
    transaction: Transaction,
    incident: Incident,
    ending: Ending,
    brakes: Brakes = DEFAULTS,
    policy: Policy = AUTONOMY,
) -> list[Change]:
    """Counts the outcome for its playbook, what that has earned, and its breakers; what is left to be saved is returned."""
    outcome = conclude(
        incident,
        ending.kind,
        ending.reason,
        transaction.now(),
        playbook=ending.playbook,
        acted=ending.acted,
    )
    if ending.stopped:
        outcome = replace(outcome, verified=None)
    if counts_for_playbook(outcome):
        await transaction.add_outcome(outcome)
    await remember(transaction, incident, outcome)
    ended = records.moved(incident, IncidentState(ending.kind.value), transaction)
    return [
        records.of_outcome(outcome, "OutcomeRecorded"),
        records.of_incident(ended, f"Incident{ending.kind.value.title()}", ending.reason),
        *await learn(transaction, policy, outcome),
        *await settle(transaction, brakes, incident, outcome),
    ]
