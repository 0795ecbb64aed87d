"""The store in SQLite."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from connector.migrations import upgrade
from connector.store import SqlCaseStore, open_store
from tests.contracts.case_store import CaseStoreContract


class TestSqliteCaseStore(CaseStoreContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[SqlCaseStore]:
        url = f"sqlite:///{tmp_path / 'connector.db'}"
        upgrade(url, "connector")
        store = open_store(url)
        yield store
        store.close()
