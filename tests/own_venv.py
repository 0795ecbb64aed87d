"""Packages that a test runs in an interpreter of their own, because of their licence or their manners."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any

import pytest


def make_venv(folder: Path, *requirements: str) -> Path:
    """A virtual environment with these packages from PyPI; its interpreter.

    Skips with a sentence where PyPI cannot be reached, and fails under `REQUIRE_ALL=1`.
    """
    venv.create(folder, with_pip=False)
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    install = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--retries", "1"]
    done = subprocess.run(
        [*install, "--timeout", "20", *requirements], capture_output=True, text=True, timeout=100, check=False
    )
    if done.returncode != 0:
        sentence = f"{', '.join(requirements)} could not be installed from PyPI: {done.stderr.strip()[-300:]}"
        if os.environ.get("REQUIRE_ALL") == "1":
            pytest.fail(sentence)
        pytest.skip(sentence)
    return python


def run_in(python: Path, script: Path, wish: dict[str, Any]) -> Any:
    """Run a script with `wish` on its standard input; what it printed, as JSON."""
    environment = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    done = subprocess.run(
        [str(python), "-I", str(script)],
        input=json.dumps(wish),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=environment,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)
