"""Runs the history of the link service's tables on the connection that `connector.migrations` opened.

The transaction is the caller's: everything or nothing, also on SQLite.
"""

from alembic import context

from connector.secretlink.service.store.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    version_table=context.config.attributes["version_table"],
    target_metadata=metadata,
    render_as_batch=True,  # SQLite can hardly change a table; alembic then copies it
)
with context.begin_transaction():
    context.run_migrations()
