"""What all tests share."""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite("tests.contracts")

LONGEST_FIRST = ("test_kill", "test_requesttracker.py", "test_link_page", "e2e")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The modules that take long go first, so that no worker begins one when the others are done."""

    def rank(item: pytest.Item) -> int:
        return next((rank for rank, part in enumerate(LONGEST_FIRST) if part in item.nodeid), len(LONGEST_FIRST))

    items.sort(key=rank)
