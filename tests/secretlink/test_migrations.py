"""The migrations make exactly the tables that the code uses."""

from __future__ import annotations

from pathlib import Path

from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import CheckConstraint, create_engine, inspect

from connector.secretlink.service.store import tables
from tests.secretlink.support import make_database


def test_the_migrations_and_the_tables_of_the_code_are_the_same(tmp_path: Path) -> None:
    engine = create_engine(make_database(tmp_path))
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": "alembic_version_links"})
        assert compare_metadata(context, tables.metadata) == []
        # Alembic does not compare checks; they are half of the promises.
        for table in tables.metadata.sorted_tables:
            wanted = {str(rule.sqltext) for rule in table.constraints if isinstance(rule, CheckConstraint)}
            assert {rule["sqltext"] for rule in inspect(connection).get_check_constraints(table.name)} == wanted
    engine.dispose()
