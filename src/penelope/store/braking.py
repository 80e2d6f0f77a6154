"""What the brakes ask of the store, in the words of each database (as in `statements`)."""

from dataclasses import dataclass
from functools import cache

from penelope.store.bulk import LOADED
from penelope.store.statements import INTERVENING


@dataclass(frozen=True, slots=True)
class Braking:
    """SQL text for one database. Parameters stand in the order of the words; `names` are a JSON list of texts."""

    peek: str
    """names -> each one, whether it has a history, and LOADED of its unit, or nothing but NULL where that has no row"""
    heals: str
    """service, fingerprint, since -> incident, playbook, moment of each time it was healed, oldest first"""
    usage: str
    """since, service, playbook, playbook, incident, incident, incident (what is to be left out) -> actions, since
    then or under way, of the service, of the playbook and in all; interventions under way of the playbook and in all"""
    reserve: str
    """incident, service, playbook, fingerprint, actions, moment: one an incident"""
    intervention: str
    """incident -> what `reserve` noted, and nobody changes it until the transaction ends"""
    bar_claims: str
    """Changes nothing of all interventions under way, so that whoever reads one meanwhile waits, or begins anew."""
    attempts: str
    """action -> how often it was begun"""


@cache
def braking(dialect: str) -> Braking:
    """The statements for `sqlite` or `postgresql`."""
    if dialect == "sqlite":
        return _braking("json_each(?) AS given", "given.value", "", "?")
    return _braking("json_array_elements_text(%s::json) AS given(value)", "given.value", "FOR SHARE", "%s")


_USAGE = (
    "WITH counted AS (SELECT incident, service, playbook, actions FROM interventions WHERE counted_from >= ? "  # noqa: S608 - our own names
    "UNION SELECT running.incident, running.service, running.playbook, running.actions "
    "FROM incidents CROSS JOIN interventions AS running "
    f"WHERE incidents.state IN ({INTERVENING}) AND running.incident = incidents.id) "
    "SELECT coalesce(sum(CASE WHEN service = ? THEN actions END), 0), "
    "coalesce(sum(CASE WHEN playbook = ? THEN actions END), 0), coalesce(sum(actions), 0), "
    "(SELECT count(*) FROM incidents CROSS JOIN interventions AS running "
    f"WHERE incidents.state IN ({INTERVENING}) AND running.incident = incidents.id "
    "AND running.playbook = ? AND incidents.id <> ?), "
    f"(SELECT count(*) FROM incidents WHERE state IN ({INTERVENING}) AND id <> ?) "
    "FROM counted WHERE incident <> ?"
)


def _braking(given: str, name: str, share: str, place: str) -> Braking:
    # CROSS: so that SQLite begins with what is given, whatever it knows of the tables.
    texts = {
        "peek": (
            f"SELECT {name}, EXISTS (SELECT 1 FROM units_of_work_history AS entry WHERE entry.unit = {name}), "  # noqa: S608 - our own names
            f"{LOADED} FROM {given} LEFT JOIN units_of_work ON units_of_work.id = {name}"
        ),
        "heals": (
            # From the heals of late: of a problem that keeps coming there may be thousands of incidents.
            "SELECT outcomes.incident, outcomes.playbook, outcomes.ended_at FROM outcomes CROSS JOIN incidents "
            "WHERE outcomes.service = ? AND incidents.fingerprint = ? AND incidents.id = outcomes.incident "
            "AND outcomes.ended_at >= ? AND outcomes.verified IS TRUE ORDER BY outcomes.ended_at"
        ),
        "usage": _USAGE,
        "reserve": (
            "INSERT INTO interventions (incident, service, playbook, fingerprint, actions, counted_from) "
            "VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (incident) DO UPDATE SET service = excluded.service, "
            "playbook = excluded.playbook, fingerprint = excluded.fingerprint, actions = excluded.actions, "
            "counted_from = excluded.counted_from"
        ),
        "intervention": (
            "SELECT incident, service, playbook, fingerprint, actions, counted_from FROM interventions "  # noqa: S608 - our own names
            f"WHERE incident = ? {share}"
        ),
        "bar_claims": (
            "UPDATE interventions SET actions = actions "  # noqa: S608 - our own names
            f"WHERE incident IN (SELECT id FROM incidents WHERE state IN ({INTERVENING}))"
        ),
        "attempts": "SELECT count FROM attempts WHERE action = ?",
    }
    return Braking(**{name: text.replace("?", place) for name, text in texts.items()})
