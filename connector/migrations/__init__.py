"""Bringing a database up to date. Two histories, `connector` and `links`, each with its own version table, so that one
PostgreSQL database can hold both. Alembic is driven from here; there is no ini file.

A history is a directory beside this file with `env.py` and `versions/`. Its `env.py` finds the open connection in
`config.attributes["connection"]` and the version table's name in `config.attributes["version_table"]`.

Alembic is imported only when something has to be done: it takes as long to load as everything else that
`connector check` needs, and 9 MB for as long as a service runs.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from sqlalchemy import Connection, column, inspect, select, text
from sqlalchemy import table as table_of

from connector.errors import ConfigError
from connector.store.engine import Database, database_url, sqlite_file

if TYPE_CHECKING:
    from alembic.config import Config

History = Literal["connector", "links"]

WAIT: Final = timedelta(minutes=1)
"""How long a start waits for another process that migrates the same database."""

NEWEST: Final[dict[History, str]] = {"connector": "0004", "links": "0005"}
"""The revision that this version of the program works with; a test holds it against the files."""

# Any number will do as long as every version of this package uses the same ones.
_LOCKS: Final[dict[History, int]] = {"connector": 7_303_014_001, "links": 7_303_014_002}


def upgrade(url: str, history: History) -> None:
    """Bring an empty or older database up to date. All of it or nothing; a repeat changes nothing.

    Of several processes that start at once, one does the work and the others wait for it.

    Raises:
        ConfigError: The address is wrong, or a newer version of this package has already changed the database.
        DatabaseError: The database cannot be reached, or somebody else has locked it for more than a minute.
    """
    database = Database(url, wait=WAIT, create=True)
    try:
        with database.reading() as connection:
            if _found(connection, history, database.name) == NEWEST[history]:
                return
        from alembic import command

        with database.writing() as connection:
            if not database.embedded:  # SQLite: the writing transaction is the lock
                connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCKS[history]})
            if _found(connection, history, database.name) != NEWEST[history]:
                command.upgrade(_config(history, connection), "head")
    finally:
        database.close()


def is_newest(url: str, history: History) -> bool:
    """Whether there is nothing for `upgrade` to do. Changes nothing, and does not load Alembic.

    Raises:
        ConfigError: The address is wrong.
        DatabaseError: The database cannot be reached.
    """
    path = sqlite_file(database_url(url))
    if path is not None and not path.exists():
        return False
    database = Database(url)
    try:
        with database.reading() as connection:
            return _revision(connection, history) == NEWEST[history]
    finally:
        database.close()


def current(url: str, history: History) -> str | None:
    """The revision of the database; `None` when this history has not begun there. Changes nothing.

    Raises:
        ConfigError: As `upgrade`.
        DatabaseError: The database cannot be reached.
    """
    path = sqlite_file(database_url(url))
    if path is not None and not path.exists():
        return None
    database = Database(url)
    try:
        with database.reading() as connection:
            return _found(connection, history, database.name)
    finally:
        database.close()


def _found(connection: Connection, history: History, name: str) -> str | None:
    revision = _revision(connection, history)
    if revision is None or revision == NEWEST[history]:
        return revision
    from alembic.script import ScriptDirectory

    known = {script.revision for script in ScriptDirectory.from_config(_config(history)).walk_revisions()}
    if revision not in known:
        raise ConfigError(
            f"database: a newer version of this program has changed {name} (revision {revision} of the {history} "
            "tables is not known here). Install that version again, or restore the backup made before the update."
        )
    return revision


def _revision(connection: Connection, history: History) -> str | None:
    table = _version_table(history)
    if not inspect(connection).has_table(table):
        return None
    revision = connection.execute(select(column("version_num")).select_from(table_of(table))).scalar()
    return None if revision is None else str(revision)


def _version_table(history: History) -> str:
    return f"alembic_version_{history}"


def _config(history: History, connection: Connection | None = None) -> Config:
    from alembic.config import Config

    config = Config()
    directory = Path(__file__).parent / history
    config.set_main_option("script_location", str(directory).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    config.attributes["version_table"] = _version_table(history)
    return config
