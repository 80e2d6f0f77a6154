"""Sets a parameter of PostgreSQL for one database or one role: new sessions get it."""

from typing import Any

from penelope.adapters.actions.options import read_params
from penelope.adapters.actions.sql_deed import Deed, Job, State
from penelope.adapters.actions.sql_model import ParameterParams, check_identifier, check_value
from penelope.adapters.actions.sql_session import quoted
from penelope.domain.action import Difference, Effect, Preview, Progress
from penelope.errors import ActionFailed, CompensationFailed, InvalidPlaybook
from penelope.kit.canonical import Json

_LOOK = """
SELECT substr(entry, length(%s) + 2) FROM pg_db_role_setting s CROSS JOIN LATERAL unnest(s.setconfig) AS entry
WHERE s.setdatabase = {database} AND s.setrole = {role} AND starts_with(entry, %s || '=')
"""
_OF_DATABASE = _LOOK.format(
    database="(SELECT oid FROM pg_database WHERE datname = current_database())", role="0"
)
_OF_ROLE = _LOOK.format(database="0", role="(SELECT oid FROM pg_roles WHERE rolname = %s)")


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

    def snapshot(self, job: Job) -> State:
        return {"parameter": _given(job).name, "was": _look(job)}

    def preview(self, job: Job, state: State) -> Preview:
        name = _given(job).name
        diff = f"-{name}: {state['was']}\n+{name}: {_text(job)}\n"
        return Preview(summary=f"{name} would be set for the {_given(job).scope}", diff=diff)

    def probe(self, job: Job, state: State) -> Progress:
        now = _look(job)
        if now == _text(job):
            return Progress.APPLIED
        return Progress.NOT_APPLIED if now == state["was"] else Progress.UNKNOWN

    def execute(self, job: Job, state: State) -> Effect:
        name, text = _given(job).name, _text(job)
        with job.session.transaction():
            _lock(job)
            now = _look(job)
            if now not in {state["was"], text}:
                raise ActionFailed(f"{name} was changed since it was kept")
            _put(job, text)
        return Effect(summary=f"{name} is {text} for new sessions", details={"value": text})

    def compensate(self, job: Job, state: State) -> Effect:
        name, was = _given(job).name, state["was"]
        with job.session.transaction():
            _lock(job)
            now = _look(job)
            if now == was:
                return Effect(summary=f"{name} is as before", repeated=True)
            if now != _text(job):
                raise CompensationFailed(f"something else has set {name} since: it stays")
            _put(job, was)
        return Effect(summary=f"{name} is as before for new sessions")

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
    sql, extra = (_OF_DATABASE, []) if given.scope == "database" else (_OF_ROLE, [given.role])
    found = job.session.query(sql, [given.name, *extra, given.name])
    return str(found[0][0]) if found else None


def _lock(job: Job) -> None:
    """Two actions on one parameter come one after the other."""
    job.session.query("SELECT pg_advisory_xact_lock(hashtext(%s))", [f"penelope {_given(job).name}"])


def _put(job: Job, text: str | None) -> None:
    given = _given(job)
    if given.scope == "role":
        owner = f"ROLE {quoted(given.role)}"
    else:
        owner = f"DATABASE {quoted(job.session.query('SELECT current_database()')[0][0])}"
    name = ".".join(quoted(part) for part in given.name.split("."))
    if text is None:
        job.session.run(f"ALTER {owner} RESET {name}", None)
        return
    # The server itself quotes the value.
    (literal,) = job.session.query("SELECT quote_literal(%s::text)", [text])[0]
    job.session.run(f"ALTER {owner} SET {name} = {literal}", None)
