"""What all tests share."""

from __future__ import annotations

import os

import pytest
from hypothesis import settings

pytest.register_assert_rewrite("tests.contracts")

# The same examples in every run: a change is judged by what it changed. `HYPOTHESIS_PROFILE=thorough` draws by chance,
# and many more.
settings.register_profile("steady", derandomize=True, deadline=None)  # a slow machine is no defect
if os.environ.get("HYPOTHESIS_PROFILE") != "thorough":
    settings.load_profile("steady")

LONGEST_FIRST = ("test_kill", "test_rows", "test_requesttracker.py", "test_link_page", "e2e")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The modules that take long go first, so that no worker begins one when the others are done."""

    def rank(item: pytest.Item) -> int:
        return next((rank for rank, part in enumerate(LONGEST_FIRST) if part in item.nodeid), len(LONGEST_FIRST))

    items.sort(key=rank)
