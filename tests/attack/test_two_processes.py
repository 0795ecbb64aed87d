"""Two processes that each believe to be alone with the cases."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from connector.store import exclusive
from tests import test_cli

config = pytest.fixture(test_cli.config.__wrapped__)  # type: ignore[attr-defined]


@pytest.mark.parametrize("command", ["run", "once"])
def test_no_second_worker_starts_on_the_same_small_database(config: Path, command: str) -> None:
    """A daemon frees every claim when it starts; one that belongs to a living `once` would be worked on twice."""
    with exclusive(json.loads(config.read_text())["database"]):
        done = test_cli.connector(config, command)
    assert done.returncode == 2
    assert "another connector already works" in done.stderr
