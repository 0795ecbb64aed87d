"""Packages that a test runs in an interpreter of their own, because of their licence, language or manners."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
import venv
from pathlib import Path
from typing import Any, NoReturn

import pytest


def make_venv(folder: Path, *requirements: str) -> Path:
    """A virtual environment with these packages from PyPI; its interpreter.

    Skips with a sentence where PyPI cannot be reached, and fails under `REQUIRE_ALL=1`.
    """
    venv.create(folder, with_pip=False)
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    install = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--retries", "1"]
    install.append("--no-compile")  # most of what comes along is never imported
    done = subprocess.run(
        [*install, "--timeout", "20", *requirements], capture_output=True, text=True, timeout=100, check=False
    )
    if done.returncode != 0:
        not_here(f"{', '.join(requirements)} could not be installed from PyPI: {done.stderr.strip()[-300:]}")
    return python


def unpack_npm(folder: Path, package: str, inside: str) -> Path:
    """What lies under `inside` of a package from npm, without what it depends on; the package's folder.

    Skips, or fails, as `make_venv` does, without Node.js and where npm cannot reach its registry.
    """
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        not_here("There is no Node.js here (node and npm), so its clients cannot be tried.")
    pack = [str(npm), "pack", "--silent", "--fetch-retries=1", "--fetch-timeout=20000", package]
    done = subprocess.run(pack, cwd=folder, capture_output=True, text=True, timeout=100, check=False)
    if done.returncode != 0:
        not_here(f"{package} could not be fetched from npm: {done.stderr.strip()[-300:]}")
    with tarfile.open(next(folder.glob("*.tgz"))) as archive:
        # File by file: the filters of `extractall` are newer than Debian 12's Python (3.11.2).
        for member in archive.getmembers():
            content = archive.extractfile(member) if member.name.startswith(f"package/{inside}") else None
            if content is not None and ".." not in member.name:
                target = folder / member.name
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(content.read())
    return folder / "package"


def not_here(sentence: str) -> NoReturn:
    """Skip with this sentence, or fail with it under `REQUIRE_ALL=1`."""
    if os.environ.get("REQUIRE_ALL") == "1":
        pytest.fail(sentence)
    pytest.skip(sentence)


def run_in(python: Path | str, script: Path, wish: dict[str, Any]) -> Any:
    """Run a script with `wish` on its standard input; what it printed, as JSON.

    `python` is an interpreter of Python, or `node`.
    """
    alone = [] if str(python) == "node" else ["-I"]
    environment = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    done = subprocess.run(
        [str(python), *alone, str(script)],
        input=json.dumps(wish),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=environment,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)
