"""The store in a real PostgreSQL."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest
from sqlalchemy import create_engine, text

from connector.errors import ConfigError, DatabaseError
from connector.store import SqlCaseStore, exclusive, open_store
from connector.store.engine import database_url
from tests.contracts.case_store import NOW, hold, note, open_case
from tests.store.sql import SHORT, SqlStoreContract


@contextmanager
def someone_else(url: str) -> Iterator[Callable[[str], None]]:
    """A connection that is not the store's; runs statements in one transaction, undone at the end."""
    engine = create_engine(database_url(url))
    with engine.connect() as connection:

        def execute(statement: str) -> None:
            connection.execute(text(statement))

        yield execute
        connection.rollback()
    engine.dispose()


class TestPostgresCaseStore(SqlStoreContract):
    @pytest.fixture
    def url(self, postgres: str) -> str:
        return postgres

    @pytest.fixture
    def lock(self, url: str) -> Callable[[], AbstractContextManager[None]]:
        @contextmanager
        def locked() -> Iterator[None]:
            with someone_else(url) as execute:
                execute("LOCK TABLE cases IN SHARE ROW EXCLUSIVE MODE")
                yield

        return locked

    def test_a_restarted_server_is_a_temporary_error_and_nothing_is_lost(self, url: str, store: SqlCaseStore) -> None:
        case = hold(store, open_case(store).id)
        with someone_else(url) as execute:
            execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        with pytest.raises(DatabaseError):
            store.save(case, now=NOW, messages=[note("a")])
        assert store.outbox(case.id) == []
        store.save(case, now=NOW, messages=[note("a")])
        assert len(store.outbox(case.id)) == 1


def test_a_server_that_is_away_is_a_temporary_error_that_shows_no_password() -> None:
    store = open_store("postgresql://anna:hidden-word@127.0.0.1:1/connector?sslpassword=hidden-word", wait=SHORT)
    with pytest.raises(DatabaseError) as caught:
        store.cases()
    assert "127.0.0.1" in str(caught.value)
    assert "hidden-word" not in f"{caught.value!r} {caught.value.__cause__!r}"


def test_several_processes_may_share_postgres() -> None:
    with exclusive("postgresql://127.0.0.1:1/connector"), exclusive("postgresql://127.0.0.1:1/connector"):
        pass


def test_a_missing_driver_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(ConfigError, match=r"psa-reset-connector\[postgres\]"):
        open_store("postgresql://127.0.0.1:1/connector")
