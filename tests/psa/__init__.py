"""Adapters to ticket systems, each against its contract and its own oddities."""

import pytest

# Promises in modules that are no test modules themselves: a failed one shall say what it saw.
pytest.register_assert_rewrite(
    "tests.contracts.psa", "tests.psa.requesttracker_oddities", "tests.psa.requesttracker_desk"
)
