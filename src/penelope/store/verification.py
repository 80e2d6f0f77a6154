"""Verifies stored history: every line and payload, every unit's state, and the log over them."""

import asyncio
from collections.abc import AsyncIterator, Sequence

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from penelope.errors import ChainBroken
from penelope.flow.ports import Drift, LogHead
from penelope.ledger.chain import Flaw, drifted_paths
from penelope.ledger.notes import Checkpoint
from penelope.ledger.ports import Verifier
from penelope.store import guards
from penelope.store import verification_log as log
from penelope.store import verification_units as units
from penelope.store.damage import damage_in, in_parts

DATABASE = "database"
"""What a flaw names as its unit when it is about the database itself."""


class SqlVerification:
    """Fulfils flow's Verification.

    What has no place in an entry, a payload or a signed note is not covered by any hash: `last_heartbeat_at`,
    `signed_at`, when a run began, and on PostgreSQL the number of a line's transaction as long as the order of
    lines stays the same. Nor are lines that the sequencer has not taken in yet, beyond the chain of their unit.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def flaws(
        self, outside: Sequence[Checkpoint] = (), verifiers: Sequence[Verifier] = ()
    ) -> AsyncIterator[Flaw]:
        """Walks guards, units and log, in transactions short enough to disturb nobody; see `Verification`."""
        for walk in (self._database(), self._units(), self._log(outside, verifiers)):
            try:
                async for flaw in walk:
                    yield flaw
            except DBAPIError as error:
                yield Flaw(unit=DATABASE, version=0, problem=damage_in(error))
            except (TypeError, ValueError) as error:
                problem = f"holds a value that cannot be there: {error}"
                yield Flaw(unit=DATABASE, version=0, problem=problem)

    async def head(self) -> LogHead:
        try:
            async with self._engine.connect() as connection:
                size, root = await log.head(connection)
        except DBAPIError as error:
            raise ChainBroken(f"the head of the log {damage_in(error)}") from error
        except (TypeError, ValueError) as error:
            raise ChainBroken(f"the head of the log cannot be told: {error}") from error
        return LogHead(size=size, root=root.hex())

    async def state_drift(self, unit: str) -> Drift | None:
        async with self._engine.connect() as connection:
            (found,) = await units.stored(connection, [unit])
        if found.state is None and not found.lines:
            return None
        flaws = list(units.flaws_in(found))
        if found.state is None:
            return Drift(unit=unit, version=0, paths=None, flaws=flaws)
        state = units.unit_in(found.state)
        entries = [entry for entry in map(units.entry_in, found.lines) if entry is not None]
        return Drift(unit=unit, version=state.version, paths=drifted_paths(state, entries), flaws=flaws)

    async def _database(self) -> AsyncIterator[Flaw]:
        async with self._engine.connect() as connection:
            problems = await connection.run_sync(_problems)
        for problem in problems:
            yield Flaw(unit=DATABASE, version=0, problem=problem)

    async def _units(self) -> AsyncIterator[Flaw]:
        last = ""
        while names := await self._names_after(last):
            # One transaction a stretch: state and history must be of the same moment.
            async for part in in_parts(self._engine, names, units.stored):
                if part.found is None:
                    yield Flaw(unit=part.keys[0], version=0, problem=part.problem)
                    continue
                # In a thread, because this is work and others want to be served.
                for flaw in await asyncio.to_thread(_flaws_in, part.found):
                    yield flaw
            last = names[-1]

    async def _names_after(self, last: str) -> list[str]:
        async with self._engine.connect() as connection:
            return await units.names_after(connection, last)

    async def _log(self, outside: Sequence[Checkpoint], verifiers: Sequence[Verifier]) -> AsyncIterator[Flaw]:
        async with self._engine.connect() as connection:
            moment = await log.first_look(connection)
        for flaw in moment.flaws:
            yield flaw
        async for flaw in log.LogWalk(self._engine, outside, verifiers).flaws(moment.size):
            yield flaw


def _flaws_in(found: Sequence[units.Stored]) -> list[Flaw]:
    return [flaw for unit in found for flaw in units.flaws_in(unit)]


def _problems(connection: Connection) -> list[str]:
    problems = [f"the guard {name} is not in force" for name in guards.missing(connection)]
    if connection.dialect.name == "sqlite":
        found = connection.exec_driver_sql("PRAGMA integrity_check").scalars()
        problems += [f"SQLite finds: {line}" for line in found if line != "ok"]
    return problems
