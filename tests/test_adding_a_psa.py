"""docs/adding-a-psa.md says what is so, and its example is found as a package of somebody else's would be."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

from connector.core.ports import Psa
from tests.contracts.psa import PsaContract

ROOT = Path(__file__).parent.parent
EXAMPLE = ROOT / "docs" / "examples" / "deskbook"
PAGE = (ROOT / "docs" / "adding-a-psa.md").read_text(encoding="utf-8")


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """A folder with the example's modules and what pip writes beside them, made from its pyproject.toml."""
    project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text(encoding="utf-8"))
    site = tmp_path / "site"
    info = site / "connector_deskbook-0.1.0.dist-info"
    info.mkdir(parents=True)
    for module in project["tool"]["hatch"]["build"]["targets"]["wheel"]["only-include"]:
        shutil.copy(EXAMPLE / module, site / module)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: connector-deskbook\nVersion: 0.1.0\n")
    lines = []
    for group, entries in project["project"]["entry-points"].items():
        lines += [f"[{group}]", *(f"{kind} = {target}" for kind, target in entries.items())]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")
    return site


def checked(
    folder: Path, *, site: Path | None, more: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """`connector check --offline` with a configuration whose only PSA is a Deskbook."""
    config = yaml.safe_load((ROOT / "deploy" / "connector.yaml").read_text(encoding="utf-8"))
    config["psa"] = {
        "desk": {
            "kind": "deskbook",
            "url": "https://desk.msp.example",
            "key": {"env": "ANY_SECRET"},
            "mapping": (EXAMPLE / "deskbook.yaml").as_posix(),
            **(more or {}),
        }
    }
    config["tenants"]["contoso"]["clients"] = {"desk": ["12"]}
    config["graph"]["client_secret"] = config["links"]["api_key"] = {"env": "ANY_SECRET"}
    config["database"] = f"sqlite:///{(folder / 'connector.db').as_posix()}"
    (folder / "connector.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    environ = {**os.environ, "ANY_SECRET": secrets.token_urlsafe(48), "PYTHONPATH": str(site or "")}
    return subprocess.run(
        [sys.executable, "-m", "connector", "--config", str(folder / "connector.yaml"), "check", "--offline"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=environ,
        cwd=ROOT,
    )


def test_a_package_of_its_own_is_found_by_its_kind(installed: Path, tmp_path: Path) -> None:
    done = checked(tmp_path, site=installed)
    assert done.returncode == 0, done.stdout + done.stderr


def test_without_the_package_the_kind_is_unknown(tmp_path: Path) -> None:
    done = checked(tmp_path, site=None)
    assert done.returncode == 2
    assert "deskbook" in done.stdout + done.stderr


def test_a_mistake_in_its_section_is_told_with_its_place(installed: Path, tmp_path: Path) -> None:
    done = checked(tmp_path, site=installed, more={"colour": "blue"})
    assert done.returncode == 2
    assert "psa.desk: colour" in done.stdout + done.stderr


def test_the_page_explains_every_method_of_the_protocol() -> None:
    methods = {name for name in vars(Psa) if not name.startswith("_")}
    assert "read" in methods
    headings = "\n".join(re.findall(r"^### .*$", PAGE, re.MULTILINE))
    explained = set(re.findall(r"`(\w+)`", headings))
    assert methods <= explained, f"not explained: {methods - explained}"


def test_the_page_names_every_promise_group_of_the_contract() -> None:
    promises = [name for name in vars(PsaContract) if name.startswith("test_")]
    told = re.search(r"(\d+) promises", PAGE)
    assert told is not None
    assert int(told[1]) == len(promises)


def test_every_file_of_the_example_is_on_the_page() -> None:
    files = {one.name for one in EXAMPLE.iterdir() if one.is_file()}
    assert {name for name in files if f"examples/deskbook/{name}" not in PAGE} == set()


def test_the_example_is_typed_as_strictly_as_the_connector(tmp_path: Path) -> None:
    modules = ("deskbook.py", "deskbook_rows.py", "fake_deskbook.py")
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--explicit-package-bases", f"--cache-dir={tmp_path}"]
        + [str(EXAMPLE / module) for module in modules],
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
        env={**os.environ, "MYPYPATH": str(EXAMPLE)},
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stdout
