"""Sets a parameter of PostgreSQL: for one database or one role, whose new sessions get it, or for the whole server."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from penelope.adapters.actions.options import read_params
from penelope.adapters.actions.sql_deed import Deed, Job, State
from penelope.adapters.actions.sql_model import ParameterParams, check_identifier, check_value
from penelope.adapters.actions.sql_session import quoted
from penelope.domain.action import Difference, Effect, Preview, Progress
from penelope.errors import ActionFailed, CompensationFailed, InvalidPlaybook, OutcomeUnknown
from penelope.kit.canonical import Json

_LOOK = """
SELECT substr(entry, length(%s) + 2) FROM pg_db_role_setting s CROSS JOIN LATERAL unnest(s.setconfig) AS entry
WHERE s.setdatabase = {database} AND s.setrole = {role} AND starts_with(entry, %s || '=')
"""
_OF_DATABASE = _LOOK.format(
    database="(SELECT oid FROM pg_database WHERE datname = current_database())", role="0"
)
_OF_ROLE = _LOOK.format(database="0", role="(SELECT oid FROM pg_roles WHERE rolname = %s)")


_OF_SYSTEM = """
SELECT setting FROM pg_file_settings WHERE name = %s AND sourcefile LIKE '%%/postgresql.auto.conf'
ORDER BY seqno DESC LIMIT 1
"""
# The time of a file is in whole seconds, so within that second nobody can tell.
_NOT_LOADED = """
SELECT pg_conf_load_time() < modification + interval '1 second' FROM pg_stat_file('postgresql.auto.conf', true)
WHERE modification IS NOT NULL
"""
_LOAD_TRIES = 30
_LOAD_PAUSE_SECONDS = 0.1
_NEVER_SET = re.compile(
    r".*(_command|_librar|_file|_director|ssl|krb|ident|preload|_path|_provider|listen|socket|pid).*"
    r"|port|role|session_authorization|session_replication_role|row_security|is_superuser|fsync|full_page_writes"
)


class SetParameter(Deed):
    """`set_parameter`, of the names that the target's option `parameters` lists."""

    databases = ("postgresql",)
    shape = ParameterParams

    def check(self, params: Json) -> None:
        given = read_params(ParameterParams, params)
        check_value(given.value)
        if (given.scope == "role") != (given.role is not None):
            raise InvalidPlaybook("a role is named for the scope 'role', and only there")
        if given.role is not None:
            check_identifier(given.role)
        if _NEVER_SET.fullmatch(given.name) is not None:
            raise InvalidPlaybook(f"{given.name} is never set by a playbook")

    def snapshot(self, job: Job) -> State:
        return {"parameter": _given(job).name, "was": _look(job)}

    def preview(self, job: Job, state: State) -> Preview:
        name = _given(job).name
        diff = f"-{name}: {state['was']}\n+{name}: {_text(job)}\n"
        return Preview(summary=f"{name} would be set for the {_given(job).scope}", diff=diff)

    def probe(self, job: Job, state: State) -> Progress:
        now = _look(job)
        if now == _text(job):
            return Progress.PARTIAL if _unloaded(job) else Progress.APPLIED
        return Progress.NOT_APPLIED if now == state["was"] else Progress.UNKNOWN

    def execute(self, job: Job, state: State) -> Effect:
        name, text = _given(job).name, _text(job)
        with _alone(job):
            now = _look(job)
            if now not in {state["was"], text}:
                raise ActionFailed(f"{name} was changed since it was kept")
            _put(job, text)
        _load(job)
        return Effect(summary=f"{name} is {text}", details={"value": text})

    def compensate(self, job: Job, state: State) -> Effect:
        name, was = _given(job).name, state["was"]
        with _alone(job):
            now = _look(job)
            if now == was:
                _load(job)
                return Effect(summary=f"{name} is as before", repeated=True)
            if now != _text(job):
                raise CompensationFailed(f"something else has set {name} since: it stays")
            _put(job, was)
        _load(job)
        return Effect(summary=f"{name} is as before")

    def differences(self, job: Job, state: State) -> list[Difference]:
        now = _look(job)
        if now == state["was"]:
            return []
        return [Difference(subject=str(state["parameter"]), before=state["was"], now=now)]

    def observe(self, job: Job) -> dict[str, Json]:
        return {"value": _look(job)}


def _given(job: Job) -> Any:
    given: Any = read_params(ParameterParams, job.action.params)
    if given.name not in job.options.parameters:
        raise InvalidPlaybook(f"{given.name} is not among the parameters that the target lets be set")
    return given


def _text(job: Job) -> str:
    value = _given(job).value
    return ("on" if value else "off") if isinstance(value, bool) else str(value)


def _look(job: Job) -> str | None:
    given = _given(job)
    match given.scope:
        case "database":
            found = job.session.query(_OF_DATABASE, [given.name, given.name])
        case "role":
            found = job.session.query(_OF_ROLE, [given.name, given.role, given.name])
        case _:
            found = job.session.query(_OF_SYSTEM, [given.name])
    return str(found[0][0]) if found else None


@contextmanager
def _alone(job: Job) -> Iterator[None]:
    """Two actions on one parameter come one after the other. What is set for the system is written at once: there is no
    transaction that could hold it.
    """
    lock = [f"penelope {_given(job).name}"]
    if _given(job).scope == "system":
        # Let go at the latest when the connection ends.
        job.session.query("SELECT pg_advisory_lock(hashtext(%s))", lock)
        yield
        job.session.query("SELECT pg_advisory_unlock(hashtext(%s))", lock)
        return
    with job.session.transaction():
        job.session.query("SELECT pg_advisory_xact_lock(hashtext(%s))", lock)
        yield


def _put(job: Job, text: str | None) -> None:
    given = _given(job)
    match given.scope:
        case "role":
            owner = f"ROLE {quoted(given.role)}"
        case "database":
            owner = f"DATABASE {quoted(job.session.query('SELECT current_database()')[0][0])}"
        case _:
            _require_no_restart(job, given.name)
            owner = "SYSTEM"
    name = ".".join(quoted(part) for part in given.name.split("."))
    if text is None:
        job.session.run(f"ALTER {owner} RESET {name}", None)
        return
    # The server itself quotes the value.
    (literal,) = job.session.query("SELECT quote_literal(%s::text)", [text])[0]
    job.session.run(f"ALTER {owner} SET {name} = {literal}", None)


def _require_no_restart(job: Job, name: str) -> None:
    found = job.session.query("SELECT context FROM pg_settings WHERE name = %s", [name])
    if not found or found[0][0] in {"postmaster", "internal"}:
        raise ActionFailed(f"{name} takes effect at a restart of the server only, or is not known")


def _unloaded(job: Job) -> bool:
    """Whether the server may still run with what was written for the system before."""
    return _given(job).scope == "system" and job.session.query(_NOT_LOADED) == [(True,)]


def _load(job: Job) -> None:
    """Lets the server read what was written for the system, until it certainly has."""
    for attempt in range(_LOAD_TRIES):
        loaded = not _unloaded(job)
        if loaded and attempt == 0:
            return
        job.session.query("SELECT pg_reload_conf()")
        job.session.pause(_LOAD_PAUSE_SECONDS)
        if loaded:
            # This session reads it a moment later than the server, whose time others see: hence once more.
            return
    raise OutcomeUnknown(f"the server does not take up {_given(job).name}")
