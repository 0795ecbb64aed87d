"""What a user installs: the templates are in, the sandbox and the tests are not."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("wheel")
    done = subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(ROOT)],
        capture_output=True, text=True, timeout=110, check=False,
    )  # fmt: skip
    if done.returncode:
        pytest.fail(f"the wheel could not be built: {done.stderr[-2000:]}")
    [path] = folder.glob("*.whl")
    return zipfile.ZipFile(path).namelist()


@pytest.mark.parametrize(
    "needed",
    [
        "connector/py.typed",
        "connector/mail/templates/password_ready/body.html",
        "connector/mail/templates/password_ready/subject.txt",
        "connector/secretlink/service/pages/templates/link.html",
        "connector/secretlink/service/pages/static/link.js",
        "connector/secretlink/countries.json",
        "connector/migrations/connector/env.py",
        "connector/migrations/links/env.py",
    ],
)
def test_the_wheel_holds_what_the_program_needs(wheel: list[str], needed: str) -> None:
    assert needed in wheel


def test_every_file_of_the_package_is_in_the_wheel(wheel: list[str]) -> None:
    files = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "connector").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert files <= set(wheel)


def test_the_wheel_holds_nothing_else(wheel: list[str]) -> None:
    assert all(name.startswith(("connector/", "psa_reset_connector-")) for name in wheel)
