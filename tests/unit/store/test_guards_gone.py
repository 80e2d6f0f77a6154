"""Whoever looks sees a guard that is gone, disabled, or no longer what it was."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy.exc import IntegrityError

from penelope.store import guards

OnStores = Callable[[Any], None]

ON_SQLITE = pytest.mark.parametrize("databases", ["sqlite"], indirect=True)
ON_POSTGRESQL = pytest.mark.parametrize("databases", ["postgresql"], indirect=True)


async def missing_after(store: Any, *scripts: str) -> list[str]:
    """What `missing` says once an owner did this, which is taken back afterwards."""
    async with store.writer.connect() as connection:
        assert await connection.run_sync(guards.missing) == []
        for script in scripts:
            await connection.exec_driver_sql(script)
        found = await connection.run_sync(guards.missing)
        await connection.rollback()
    return list(found)


@ON_SQLITE
def test_sqlite_shows_what_is_gone(on_stores: OnStores) -> None:
    name = "guard_interaction_logs_delete"

    async def scene(store: Any) -> None:
        drop = f"DROP TRIGGER {name}"
        assert await missing_after(store, drop) == [name]
        idle = f"CREATE TRIGGER {name} BEFORE DELETE ON interaction_logs WHEN false BEGIN SELECT 1; END"
        assert await missing_after(store, drop, idle) == [name]
        assert await missing_after(store, "ALTER TABLE log_leaves RENAME TO leaves") == [
            "guard_log_leaves_update",
            "guard_log_leaves_delete",
            "guard_log_leaves_insert",
        ]
        assert await missing_after(store, "DROP TABLE history_payloads") == [
            "guard_history_payloads_update",
            "guard_history_payloads_insert",
        ]

    on_stores(scene)


@ON_POSTGRESQL
def test_postgresql_shows_what_is_gone(on_stores: OnStores) -> None:
    name = "guard_interaction_logs_delete"
    create = f"CREATE TRIGGER {name} BEFORE DELETE ON interaction_logs"
    idle = "RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN OLD; END $$"

    async def scene(store: Any) -> None:
        for script in (
            f"DROP TRIGGER {name} ON interaction_logs",
            f"ALTER TABLE interaction_logs DISABLE TRIGGER {name}",
            f"ALTER TABLE interaction_logs ENABLE TRIGGER {name}",
            f"ALTER TABLE interaction_logs ENABLE REPLICA TRIGGER {name}",
            f"ALTER TRIGGER {name} ON interaction_logs RENAME TO other",
        ):
            assert await missing_after(store, script) == [name]
        again = (f"DROP TRIGGER {name} ON interaction_logs", f"CREATE FUNCTION idle() {idle}")
        always = f"ALTER TABLE interaction_logs ENABLE ALWAYS TRIGGER {name}"
        for how in (
            "FOR EACH ROW EXECUTE FUNCTION idle()",
            "FOR EACH STATEMENT EXECUTE FUNCTION guard_refuse()",
            "FOR EACH ROW WHEN (false) EXECUTE FUNCTION guard_refuse()",
        ):
            assert await missing_after(store, *again, f"{create} {how}", always) == [name]
        narrow = create.replace("delete", "update").replace("DELETE", "UPDATE OF unit")
        update = name.replace("delete", "update")
        narrowed = (
            f"DROP TRIGGER {update} ON interaction_logs",
            f"{narrow} FOR EACH ROW EXECUTE FUNCTION guard_refuse()",
            always.replace(name, update),
        )
        assert await missing_after(store, *narrowed) == [update]

        number = "guard_number_interaction_logs"
        replaced = f"CREATE OR REPLACE FUNCTION {number}() {idle.replace('OLD', 'NEW')}"
        assert await missing_after(store, replaced) == ["guard_interaction_logs_insert"]
        assert await missing_after(store, f"ALTER FUNCTION {number}() RESET ALL") == [
            "guard_interaction_logs_insert"
        ]
        everything = await missing_after(store, f"CREATE OR REPLACE FUNCTION guard_refuse() {idle}")
        assert len(everything) == 3 * len(guards.APPEND_ONLY) + 2 * len(guards.ERASABLE)
        assert await missing_after(store, "ALTER TABLE log_leaves RENAME TO leaves") == [
            "guard_log_leaves_update",
            "guard_log_leaves_delete",
            "guard_log_leaves_truncate",
        ]

    on_stores(scene)


def test_they_can_be_removed_and_installed_again(on_stores: OnStores) -> None:
    async def scene(store: Any) -> None:
        async with store.writer.begin() as connection:
            await connection.run_sync(guards.remove)
            assert "guard_log_leaves_update" in await connection.run_sync(guards.missing)
            await connection.exec_driver_sql('INSERT INTO log_leaves ("index", seq) VALUES (0, 1)')
            await connection.exec_driver_sql("UPDATE log_leaves SET seq = 9")
            await connection.run_sync(guards.install)
            assert await connection.run_sync(guards.missing) == []
        with pytest.raises(IntegrityError, match="only grows"):
            await store.sql("UPDATE log_leaves SET seq = 8")

    on_stores(scene)
