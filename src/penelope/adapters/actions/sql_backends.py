"""Ends runaway queries and stuck connections of PostgreSQL: only those that were seen before, told apart by more than
a process id.
"""

import time
from abc import abstractmethod
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from penelope.adapters.actions.options import read_params
from penelope.adapters.actions.sql_deed import Deed, Job, State
from penelope.adapters.actions.sql_model import RecycleParams, TerminateParams
from penelope.domain.action import Difference, Effect, Preview, Progress
from penelope.errors import ActionFailed, OutcomeUnknown
from penelope.kit.canonical import Json
from penelope.kit.codec import from_data, to_data

_MOST_SEEN = 5_000
_POLL_SECONDS = 0.05
_LEAST_WAIT_SECONDS = 2.0

# Never our own, nor a superuser's, nor anything that replicates or that the server started by itself.
_ENDABLE = """
FROM pg_stat_activity a JOIN pg_roles r ON r.oid = a.usesysid
WHERE a.backend_type = 'client backend' AND a.pid <> pg_backend_pid() AND a.application_name <> 'penelope'
  AND a.datname = current_database() AND NOT r.rolsuper AND NOT r.rolreplication
"""
_SEEN = f"""
SELECT a.pid, a.backend_start::text, a.{{since}}::text, a.state, a.application_name, a.usename {_ENDABLE}
  AND a.state = ANY(%s) AND a.{{since}} < clock_timestamp() - make_interval(secs => %s)
ORDER BY a.{{since}} LIMIT {_MOST_SEEN}
"""
_SAME = f"{_ENDABLE} AND a.pid = %s AND a.backend_start = %s::timestamptz AND a.{{since}} = %s::timestamptz AND a.state = %s"


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A query or an idle connection. The times are as PostgreSQL writes them, to the microsecond: another one under
    the same process id has others.
    """

    pid: int
    backend_start: str
    since: str
    state: str
    application: str
    user: str


class Backends(Deed):
    """What both operations have in common."""

    databases = ("postgresql",)
    since: str
    """The column that says since when a query runs, or a connection is idle."""
    noun: str

    @abstractmethod
    def fitting(self, job: Job) -> list[Seen]:
        """What would be ended now, oldest first. Raises ActionFailed where that is more than may be."""

    @abstractmethod
    def end(self, job: Job, victims: list[Seen]) -> None:
        """Ends them, and returns once they are gone."""

    def snapshot(self, job: Job) -> State:
        victims = self.fitting(job)
        if not victims:
            raise ActionFailed(f"there are no {self.noun} such as {job.action.name!r} would end")
        return {"victims": to_data(victims)}

    def preview(self, job: Job, state: State) -> Preview:
        left = [each for each in _victims(state) if self.there(job, each)]
        lines = "".join(f"-{each.application or '?'} of {each.user}, since {each.since}\n" for each in left)
        return Preview(summary=f"{len(left)} {self.noun} would be ended", diff=lines)

    def probe(self, job: Job, state: State) -> Progress:
        there = [self.there(job, each) for each in _victims(state)]
        if not any(there):
            return Progress.APPLIED
        return Progress.NOT_APPLIED if all(there) else Progress.PARTIAL

    def execute(self, job: Job, state: State) -> Effect:
        victims = [each for each in _victims(state) if self.there(job, each)]
        self.end(job, victims)
        if left := [each for each in victims if self.there(job, each)]:
            raise OutcomeUnknown(f"{len(left)} of {len(victims)} {self.noun} were told to end, and still run")
        return Effect(summary=f"{len(victims)} {self.noun} ended", details={"ended": len(victims)})

    def compensate(self, job: Job, state: State) -> Effect:  # noqa: ARG002 - the promise's shape
        return Effect(
            summary=f"{self.noun} that were ended stay so: nothing is to be put back", repeated=True
        )

    def differences(self, job: Job, state: State) -> list[Difference]:  # noqa: ARG002 - the promise's shape
        """What has ended does not come back, and its transaction was rolled back: nothing of it is in the data."""
        return []

    def observe(self, job: Job) -> dict[str, Json]:
        return {self.noun: len(self.found(job))}

    def found(self, job: Job) -> list[Seen]:
        params = read_params(self.shape, job.action.params)
        states, seconds = self.looked_for(params)
        rows = job.session.query(_SEEN.format(since=self.since), [states, seconds])
        seen = [
            Seen(pid=pid, backend_start=start, since=since, state=state, application=name, user=user)
            for pid, start, since, state, name, user in rows
        ]
        application, user = getattr(params, "application", "*"), getattr(params, "user", "*")
        return [
            each
            for each in seen
            if fnmatchcase(each.application, application) and fnmatchcase(each.user, user)
        ]

    @abstractmethod
    def looked_for(self, params: Any) -> tuple[list[str], float]:
        """The states that fit, and since how many seconds."""

    def there(self, job: Job, each: Seen) -> bool:
        return bool(job.session.query("SELECT 1" + _SAME.format(since=self.since), _identity(each)))

    def signal(self, job: Job, each: Seen, how: str) -> None:
        """Whether it is still the same is asked within the statement that ends it."""
        job.session.query(f"SELECT {how}(a.pid)" + _SAME.format(since=self.since), _identity(each))

    def wait_for_end(self, job: Job, victims: list[Seen], seconds: float) -> list[Seen]:
        """Those that are still there after that time."""
        deadline = time.monotonic() + seconds
        left = victims
        while (left := [each for each in left if self.there(job, each)]) and time.monotonic() < deadline:
            job.session.pause(_POLL_SECONDS)
        return left


class TerminateQuery(Backends):
    """`terminate_query`: cancels first, which leaves the connection to its application; then ends the connection."""

    shape = TerminateParams
    since = "query_start"
    noun = "queries"

    def looked_for(self, params: Any) -> tuple[list[str], float]:
        return ["active"], params.older_than_seconds

    def fitting(self, job: Job) -> list[Seen]:
        found, most = self.found(job), read_params(TerminateParams, job.action.params).at_most
        if len(found) > most:
            raise ActionFailed(f"{len(found)} queries fit, and at most {most} may be ended: none is")
        return found

    def end(self, job: Job, victims: list[Seen]) -> None:
        params = read_params(TerminateParams, job.action.params)
        for each in victims:
            self.signal(job, each, "pg_cancel_backend")
        left = self.wait_for_end(job, victims, params.grace_seconds)
        for each in left:
            self.signal(job, each, "pg_terminate_backend")
        self.wait_for_end(job, left, _LEAST_WAIT_SECONDS)


class RecycleConnections(Backends):
    """`recycle_connections`."""

    shape = RecycleParams
    since = "state_change"
    noun = "connections"

    def looked_for(self, params: Any) -> tuple[list[str], float]:
        return list(params.states), params.idle_seconds

    def fitting(self, job: Job) -> list[Seen]:
        return self.found(job)[: read_params(RecycleParams, job.action.params).at_most]

    def end(self, job: Job, victims: list[Seen]) -> None:
        for each in victims:
            self.signal(job, each, "pg_terminate_backend")
        self.wait_for_end(job, victims, _LEAST_WAIT_SECONDS)


def _victims(state: State) -> list[Seen]:
    return from_data(list[Seen], state["victims"])


def _identity(each: Seen) -> list[Any]:
    return [each.pid, each.backend_start, each.since, each.state]
