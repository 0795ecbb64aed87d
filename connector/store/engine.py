"""The two database engines and what we demand of them.

SQLite is the embedded default for one process; PostgreSQL lets several processes share the work. Whatever differs
between the two is here and in the few places that ask `Database.embedded`.

SQLite, source https://www.sqlite.org/wal.html and https://www.sqlite.org/lang_transaction.html, read 2026-11-22:
write-ahead log, so that readers and the writer do not wait for each other; `synchronous=FULL`, because in that mode a
weaker setting may lose the last commits at a power cut; `BEGIN IMMEDIATE` for whatever writes, because a transaction
that reads first and writes later fails at once when another writer came between, without any waiting.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from math import ceil
from pathlib import Path
from threading import Lock
from typing import Any, Final

from sqlalchemy import URL, Connection, Engine, Insert, Table, create_engine, event, exc, make_url

from connector.errors import ConfigError, DatabaseError

WAIT: Final = timedelta(seconds=10)
"""How long a locked database is waited for before the call gives up with `DatabaseError`."""

_WRITES: Final = "connector_writes"
_CACHE_KILOBYTES: Final = 256
_PREPARED_STATEMENTS: Final = 32
"""Both per connection, of which the service has about a dozen. With the defaults (2 MB of pages, 128 statements, some
of them for 80 rows at once) they were all that it still grew by after its first hundred cases. What is not in the
cache is in the system's. Source: https://sqlite.org/pragma.html#pragma_cache_size, read 2026-11-22."""


def database_url(text: str) -> URL:
    """The address as SQLAlchemy wants it, with the driver that we use.

    Raises:
        ConfigError: Not an address, not one of our two engines, or a SQLite database that is no plain file.
            The message does not repeat the address: somebody may have written a password into it.
    """
    try:
        url = make_url(text)
    except (exc.ArgumentError, ValueError):
        raise ConfigError(
            "database: this is not a database address. Write sqlite:////path/to/file.db or postgresql://user@host/name."
        ) from None
    backend = url.drivername.partition("+")[0]
    if backend in ("postgresql", "postgres"):
        return url.set(drivername="postgresql+psycopg")
    if backend != "sqlite":
        raise ConfigError(f"database: {backend} is not supported. Use sqlite:////path/to/file.db or postgresql://…")
    if not url.database or url.database == ":memory:" or url.database.startswith("file:"):
        raise ConfigError("database: SQLite needs a file that outlives the process. Write sqlite:////path/to/file.db.")
    return url.set(drivername="sqlite+pysqlite")


def sqlite_file(url: URL) -> Path | None:
    """The file of a SQLite database; `None` for PostgreSQL.

    Raises:
        ConfigError: Its directory does not exist.
    """
    if url.get_backend_name() != "sqlite":
        return None
    path = Path(url.database or "").absolute()
    if not path.parent.is_dir():
        raise ConfigError(f"database: the directory {path.parent} does not exist. Create it, writable for the service.")
    return path


class Database:
    """One engine, safe to use from several threads. Makes transactions and translates the driver's errors.

    Attributes:
        name: For messages: the file, or user, host and database; never a password.
        embedded: SQLite: one process, one writer at a time.
    """

    def __init__(self, address: str, *, wait: timedelta = WAIT, create: bool = False) -> None:
        """Nothing is opened yet; the first transaction does.

        Args:
            create: Make the file of a SQLite database that does not exist; for migrations. Everybody else must
                not: an empty database in the place of a lost one would look like a fresh start.

        Raises:
            ConfigError: See `database_url` and `sqlite_file`; or the PostgreSQL driver is not installed.
        """
        url = database_url(address)
        path = sqlite_file(url)
        self.embedded: Final = path is not None
        # The query part is left out as well: libpq takes passwords there, too.
        self.name: Final = str(path or url.set(drivername="postgresql", query={}))
        self._path: Final = path
        self._create: Final = create
        self.engine: Final = _sqlite_engine(url, wait) if self.embedded else _postgres_engine(url, wait)
        self._writer: Final = self.engine.execution_options(**{_WRITES: True})
        # SQLite lets waiting writers sleep and try again, so an unlucky thread may wait for long. Threads of this
        # process queue here instead, and only other processes are met at the database's own lock.
        self._gate: Final = Lock() if self.embedded else None
        self._wait: Final = wait

    @contextmanager
    def reading(self, *, snapshot: bool = False) -> Iterator[Connection]:
        """A transaction that writes nothing.

        Args:
            snapshot: Every statement sees the same moment (always so on SQLite).

        Raises:
            DatabaseError: Locked for long, full, damaged or gone.
        """
        self._look_for_file()
        with self._translated(), self.engine.connect() as connection:
            if snapshot and not self.embedded:
                connection.execution_options(isolation_level="REPEATABLE READ")
            with connection.begin():
                yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that may write. An exception from within undoes everything and passes on.

        Raises:
            DatabaseError: Locked for long, full, damaged or gone; nothing was written. Only when the connection
                to PostgreSQL breaks during the commit itself can the change have been kept all the same: the
                version of a case then tells.
        """
        self._look_for_file()
        if self._gate is not None and not self._gate.acquire(timeout=self._wait.total_seconds()):
            raise DatabaseError(self._message("SQLITE_BUSY"))
        try:
            with self._translated(), self._writer.begin() as connection:
                yield connection
        finally:
            if self._gate is not None:
                self._gate.release()

    def insert_or_ignore(self, table: Table) -> Insert:
        """An insert that skips rows whose key exists already; `rowcount` tells how many were new."""
        # Imported here: with both, whoever only opens a database would load 2 MB for the one that it has not.
        query: Insert
        if self.embedded:
            from sqlalchemy.dialects import sqlite

            query = sqlite.insert(table).on_conflict_do_nothing()
        else:
            from sqlalchemy.dialects import postgresql

            query = postgresql.insert(table).on_conflict_do_nothing()
        return query.execution_options(preserve_rowcount=True)  # SQLAlchemy drops it for inserts otherwise

    def close(self) -> None:
        """Close every pooled connection. A later call opens new ones."""
        self.engine.dispose()

    def _look_for_file(self) -> None:
        # Open connections would go on writing into a file that has been removed, and all of that would be lost.
        if self._path is None or self._path.exists():
            return
        if self._create:
            # It will hold names and addresses, so nobody else on this machine may read it. SQLite gives the files
            # that it puts beside it the same rights. (Windows takes those of the directory.)
            try:
                self._path.touch(mode=0o600)
            except OSError as error:
                raise ConfigError(
                    f"database: {self._path} cannot be made ({error.strerror}). Let the service write there."
                ) from error
        else:
            self.engine.dispose()
            raise DatabaseError(
                f"The database is gone: {self.name} does not exist. Put the file back (or restore a backup); "
                "for a fresh start run: connector migrate"
            )

    @contextmanager
    def _translated(self) -> Iterator[None]:
        # Wrong SQL, a broken constraint or a value that does not fit are bugs: those pass on as they are.
        try:
            yield
        except exc.TimeoutError as error:
            raise DatabaseError(self._message("no free connection")) from error
        except exc.DBAPIError as error:
            code = _code(error)
            away = isinstance(error, exc.OperationalError | exc.InterfaceError | exc.InternalError)
            if not away and type(error) is not exc.DatabaseError:  # plain: SQLite's "not a database", "malformed"
                raise
            if code == "SQLITE_ERROR":  # wrong SQL or no such table, which SQLite also calls operational
                raise
            raise DatabaseError(self._message(code)) from error

    def _message(self, code: str) -> str:
        # The driver's own text is left out: it can quote values.
        todo = (
            "Look whether the disk is full and whether another program holds the file"
            if self.embedded
            else "Look whether the server runs, can be reached and lets this user in"
        )
        return f"The database did not do what was asked ({code}): {self.name}. {todo}; it is tried again by itself."


def _code(error: exc.DBAPIError) -> str:
    cause = error.orig
    code = getattr(cause, "sqlite_errorname", None) or getattr(cause, "sqlstate", None)
    return str(code or type(cause).__name__)


def _sqlite_engine(url: URL, wait: timedelta) -> Engine:
    engine = create_engine(
        url,
        connect_args={
            "timeout": wait.total_seconds(),  # the busy timeout
            "cached_statements": _PREPARED_STATEMENTS,
        },
        pool_size=8,
        max_overflow=8,
        pool_timeout=wait.total_seconds(),
        hide_parameters=True,
    )

    @event.listens_for(engine, "connect")
    def prepare(connection: sqlite3.Connection, _record: object) -> None:
        # The driver's own idea of when a transaction starts is switched off; `begin` below says it. Source:
        # https://docs.sqlalchemy.org/en/21/dialects/sqlite.html ("Using SQLAlchemy to emit BEGIN"), read 2026-11-22.
        connection.isolation_level = None
        mode = _journal_mode(connection, wait)
        if mode != "wal":
            raise ConfigError(
                f"database: {url.database} cannot keep a write-ahead log (it says {mode}). "
                "Put the file on a local disk, not on a network share."
            )
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA foreign_keys=ON")
        connection.execute(f"PRAGMA cache_size=-{_CACHE_KILOBYTES}")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get(_WRITES, False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _journal_mode(connection: sqlite3.Connection, wait: timedelta) -> str:
    """Switch to the write-ahead log, which stays with the file. Returns the mode that it has now."""
    # Of several processes that switch a new file at the same moment, SQLite fails some at once, without the wait that
    # it grants everywhere else. (4 of 100 starts when six at a time were tried.)
    deadline = time.monotonic() + wait.total_seconds()
    while True:
        try:
            return str(connection.execute("PRAGMA journal_mode=WAL").fetchone()[0])
        except sqlite3.OperationalError as error:
            if not error.sqlite_errorname.startswith("SQLITE_BUSY") or time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def _postgres_engine(url: URL, wait: timedelta) -> Engine:
    # libpq counts whole seconds, and takes 1 for 2.
    options: dict[str, Any] = {} if "connect_timeout" in url.query else {"connect_timeout": ceil(wait.total_seconds())}
    milliseconds = max(1, round(wait.total_seconds() * 1000))  # 0 would mean: for ever
    try:
        engine = create_engine(
            url,
            connect_args=options,
            isolation_level="READ COMMITTED",
            pool_size=8,
            max_overflow=8,
            pool_timeout=wait.total_seconds(),
            pool_recycle=1800,  # firewalls forget quiet connections
            hide_parameters=True,
        )
    except ImportError as error:
        raise ConfigError(
            "database: the PostgreSQL driver is not installed. Run: pip install 'psa-reset-connector[postgres]'"
        ) from error

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _record: object) -> None:
        with connection.cursor() as cursor:
            cursor.execute(f"SET lock_timeout = {milliseconds}")
            # A process that froze in the middle must not hold its locks for ever.
            cursor.execute("SET idle_in_transaction_session_timeout = '60s'")
        connection.commit()

    return engine
