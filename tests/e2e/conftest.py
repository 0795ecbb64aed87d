"""A stage per test: sandbox, link service and connector as real processes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sandbox.stage import Stage
from tests.contract_check import check_all, contracts_are_here, specs_or_skip
from tests.e2e.forking_stage import ForkingStage
from tests.e2e.link_desk import chromium, desk, page

__all__ = ["chromium", "desk", "page"]

SetUp = Callable[..., Stage]


@pytest.fixture(scope="module")
def shared_stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """One stage for the tests of a module that can share it: each takes accounts of its own."""
    with ForkingStage(tmp_path_factory.mktemp("shared")) as stage:
        stage.start_all()
        yield stage
        keep_to_the_contracts(stage)


def keep_to_the_contracts(stage: Stage) -> None:
    """Every request that the connector sent, and every answer that it got, fits the vendors' own descriptions."""
    if not contracts_are_here() and os.environ.get("REQUIRE_ALL") != "1":
        return  # tests/sandbox/test_contract.py says so, once
    exchanges = stage.control("GET", "/exchanges")
    assert len(exchanges) > 20, "the play was recorded"
    assert check_all(specs_or_skip(), exchanges) == []


@pytest.fixture
def set_up(tmp_path: Path) -> Iterator[SetUp]:
    """Starts a stage with the settings that a test wants; everything it started ends with the test."""
    stages: list[Stage] = []

    def start(*, gentle: bool = True, all_parts: bool = True, **settings: Any) -> Stage:
        folder = tmp_path / f"stage{len(stages)}"
        stage = ForkingStage(folder, gentle=gentle, settings=settings).__enter__()
        stages.append(stage)
        if all_parts:
            stage.start_all()
        else:
            stage.start_sandbox()
            stage.write_files()
        return stage

    yield start
    for stage in stages:
        stage.__exit__(None, None, None)
