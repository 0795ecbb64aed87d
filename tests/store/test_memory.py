"""The fake keeps every promise that the real stores keep."""

from __future__ import annotations

from typing import Literal

import pytest

from connector.core.ports import CaseStore
from connector.errors import DatabaseError
from tests.contracts.case_store import LEASE, NOW, CaseStoreContract, hold, note, open_case
from tests.fakes.store import MemoryCaseStore


class TestMemoryCaseStore(CaseStoreContract):
    @pytest.fixture
    def store(self) -> MemoryCaseStore:
        return MemoryCaseStore()


@pytest.mark.parametrize(("moment", "stored"), [("before", 0), ("after", 1)])
def test_trouble_around_a_save_comes_without_or_with_its_effect(
    moment: Literal["before", "after"], stored: int
) -> None:
    store = MemoryCaseStore()
    case = hold(store, open_case(store).id)

    def away(name: str, at: str) -> None:
        if (name, at) == ("save", moment):
            raise DatabaseError("away")

    store.on_call = away
    with pytest.raises(DatabaseError):
        store.save(case, now=NOW, messages=[note("a")], lease=LEASE)
    assert len(store.outbox(case.id)) == stored


def test_the_fake_is_a_case_store() -> None:
    store: CaseStore = MemoryCaseStore()
    assert store.cases() == []
