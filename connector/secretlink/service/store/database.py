"""Connections to the link service's database, set up so that a counted view stays counted."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, Final

from sqlalchemy import Connection, Engine, create_engine, event, false, inspect, select, text, update
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from connector.errors import ConfigError
from connector.secretlink.service.store.tables import link

_BUSY_WAIT: Final = timedelta(seconds=10)
_CACHE_KILOBYTES: Final = 256
"""Of SQLite's pages, per connection, by default 2 MB: all else is in the system's cache.
Source: https://sqlite.org/pragma.html#pragma_cache_size, read 2026-11-22."""
_MILLISECOND: Final = timedelta(milliseconds=1)
# "lnks"; any fixed number, the same in every process
_TAKE_THE_WRITERS_LOCK: Final = text(f"SELECT pg_advisory_xact_lock({0x6C6E6B73})")


def open_engine(url: str) -> Engine:
    """Make the engine. Nothing is connected yet.

    SQLite: the driver's own transaction handling is switched off and every writing transaction starts with
    `BEGIN IMMEDIATE`, so that two claims never read the same count; `synchronous=FULL`, because with `NORMAL` a power
    cut may forget a counted view; `secure_delete=ON`, so that wiped blobs are overwritten in the file.

    PostgreSQL: `READ COMMITTED` for what writes, where the row lock makes the second of two claims look at the
    condition again. A process that freezes in the middle of a transaction loses it after `_BUSY_WAIT`, so that it holds
    nobody up forever. A server that is set up to confirm before it has written is asked to write first, for our
    connections.

    Raises:
        ConfigError: The address of the database is not one, or its driver is not installed.
    """
    try:
        parsed = make_url(url)
        if parsed.get_backend_name() == "sqlite":
            # `hide_parameters`: SQLAlchemy's errors otherwise quote a statement's values.
            engine = create_engine(
                parsed,
                hide_parameters=True,
                connect_args={"timeout": _BUSY_WAIT.total_seconds(), "isolation_level": None},
            )
            event.listen(engine, "connect", _prepare_sqlite)
            return engine
        if parsed.get_backend_name() == "postgresql":
            if parsed.drivername == "postgresql":
                parsed = parsed.set(drivername="postgresql+psycopg")
            engine = create_engine(parsed, hide_parameters=True, isolation_level="READ COMMITTED", pool_pre_ping=True)
            event.listen(engine, "connect", _prepare_postgresql)
            return engine
    except (ArgumentError, ImportError, ValueError) as error:
        raise ConfigError(
            f"The link service's database address cannot be used ({type(error).__name__}). "
            "Write it like sqlite:////var/lib/links/links.db."
        ) from None
    raise ConfigError(
        f"The link service's database cannot be of the kind {parsed.get_backend_name()!r}. "
        "Write it like sqlite:////var/lib/links/links.db."
    )


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """A transaction that writes, one at a time over all threads and processes; committed when the block ends.

    SQLite has one writer anyway. On PostgreSQL an advisory lock makes it so: events then commit in the order of their
    numbers, and two transactions never wait for each other's rows.
    """
    with engine.begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(_TAKE_THE_WRITERS_LOCK)
        else:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        yield connection


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """A connection that only reads: on SQLite it does not wait for a writer. All its statements see the same moment."""
    with engine.connect() as connection:
        if engine.dialect.name == "postgresql":
            # With `READ COMMITTED` each statement sees another: rows may be gone that the one before counted on.
            connection.execution_options(isolation_level="REPEATABLE READ")
        else:
            connection.exec_driver_sql("BEGIN")
        yield connection


def looking(engine: Engine) -> Connection:
    """A connection for one statement that reads. SQLite needs no transaction around it."""
    return engine.connect()


def require_tables(engine: Engine) -> None:
    """Look whether the schema is there.

    Raises:
        ConfigError: It is not, or the database cannot be opened.
    """
    try:
        missing = {"link", "event", "alarm", "mark"} - set(inspect(engine).get_table_names())
    except SQLAlchemyError as error:
        raise ConfigError(
            f"The link service's database cannot be opened ({type(error).__name__}). "
            "Check `database`: the folder must exist and be writable for this user."
        ) from None
    if missing:
        raise ConfigError(
            "The link service's database is empty or from an older version. "
            "Bring it up to date with: connector --config FILE migrate"
        )


def try_to_write(engine: Engine) -> None:
    """Read from the links, and begin to change them; nothing is changed, and nothing written to the disk.

    This does not wait for another writer: anybody may ask, and everybody's requests would wait with them.

    Raises:
        SQLAlchemyError: The database is away, damaged, held by another program, or can only be read.
    """
    with _without_waiting(engine) as connection:
        connection.execute(select(link.c.id).limit(1)).first()
        # A file that can only be read takes a `BEGIN IMMEDIATE`, and refuses the first statement that changes
        # something, though there be no row for it. Tried with SQLite 3.40, 2026-11-22.
        connection.execute(update(link).where(false()).values(views=link.c.views))
        connection.rollback()


def checkpoint(engine: Engine) -> None:
    """Fold SQLite's write-ahead log back into the file and empty it, so that old pages do not stay there.

    A reader in the way only means that the log is emptied next time.

    Raises:
        SQLAlchemyError: The disk is full or gone.
    """
    if engine.dialect.name != "sqlite":
        return
    with _without_waiting(engine) as connection:  # a backup may read for minutes
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").close()


@contextmanager
def _without_waiting(engine: Engine) -> Iterator[Connection]:
    """A connection that on SQLite waits for nobody. PostgreSQL's readers and unlocked rows wait for nobody as it is."""
    with looking(engine) as connection:
        if engine.dialect.name != "sqlite":
            yield connection
            return
        connection.exec_driver_sql("PRAGMA busy_timeout=0").close()
        try:
            yield connection
        finally:
            connection.exec_driver_sql(f"PRAGMA busy_timeout={_BUSY_WAIT // _MILLISECOND}").close()


def _prepare_sqlite(connection: Any, _record: object) -> None:
    cache = f"cache_size=-{_CACHE_KILOBYTES}"
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "secure_delete=ON", "foreign_keys=ON", cache):
        connection.execute(f"PRAGMA {pragma}").close()


def _prepare_postgresql(connection: Any, _record: object) -> None:
    wait = f"{int(_BUSY_WAIT.total_seconds())}s"
    with connection.cursor() as cursor:
        cursor.execute(f"SET lock_timeout = '{wait}'")
        cursor.execute(f"SET idle_in_transaction_session_timeout = '{wait}'")
        cursor.execute(
            "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'"
        )
    connection.commit()
