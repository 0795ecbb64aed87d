"""One process per SQLite database: SQLite is for one connector; several share their work through PostgreSQL."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from connector.errors import ConfigError
from connector.store.engine import database_url, sqlite_file


@contextmanager
def exclusive(address: str, *, who: str = "connector") -> Iterator[None]:
    """Hold a SQLite database for this process alone, as long as the block runs; nothing to do on PostgreSQL.

    The lock is SQLite's own, held on the small file `<database>.lock` beside it: the same on every system, and the
    system frees it when the process dies, however it dies. The file stays and means nothing by itself.

    Args:
        who: What the other process would be, for the message.

    Raises:
        ConfigError: Another process holds it, or the file cannot be made.
    """
    path = sqlite_file(database_url(address))
    if path is None:
        yield
        return
    real = path.resolve()  # two names of one file are one database
    lock = real.with_name(real.name + ".lock")
    try:
        connection = sqlite3.connect(lock, timeout=0, isolation_level=None, check_same_thread=False)
    except sqlite3.Error as error:
        raise ConfigError(f"database: the lock file {lock} cannot be opened. Let the service write there.") from error
    try:
        try:
            connection.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorname.startswith("SQLITE_BUSY"):
                raise ConfigError(
                    f"database: another {who} already works with {path}. Stop it first; to share the work "
                    "between several processes, use PostgreSQL."
                ) from error
            raise ConfigError(
                f"database: the lock file {lock} cannot be locked ({error.sqlite_errorname}). "
                "Let the service write there."
            ) from error
        yield
    finally:
        connection.close()
