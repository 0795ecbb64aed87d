"""Databases are brought up to date by whoever starts first, and never by an older program."""

from __future__ import annotations

import multiprocessing
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, text

from connector import migrations
from connector.core.ports import ChangedTicket
from connector.errors import ConfigError, DatabaseError
from connector.migrations import NEWEST, current, upgrade
from connector.store import open_store, tables
from connector.store.audit import START
from connector.store.engine import Database

PROCESSES = 4


@pytest.fixture(params=["sqlite", "postgres"])
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of a database that nobody has used yet."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'with 100% blanks.db'}"
    return str(request.getfixturevalue("empty_postgres"))


@pytest.fixture
def database(empty: str) -> Iterator[Database]:
    database = Database(empty, create=True)
    yield database
    database.close()


def test_an_empty_database_becomes_what_the_code_expects(empty: str, database: Database) -> None:
    assert current(empty, "connector") is None
    upgrade(empty, "connector")
    assert current(empty, "connector") == NEWEST["connector"]
    with database.reading() as connection:
        options = {"version_table": "alembic_version_connector", "compare_type": True, "compare_server_default": True}
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, tables.metadata) == []


def test_names_of_keys_and_constraints_are_those_of_the_tables(empty: str, database: Database) -> None:
    # `compare_metadata` does not look at these.
    upgrade(empty, "connector")
    with database.reading() as connection:
        found = inspect(connection)
        for table in tables.metadata.sorted_tables:
            assert found.get_pk_constraint(table.name)["name"] == table.primary_key.name
            assert found.get_pk_constraint(table.name)["constrained_columns"] == [c.name for c in table.primary_key]
            assert {key["name"] for key in found.get_foreign_keys(table.name)} == {
                key.name for key in table.foreign_key_constraints
            }


@pytest.mark.skipif(sys.platform == "win32", reason="Windows takes the rights of the directory")
def test_a_new_file_is_for_nobody_elses_eyes(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'connector.db'}"
    upgrade(url, "connector")
    store = open_store(url)
    store.note_tickets("halo", [ChangedTicket("1", "1")], now=datetime.now(UTC))
    modes = {file.name: file.stat().st_mode & 0o077 for file in tmp_path.iterdir()}
    store.close()
    assert modes == {"connector.db": 0, "connector.db-wal": 0, "connector.db-shm": 0}


def test_asking_for_the_revision_makes_no_file(tmp_path: Path) -> None:
    assert current(f"sqlite:///{tmp_path / 'connector.db'}", "connector") is None
    assert list(tmp_path.iterdir()) == []


def test_a_repeat_changes_nothing(empty: str, database: Database) -> None:
    upgrade(empty, "connector")
    with database.writing() as connection:
        connection.execute(tables.poll.insert().values(name="psa.halo", cursor="c1"))
    upgrade(empty, "connector")
    with database.reading() as connection:
        assert connection.execute(text("SELECT name FROM poll")).scalar() == "psa.halo"


def test_the_audit_begins_where_the_code_begins(empty: str) -> None:
    upgrade(empty, "connector")
    store = open_store(empty)
    assert store.head() == START
    store.close()


def test_of_several_processes_that_start_at_once_one_does_it_and_all_go_on(empty: str) -> None:
    with multiprocessing.get_context("spawn").Pool(PROCESSES) as pool:
        pool.starmap(upgrade, [(empty, "connector")] * PROCESSES, chunksize=1)
    assert current(empty, "connector") == NEWEST["connector"]


def test_a_database_of_a_newer_version_is_refused_and_left_alone(empty: str, database: Database) -> None:
    upgrade(empty, "connector")
    with database.writing() as connection:
        connection.execute(text("UPDATE alembic_version_connector SET version_num = '9999'"))
    for use in (upgrade, current):
        with pytest.raises(ConfigError, match="newer version") as caught:
            use(empty, "connector")
        assert database.name in str(caught.value)
    with database.reading() as connection:
        assert connection.execute(text("SELECT version_num FROM alembic_version_connector")).scalar() == "9999"


def test_a_failed_migration_leaves_nothing_behind(empty: str, database: Database) -> None:
    with database.writing() as connection:
        connection.execute(text("CREATE TABLE pause (other INTEGER)"))  # the last one to be made
    with pytest.raises(Exception, match="pause"):
        upgrade(empty, "connector")
    with database.reading() as connection:
        assert inspect(connection).get_table_names() == ["pause"]


def test_an_unreachable_database_is_a_temporary_error() -> None:
    with pytest.raises(DatabaseError):
        current("postgresql://127.0.0.1:1/connector", "connector")


def test_both_histories_fit_into_one_database(empty: str, database: Database) -> None:
    upgrade(empty, "links")
    upgrade(empty, "connector")
    assert current(empty, "links") == NEWEST["links"]
    assert current(empty, "connector") == NEWEST["connector"]
    with database.reading() as connection:
        assert {"link", "event", *tables.metadata.tables} <= set(inspect(connection).get_table_names())


@pytest.mark.parametrize("history", ["connector", "links"])
def test_the_newest_revision_is_that_of_the_files(history: str) -> None:
    folder = Path(migrations.__file__).parent / history
    assert ScriptDirectory(str(folder)).get_current_head() == NEWEST[history]  # type: ignore[index]
