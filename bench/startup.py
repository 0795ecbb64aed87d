"""How long the program takes to start: `connector check --offline`, and `connector --help`."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from bench.figures import Figure, median
from sandbox.stage import Stage

RUNS = 7


def measure(folder: Path) -> Sequence[Figure]:
    """Start each of them `RUNS` times, after one that fills the file cache. About 15 seconds."""
    with Stage(folder) as stage:
        stage.start_sandbox()  # for its addresses, secrets and certificate; nobody talks to it
        stage.write_files()
        program = stage.program("connector.yaml")
        return [
            _figure("connector check --offline", [*program, "check", "--offline"], aim=1.0),
            _figure("connector --help", [*program[:-2], "--help"], aim=None),
        ]


def _figure(name: str, words: list[str], *, aim: float | None) -> Figure:
    times = [_seconds(words) for _ in range(RUNS + 1)][1:]
    note = f"median of {RUNS}; fastest {min(times):.2f}, slowest {max(times):.2f}"
    return Figure(name, median(times), "s", aim, note)


def _seconds(words: list[str]) -> float:
    started = time.perf_counter()
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
    if done.returncode:
        raise RuntimeError(f"{' '.join(words[-2:])} ended with {done.returncode}: {done.stderr}")
    return time.perf_counter() - started
