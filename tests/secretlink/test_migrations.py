"""The migrations make exactly the tables that the code uses."""

from __future__ import annotations

import re
from pathlib import Path

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from sqlalchemy import CheckConstraint, column, create_engine, insert, inspect, select, text
from sqlalchemy import table as table_of

import connector.migrations
from connector.migrations import upgrade
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


def test_what_was_there_before_there_were_marks_counts_as_written_now(tmp_path: Path) -> None:
    database = f"sqlite:///{(tmp_path / 'older.db').as_posix()}"
    config = Config()
    config.set_main_option("script_location", str(Path(connector.migrations.__file__).parent / "links"))
    config.set_main_option("path_separator", "os")
    config.attributes["version_table"] = "alembic_version_links"
    engine = open_engine(database)
    alarm = {"id": "alarm-1", "pepper_id": "p", "about": "case-1", "source": "notice", "created_ms": 1, "expires_at": 1,
             "display_name": "Anna", "ticket": "1", "time_zone": "UTC", "locale": "en",
             "lookup_mac": bytes(32), "content_mac": bytes(32)}  # fmt: skip
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0003")
        connection.execute(text("INSERT INTO event (seq, kind, at_ms, mac) VALUES (7, 'created', 1, x'00')"))
        older_alarm = table_of("alarm", *(column(name) for name in alarm))
        connection.execute(insert(older_alarm).values(**alarm))
    upgrade(database, "links")
    with engine.connect() as connection:
        assert connection.execute(select(tables.alarm.c.made_seq)).scalars().all() == [7]
        assert connection.execute(select(tables.mark)).all() == []
    engine.dispose()


def _words(where: str) -> str:
    """A condition without the brackets and casts that PostgreSQL writes into it."""
    return re.sub(r"[()]|::text", "", where)
