"""A stage per test: sandbox, link service and connector as real processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sandbox.stage import Stage

SetUp = Callable[..., Stage]


@pytest.fixture(scope="module")
def shared_stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """One stage for the tests of a module that can share it: each takes accounts of its own."""
    with Stage(tmp_path_factory.mktemp("shared")) as stage:
        stage.start_all()
        yield stage


@pytest.fixture
def set_up(tmp_path: Path) -> Iterator[SetUp]:
    """Starts a stage with the settings that a test wants; everything it started ends with the test."""
    stages: list[Stage] = []

    def start(*, gentle: bool = True, all_parts: bool = True, **settings: Any) -> Stage:
        stage = Stage(tmp_path / f"stage{len(stages)}", gentle=gentle, settings=settings).__enter__()
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
