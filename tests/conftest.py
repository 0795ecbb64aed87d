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

LONGEST_FIRST = (
    *("test_kill", "test_requesttracker.py", "test_request_tracker_story", "test_scanners", "test_rows"),
    *("test_link_page_accessible", "test_story", "test_link_news", "test_push", "test_links_kill", "e2e"),
    *("test_runner", "test_sqlite", "secretlink/test_vault", "test_reconciler_crash", "secretlink"),
)
"""Parts of modules' names; the first five take two minutes each, the last five are the longest of the quick tests."""


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The modules that take long go first, so that no worker begins one when the others are done."""

    def rank(item: pytest.Item) -> int:
        return next((rank for rank, part in enumerate(LONGEST_FIRST) if part in item.nodeid), len(LONGEST_FIRST))

    items.sort(key=rank)
