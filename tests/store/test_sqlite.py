"""The store in SQLite."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from connector.errors import ConfigError, DatabaseError
from connector.migrations import upgrade
from connector.store import SqlCaseStore, exclusive, open_store
from tests.contracts.case_store import NOW, hold, note, open_case, settle, ticket
from tests.store.sql import SHORT, SqlStoreContract


class TestSqliteCaseStore(SqlStoreContract):
    @pytest.fixture
    def file(self, tmp_path: Path) -> Path:
        return tmp_path / "connector.db"

    @pytest.fixture(scope="class")
    @classmethod
    def empty(cls, tmp_path_factory: pytest.TempPathFactory) -> Path:
        """What the migrations make of nothing; each test gets a copy."""
        file = tmp_path_factory.mktemp("empty") / "connector.db"
        upgrade(f"sqlite:///{file}", "connector")
        return file

    @pytest.fixture
    def url(self, file: Path, empty: Path) -> str:
        shutil.copyfile(empty, file)
        return f"sqlite:///{file}"

    @pytest.fixture
    def lock(self, file: Path) -> Callable[[], AbstractContextManager[None]]:
        @contextmanager
        def locked() -> Iterator[None]:
            with closing(sqlite3.connect(file, isolation_level=None)) as connection:
                connection.execute("BEGIN EXCLUSIVE")
                yield

        return locked

    def test_every_commit_reaches_the_disk_and_readers_do_not_wait(self, store: SqlCaseStore) -> None:
        with store.database.reading() as connection:
            pragmas = {
                name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
                for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
            }
        assert pragmas == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 10_000}

    def test_reading_goes_on_while_somebody_writes(
        self, store: SqlCaseStore, lock: Callable[[], AbstractContextManager[None]]
    ) -> None:
        case = settle(store)
        with lock():
            assert store.get(case.id) == case

    def test_a_writer_that_waits_does_not_fail_when_another_came_first(self, store: SqlCaseStore) -> None:
        # A transaction that reads first and then writes would fail here without BEGIN IMMEDIATE.
        case = open_case(store)
        with store.database.reading() as old:
            old.exec_driver_sql("SELECT count(*) FROM cases").scalar()
            store.note_tickets("halo", [ticket(2)], now=NOW)
            assert old.exec_driver_sql("SELECT count(*) FROM cases").scalar() == 1, "one moment"
        assert hold(store, case.id).id == case.id

    def test_a_file_that_is_gone_is_a_temporary_error_and_nothing_is_lost(
        self, file: Path, store: SqlCaseStore
    ) -> None:
        case = hold(store, open_case(store).id)
        away = file.rename(file.with_suffix(".away"))
        for use in (lambda: store.save(case, now=NOW, messages=[note("a")]), store.cases):
            with pytest.raises(DatabaseError, match="does not exist"):
                use()
        assert not file.exists(), "no empty database is made in its place"
        away.rename(file)
        store.save(case, now=NOW, messages=[note("a")])
        assert len(store.outbox(case.id)) == 1

    def test_a_full_disk_is_a_temporary_error_and_nothing_is_lost(self, store: SqlCaseStore) -> None:
        case = hold(store, open_case(store).id)
        self._limit(store, "(the present size)")
        with pytest.raises(DatabaseError, match="SQLITE_FULL"):
            store.save(replace(case, reason="x" * 100_000), now=NOW, messages=[note("a")])
        assert store.get(case.id) == case
        assert store.outbox(case.id) == []
        self._limit(store, "1000000")
        store.save(replace(case, reason="x" * 100_000), now=NOW, messages=[note("a")])
        assert len(store.outbox(case.id)) == 1

    def _limit(self, store: SqlCaseStore, pages: str) -> None:
        # The limit belongs to the connection; a single thread always gets the same one from the pool.
        with store.database.reading() as connection:
            if not pages.isdigit():
                pages = str(connection.exec_driver_sql("PRAGMA page_count").scalar())
            connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")


def test_a_file_that_is_no_database_is_an_error_that_names_it(tmp_path: Path) -> None:
    file = tmp_path / "connector.db"
    file.write_bytes(b"something else entirely " * 1000)
    store = open_store(f"sqlite:///{file}", wait=SHORT)
    with pytest.raises(DatabaseError, match="SQLITE_NOTADB") as caught:
        store.cases()
    assert str(file) in str(caught.value)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("", "not a database address"),
        ("no address", "not a database address"),
        ("mysql://anna:hidden-word@db/connector", "mysql is not supported"),
        ("sqlite://", "needs a file"),
        ("sqlite:///:memory:", "needs a file"),
        ("sqlite:///file:x?mode=memory&uri=true", "needs a file"),
    ],
)
def test_an_address_that_cannot_be_used_is_refused_with_what_to_write(url: str, words: str) -> None:
    for use in (open_store, lambda url: exclusive(url).__enter__()):
        with pytest.raises(ConfigError, match=words) as caught:
            use(url)
        assert "hidden-word" not in str(caught.value)


def test_a_missing_directory_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="Create it"):
        open_store(f"sqlite:///{tmp_path}/missing/connector.db")


def test_one_process_holds_a_sqlite_database(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'connector.db'}"
    with exclusive(url):
        with pytest.raises(ConfigError, match="another connector already works"), exclusive(url):
            pass
        upgrade(url, "connector")  # the database itself stays open to those who look
    with exclusive(url):
        pass


def test_a_killed_process_holds_nothing(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'connector.db'}"
    program = (
        "import sys; from connector.store import exclusive\n"
        f"with exclusive({url!r}): print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == b"held"
        with pytest.raises(ConfigError, match="another connector"), exclusive(url):
            pass
        process.kill()
    with exclusive(url):
        pass


def test_a_lock_file_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "connector.db.lock").mkdir()
    with pytest.raises(ConfigError, match=r"connector\.db\.lock"), exclusive(f"sqlite:///{tmp_path / 'connector.db'}"):
        pass
