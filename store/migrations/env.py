"""Alembic's entry: runs the revisions on the connection it is handed, inside the caller's transaction."""

from alembic import context

from store.schema.tables import in_metadata, metadata

connection = context.config.attributes["connection"]
context.configure(
    connection=connection, target_metadata=metadata, transactional_ddl=True, include_name=in_metadata,
)
with context.begin_transaction():
    context.run_migrations()
