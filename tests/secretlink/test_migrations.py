"""The migrations make exactly the tables that the code uses."""

from __future__ import annotations

import re
from pathlib import Path

from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import CheckConstraint, create_engine, inspect

from connector.secretlink.service.store import tables
from connector.secretlink.service.store.database import open_engine
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


def test_each_index_is_about_the_same_rows_as_in_the_code(either_database: str) -> None:
    wanted = {
        index.name: _words(str(where))
        for table in tables.metadata.sorted_tables
        for index in table.indexes
        if (where := index.dialect_options["sqlite"]["where"]) is not None
    }
    engine = open_engine(either_database)
    found = {
        index["name"]: _words(str(where))
        for table in tables.metadata.sorted_tables
        for index in inspect(engine).get_indexes(table.name)
        if (where := index["dialect_options"].get(f"{engine.dialect.name}_where")) is not None
    }
    engine.dispose()
    assert found == wanted
    assert len(wanted) == 5


def _words(where: str) -> str:
    """A condition without the brackets and casts that PostgreSQL writes into it."""
    return re.sub(r"[()]|::text", "", where)
