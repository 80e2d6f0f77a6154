"""What the service's own role may do on PostgreSQL: everything that Penelope does, and nothing else to history."""

from collections.abc import Iterator, Sequence

from sqlalchemy import Connection, text

from penelope.errors import BadSettings
from penelope.store.decisions import TIE
from penelope.store.guards import APPEND_ONLY, ERASABLE, NUMBERED
from penelope.store.pgvector import made_by_hand
from penelope.store.tables import metadata

_ENGINE = "dbos"
"""The schema of the durable engine's tables."""

_FORBIDDEN = {
    **dict.fromkeys(APPEND_ONLY, ("UPDATE", "DELETE", "TRUNCATE", "TRIGGER")),
    **dict.fromkeys(ERASABLE, ("UPDATE", "TRUNCATE", "TRIGGER")),
}


def grant(connection: Connection, role: str) -> None:
    """Gives the role what the service needs of the operational store, and takes from it what it had beyond.

    Raises BadSettings where there is no such role, where it could change history all the same, and where the
    connection's own role does not own the tables.
    """
    _expect_role(connection, role)
    _expect_tables(connection, set(metadata.tables))
    name = _quoted(role)
    for statement in (*_store(connection, name), *_engine(connection, name)):
        connection.exec_driver_sql(statement.replace("%", "%%"))
    _expect_entrance(connection, role)
    powers = powers_over_history(connection, role)
    if powers:
        raise BadSettings(
            f"role {role} could still change history: {'; '.join(powers)}",
            hint="Take from it what it inherits or what PUBLIC may do, or name another role. Nothing was granted.",
        )


def grant_engine(connection: Connection, role: str) -> None:
    """Gives the role what the durable engine needs of its own database, where that is another one."""
    _expect_role(connection, role)
    for statement in _engine(connection, _quoted(role)):
        connection.exec_driver_sql(statement.replace("%", "%%"))


def powers_over_history(connection: Connection, role: str | None = None) -> list[str]:
    """By what the role, or else the connection's own, could change history, table by table. Empty for the service's.

    Owners, and who may become one, are named as such: they can take the guards away. Superusers are among them.
    """
    return [
        f"{table}: {power}"
        for table, forbidden in _FORBIDDEN.items()
        for power in _powers(connection, role, table, forbidden)
    ]


def _powers(connection: Connection, role: str | None, table: str, forbidden: Sequence[str]) -> list[str]:
    query = text(
        "SELECT pg_has_role(coalesce(:role, current_user), relowner, 'MEMBER') FROM pg_class "
        "WHERE oid = to_regclass(:table)"
    )
    if connection.execute(query, {"role": role, "table": table}).scalar():
        return ["its owner"]
    asked = text("SELECT has_table_privilege(coalesce(:role, current_user), to_regclass(:table), :power)")
    return [
        power
        for power in forbidden
        if connection.execute(asked, {"role": role, "table": table, "power": power}).scalar()
    ]


def _expect_role(connection: Connection, role: str) -> None:
    known = connection.execute(text("SELECT 1 FROM pg_roles WHERE rolname = :role"), {"role": role})
    if known.first() is None:
        message = f"the database knows no role {role!r}"
        raise BadSettings(message, hint="Make it first: CREATE ROLE name LOGIN PASSWORD '...'.")


def _expect_tables(connection: Connection, names: set[str]) -> None:
    query = "SELECT tablename, pg_has_role(current_user, tableowner, 'USAGE') FROM pg_tables WHERE schemaname = current_schema()"
    owned = dict(map(tuple, connection.exec_driver_sql(query)))
    if not names <= owned.keys():
        raise BadSettings("the tables are not there yet", hint="Run `penelope database migrate` first.")
    if not all(owned[name] for name in names):
        raise BadSettings(
            "this role does not own the tables, and so cannot grant anything",
            hint="Put the owner's URL into database.url for this command.",
        )


def _expect_entrance(connection: Connection, role: str) -> None:
    """Who owns the tables need not own the schema; granting its use then only warns."""
    query = text("SELECT current_schema(), has_schema_privilege(:role, current_schema(), 'USAGE')")
    schema, open_to_role = connection.execute(query, {"role": role}).one()
    if not open_to_role:
        raise BadSettings(
            f"role {role} may not use the schema {schema}, which another role owns",
            hint=f"Let its owner run: GRANT USAGE ON SCHEMA {schema} TO the role. Nothing was granted.",
        )


def _store(connection: Connection, role: str) -> Iterator[str]:
    schema = _quoted(str(connection.exec_driver_sql("SELECT current_schema()").scalar_one()))
    yield f"GRANT USAGE ON SCHEMA {schema} TO {role}"
    for table in (*metadata.tables, "alembic_version"):
        yield f"REVOKE ALL ON {table} FROM {role}"
        yield f"GRANT {_rights(table)} ON {table} TO {role}"
    for table in NUMBERED:
        # Identity columns count without asking; the guard of the numbers reads them.
        yield f"REVOKE ALL ON SEQUENCE {table}_seq_seq FROM {role}"
        yield f"GRANT SELECT ON SEQUENCE {table}_seq_seq TO {role}"
    for table in made_by_hand(connection):
        yield f"GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO {role}"
    yield f"REVOKE ALL ON SEQUENCE {TIE} FROM {role}"
    yield f"GRANT USAGE ON SEQUENCE {TIE} TO {role}"


def _rights(table: str) -> str:
    if table == "alembic_version":
        return "SELECT"
    if table in APPEND_ONLY:
        return "SELECT, INSERT"
    return "SELECT, INSERT, DELETE" if table in ERASABLE else "SELECT, INSERT, UPDATE, DELETE"


def _engine(connection: Connection, role: str) -> Iterator[str]:
    """The durable engine's tables. Its own list of grants is longer: it would let the role lay triggers into them,
    which run with the rights of whoever migrates next.
    """
    query = text("SELECT tablename FROM pg_tables WHERE schemaname = :schema ORDER BY tablename")
    tables = connection.execute(query, {"schema": _ENGINE}).scalars().all()
    if not tables:
        raise BadSettings(
            "the engine's tables are not there yet", hint="Run `penelope database migrate` first."
        )
    yield f"REVOKE ALL ON ALL TABLES IN SCHEMA {_ENGINE} FROM {role}"
    yield f"GRANT USAGE ON SCHEMA {_ENGINE} TO {role}"
    yield f"GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA {_ENGINE} TO {role}"
    yield f"GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA {_ENGINE} TO {role}"
    for table in tables:
        rights = "SELECT" if table.endswith("_migrations") else "SELECT, INSERT, UPDATE, DELETE"
        yield f"GRANT {rights} ON {_ENGINE}.{_quoted(table)} TO {role}"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
