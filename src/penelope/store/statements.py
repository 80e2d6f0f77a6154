"""What a transaction asks and notes beside units of work, in the words of each database.

Lists travel as one JSON text, so that a statement's text, and with it what the driver prepares, stays the same.
"""

from dataclasses import dataclass
from functools import cache

from penelope.domain.incident import IncidentState
from penelope.domain.precedent import Stratum
from penelope.store.bulk import LOADED, UNIT_COLUMNS, delete, insert
from penelope.store.tables import firing, past_cases, signals

PAST_COLUMNS = tuple(column.name for column in past_cases.columns)

_UNIT = ", ".join(f"units_of_work.{name}" for name in UNIT_COLUMNS)
INTERVENING = ", ".join(f"'{state.value}'" for state in IncidentState if state.intervening)
"""The states in which an incident's service is being changed, as a list of SQL's."""


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
    open_incidents: str
    """names of services, before -> id, service, opened_at; oldest first, of those that still take signals in"""
    refusals: str
    """since, service, fingerprint, playbook -> LOADED of requests that were rejected, newest first"""
    outcome_counts: str
    """playbook, service -> verified, how many"""
    last_moments: str
    """service, service -> when it was last acted on, and last healed"""
    claim: str
    """action, incident, service, moment -> which attempt this is"""
    add_outcome: str
    """incident, service, playbook, verified, moment: noted once"""
    add_past_case: str
    """PAST_COLUMNS -> the incident, where it was not known before"""
    count_case: str
    """stratum, playbook, service, traits, imported, successes, failures: added to what was counted before"""
    durations: str
    """service, fingerprint, moment, all three again, name, service, moment -> which kind, seconds, healed itself"""
    tallies: str
    """playbook, service, traits -> stratum, playbook, service, traits, imported, successes, failures"""
    add_signals: str
    add_firing: str
    forget_firing: str
    """Rows of `add_signals` are its table's columns; of both others they are incident and subject."""


@cache
def asked(dialect: str) -> Asked:
    """The statements for `sqlite` or `postgresql`."""
    if dialect == "sqlite":
        of = "json_extract(units_of_work.attributes, '$.brief.playbook')"
        return _asked(dialect, "json_each(?) AS given", "json_extract(given.value, '$[{}]')", of, "")
    return _asked(
        dialect,
        "json_array_elements(?::json) AS given(value)",
        "given.value->>{}",
        "units_of_work.attributes::json #>> '{brief,playbook}'",
        "FOR UPDATE OF units_of_work",
    )


def _asked(dialect: str, given: str, item: str, of_playbook: str, lock: str) -> Asked:
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
        "intervening": f"SELECT id FROM incidents WHERE service = ? AND state IN ({INTERVENING}) LIMIT 1",  # noqa: S608 - our own names
        "open_incidents": (
            f"SELECT incidents.id, incidents.service, incidents.opened_at FROM {given} CROSS JOIN incidents "  # noqa: S608 - our own names
            f"WHERE incidents.service = {first} AND incidents.open_key IS NOT NULL AND incidents.opened_at < ? "
            "ORDER BY incidents.opened_at, incidents.id LIMIT 10"
        ),
        # Rejected requests first: people reject few a day, but a problem may have had incidents without number.
        "refusals": (
            f"SELECT {LOADED} FROM units_of_work CROSS JOIN incidents "  # noqa: S608 - our own names
            "WHERE units_of_work.kind = 'approval' AND units_of_work.status = 'rejected' "
            "AND units_of_work.updated_at >= ? AND incidents.id = units_of_work.incident "
            f"AND incidents.service = ? AND incidents.fingerprint = ? AND {of_playbook} = ? "
            "ORDER BY units_of_work.updated_at DESC LIMIT 10"
        ),
        "outcome_counts": (
            "SELECT verified, count(*) FROM outcomes WHERE playbook = ? AND service = ? GROUP BY verified"
        ),
        "last_moments": (
            "SELECT (SELECT max(started_at) FROM attempts WHERE service = ?), "
            "(SELECT max(ended_at) FROM outcomes WHERE service = ? AND verified IS TRUE)"
        ),
        "claim": (
            "INSERT INTO attempts (action, incident, service, started_at, count) VALUES (?, ?, ?, ?, 1) "
            "ON CONFLICT (action) DO UPDATE SET count = attempts.count + 1 RETURNING count"
        ),
        "add_outcome": (
            "INSERT INTO outcomes (incident, service, playbook, verified, ended_at) VALUES (?, ?, ?, ?, ?) "
            "ON CONFLICT DO NOTHING"
        ),
    }
    texts |= _of_the_past()
    place = "?" if dialect == "sqlite" else "%s"
    pair = ("incident", "subject")
    return Asked(
        **{name: text.replace("?", place) for name, text in texts.items()},
        add_signals=insert(dialect, signals, tuple(signals.columns.keys())),
        add_firing=insert(dialect, firing, pair),
        forget_firing=delete(dialect, firing, pair),
    )


_HERE, _IMPORTED, _ELSEWHERE = 0, 1, 2
MOST_DURATIONS = {_HERE: 50, _IMPORTED: 20, _ELSEWHERE: 30}
"""Of each kind; each decision keeps those that it saw."""


ADDED_UP = (
    "ON CONFLICT (stratum, playbook, service, traits, imported) DO UPDATE SET "
    "successes = tallies.successes + excluded.successes, failures = tallies.failures + excluded.failures"
)
"""Where a tally is there, a row that is inserted is added to it."""


def _of_the_past() -> dict[str, str]:
    lasted = "SELECT {} AS which, alone_seconds, healed_itself FROM past_cases WHERE {} AND ended_at <= ?"
    problem = "service = ? AND fingerprint = ? AND imported IS "
    kinds = {
        _HERE: f"{problem} FALSE",
        _IMPORTED: f"{problem} TRUE",
        _ELSEWHERE: "name = ? AND service <> ? AND imported IS FALSE",
    }
    newest = [
        f"SELECT * FROM ({lasted.format(kind, where)} ORDER BY ended_at DESC LIMIT {MOST_DURATIONS[kind]}) AS k{kind}"  # noqa: S608 - our own names
        for kind, where in kinds.items()
    ]
    strata = ", ".join(f"'{item.value}'" for item in Stratum)
    return {
        "durations": " UNION ALL ".join(newest),
        "tallies": (
            "SELECT stratum, playbook, service, traits, imported, successes, failures FROM tallies "  # noqa: S608 - our own names
            f"WHERE stratum IN ({strata}) AND playbook IN ('', ?) AND service IN ('', ?) AND traits IN ('', ?)"
        ),
        "add_past_case": (
            f"INSERT INTO past_cases ({', '.join(PAST_COLUMNS)}) "  # noqa: S608 - our own names
            f"VALUES ({', '.join('?' * len(PAST_COLUMNS))}) ON CONFLICT DO NOTHING RETURNING incident"
        ),
        "count_case": (
            "INSERT INTO tallies (stratum, playbook, service, traits, imported, successes, failures) "  # noqa: S608 - our own names
            f"VALUES (?, ?, ?, ?, ?, ?, ?) {ADDED_UP}"
        ),
    }
