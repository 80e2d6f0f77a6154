"""What a transaction asks and notes beside units of work, in the words of each database.

Lists travel as one JSON text, so that a statement's text, and with it what the driver prepares, stays the same.
"""

from dataclasses import dataclass
from functools import cache

from penelope.domain.incident import IncidentState
from penelope.store.bulk import LOADED, UNIT_COLUMNS, delete, insert
from penelope.store.tables import firing, signals

_UNIT = ", ".join(f"units_of_work.{name}" for name in UNIT_COLUMNS)
_INTERVENING = ", ".join(f"'{state.value}'" for state in IncidentState if state.intervening)


@dataclass(frozen=True, slots=True)
class Asked:
    """SQL text for one database. Parameters stand in the order of the words; `pairs` and `names` are JSON lists of
    lists of texts.
    """

    known_signals: str
    """pairs -> source, id"""
    incidents_about: str
    """pairs of service and fingerprint -> LOADED of units, oldest first, locked"""
    firing: str
    """names of incidents -> incident, subject"""
    units_of_incident: str
    """incident, kind -> UNIT_COLUMNS"""
    intervening: str
    """service -> id of an incident that changes it now"""
    outcome_counts: str
    """playbook, service -> verified, how many"""
    peek: str
    """names -> LOADED of units"""
    with_history: str
    """names -> those of units that have a history"""
    heals: str
    """service, fingerprint, since -> incident, playbook, moment of each time it was healed, oldest first"""
    usage: str
    """service, playbook, playbook, incident, incident, since, incident (what is to be left out) -> actions begun of
    the service, of the playbook and in all; interventions under way of the playbook and in all"""
    reserve: str
    """incident, service, playbook, fingerprint, actions, moment: one an incident"""
    intervention: str
    """incident -> what `reserve` noted, and nobody changes it until the transaction ends"""
    bar_claims: str
    """Changes nothing of all interventions under way, so that whoever reads one meanwhile waits, or begins anew."""
    attempts: str
    """action -> how often it was begun"""
    claim: str
    """action, incident, service, moment -> which attempt this is"""
    add_outcome: str
    """incident, service, playbook, verified, moment: noted once"""
    add_signals: str
    add_firing: str
    forget_firing: str
    """Rows of `add_signals` are its table's columns; of both others they are incident and subject."""


@cache
def asked(dialect: str) -> Asked:
    """The statements for `sqlite` or `postgresql`."""
    if dialect == "sqlite":
        return _asked(dialect, "json_each(?) AS given", "json_extract(given.value, '$[{}]')", "", "")
    return _asked(
        dialect,
        "json_array_elements(?::json) AS given(value)",
        "given.value->>{}",
        "FOR UPDATE OF units_of_work",
        "FOR SHARE",
    )


_USAGE = (
    "SELECT coalesce(sum(CASE WHEN service = ? THEN actions END), 0), "  # noqa: S608 - our own names
    "coalesce(sum(CASE WHEN playbook = ? THEN actions END), 0), coalesce(sum(actions), 0), "
    "(SELECT count(*) FROM incidents CROSS JOIN interventions AS running "
    f"WHERE incidents.state IN ({_INTERVENING}) AND running.incident = incidents.id "
    "AND running.playbook = ? AND incidents.id <> ?), "
    f"(SELECT count(*) FROM incidents WHERE state IN ({_INTERVENING}) AND id <> ?) "
    "FROM interventions WHERE began_at >= ? AND incident <> ?"
)


def _seen(given: str, name: str) -> dict[str, str]:
    """Units read as they are, and what tells one that was lost from one that never was."""
    return {
        "peek": f"SELECT {LOADED} FROM {given} CROSS JOIN units_of_work WHERE units_of_work.id = {name}",  # noqa: S608 - our own names
        "with_history": (
            f"SELECT {name} FROM {given} WHERE EXISTS "  # noqa: S608 - our own names
            f"(SELECT 1 FROM units_of_work_history AS entry WHERE entry.unit = {name})"
        ),
    }


def _asked(dialect: str, given: str, item: str, lock: str, share: str) -> Asked:
    first, second = item.format(0), item.format(1)
    # CROSS: so that SQLite begins with what is given, whatever it knows of the tables.
    texts = {
        "known_signals": (
            f"SELECT signals.source, signals.id FROM {given} CROSS JOIN signals "  # noqa: S608 - our own names
            f"WHERE signals.source = {first} AND signals.id = {second}"
        ),
        "incidents_about": (
            f"SELECT {LOADED} FROM {given} CROSS JOIN incidents CROSS JOIN units_of_work "  # noqa: S608 - our own names
            f"WHERE incidents.service = {first} AND incidents.fingerprint = {second} "
            f"AND units_of_work.id = incidents.id ORDER BY incidents.opened_at, incidents.id {lock}"
        ),
        "firing": (
            f"SELECT firing.incident, firing.subject FROM {given} CROSS JOIN firing "  # noqa: S608 - our own names
            f"WHERE firing.incident = {first}"
        ),
        "units_of_incident": (
            f"SELECT {_UNIT} FROM units_of_work WHERE incident = ? AND kind = ? ORDER BY updated_at, id"  # noqa: S608 - our own names
        ),
        "intervening": f"SELECT id FROM incidents WHERE service = ? AND state IN ({_INTERVENING}) LIMIT 1",  # noqa: S608 - our own names
        "outcome_counts": (
            "SELECT verified, count(*) FROM outcomes WHERE playbook = ? AND service = ? GROUP BY verified"
        ),
        "heals": (
            "SELECT outcomes.incident, outcomes.playbook, outcomes.ended_at FROM incidents CROSS JOIN outcomes "
            "WHERE incidents.service = ? AND incidents.fingerprint = ? AND outcomes.incident = incidents.id "
            "AND outcomes.ended_at >= ? AND outcomes.verified IS TRUE ORDER BY outcomes.ended_at"
        ),
        "usage": _USAGE,
        "reserve": (
            "INSERT INTO interventions (incident, service, playbook, fingerprint, actions, began_at) "
            "VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (incident) DO UPDATE SET service = excluded.service, "
            "playbook = excluded.playbook, fingerprint = excluded.fingerprint, actions = excluded.actions"
        ),
        "intervention": (
            "SELECT incident, service, playbook, fingerprint, actions, began_at FROM interventions "  # noqa: S608 - our own names
            f"WHERE incident = ? {share}"
        ),
        "bar_claims": (
            "UPDATE interventions SET actions = actions "  # noqa: S608 - our own names
            f"WHERE incident IN (SELECT id FROM incidents WHERE state IN ({_INTERVENING}))"
        ),
        "attempts": "SELECT count FROM attempts WHERE action = ?",
        "claim": (
            "INSERT INTO attempts (action, incident, service, started_at, count) VALUES (?, ?, ?, ?, 1) "
            "ON CONFLICT (action) DO UPDATE SET count = attempts.count + 1 RETURNING count"
        ),
        "add_outcome": (
            "INSERT INTO outcomes (incident, service, playbook, verified, ended_at) VALUES (?, ?, ?, ?, ?) "
            "ON CONFLICT DO NOTHING"
        ),
    }
    texts |= _seen(given, first)
    place = "?" if dialect == "sqlite" else "%s"
    pair = ("incident", "subject")
    return Asked(
        **{name: text.replace("?", place) for name, text in texts.items()},
        add_signals=insert(dialect, signals, tuple(signals.columns.keys())),
        add_firing=insert(dialect, firing, pair),
        forget_firing=delete(dialect, firing, pair),
    )
