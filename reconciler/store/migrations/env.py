"""Alembic's entry: migrations run on the connection that the store opened."""

from alembic import context

from reconciler.store.tables import METADATA

context.configure(connection=context.config.attributes["connection"], target_metadata=METADATA, transactional_ddl=True)
with context.begin_transaction():
    context.run_migrations()
