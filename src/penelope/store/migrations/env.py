"""Lets Alembic run inside the connection that store/database.py hands it."""

from alembic import context

from penelope.store.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transaction_per_migration=False,
)
with context.begin_transaction():
    context.run_migrations()
