"""`connector psa`: what is set up in a PSA from the command line."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from connector.adapter import CallbackPsa
from connector.cli.psa import BY_HAND, check_address
from connector.errors import ConfigError
from sandbox.stage import free_port

ROOT = Path(__file__).parent.parent
Run = Callable[..., subprocess.CompletedProcess[str]]

ADAPTER = '''
from pathlib import Path


class PagerPsa:
    """A PSA of somebody else's package: it writes down what it is told."""

    def __init__(self, name, section):
        self.name, self._file = name, Path(section["file"])

    @classmethod
    def from_config(cls, name, section, surroundings):
        return cls(name, section)

    def register_callback(self, url):
        known = self._file.read_text().splitlines() if self._file.exists() else []
        if url in known:
            return f"{url} is registered already."
        self._file.write_text("\\n".join([*known, url]))
        return f"{url} is registered."
'''


@pytest.fixture
def told(tmp_path: Path) -> Path:
    """What the pager was told."""
    return tmp_path / "told.txt"


@pytest.fixture
def run(tmp_path: Path, told: Path) -> Run:
    """Runs a command with a configuration that has an adapter from another package."""
    package = tmp_path / "site"
    facts = package / "pager-1.0.dist-info"
    facts.mkdir(parents=True)
    (package / "pager.py").write_text(ADAPTER)
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: pager\nVersion: 1.0\n")
    (facts / "entry_points.txt").write_text("[connector.psa]\npager = pager:PagerPsa\n")
    (tmp_path / "secret").write_text(secrets.token_urlsafe(30))
    (tmp_path / "halopsa.yaml").write_text((ROOT / "mappings" / "halopsa.yaml").read_text(encoding="utf-8"))

    def run(*words: str, environment: str = "demo") -> subprocess.CompletedProcess[str]:
        nobody = f"{'https' if environment == 'production' else 'http'}://127.0.0.1:{free_port()}"
        settings: dict[str, Any] = {
            "environment": environment,
            "database": f"sqlite:///{(tmp_path / 'connector.db').as_posix()}",
            "psa": {"pager": {"kind": "pager", "file": str(told)},
                    "halo": {"kind": "halopsa", "url": nobody, "client_id": "c", "client_secret": {"file": "secret"},
                             "mapping": "halopsa.yaml"}},
            "graph": {"client_id": "c", "client_secret": {"file": "secret"}},
            "tenants": {"contoso": {"tenant_id": "8a000000-0000-0000-0000-000000000000", "clients": {"halo": ["12"]}}},
            "links": {"url": nobody, "api_key": {"file": "secret"}},
            "mail": {"host": "127.0.0.1", "port": 25, "from": "IT <it@example.com>"},
        }  # fmt: skip
        (tmp_path / "connector.yaml").write_text(json.dumps(settings))
        return subprocess.run(
            [sys.executable, "-m", "connector", "--config", str(tmp_path / "connector.yaml"), "psa", *words],
            capture_output=True, text=True, timeout=60, check=False, env={**os.environ, "PYTHONPATH": str(package)},
        )  # fmt: skip

    return run


def test_a_callback_is_registered_once_and_what_was_done_is_said(run: Run, told: Path) -> None:
    url = "https://push.example.com/nudge/pager"
    first = run("register-callback", "pager", "--url", url, environment="production")
    assert (first.returncode, first.stdout, first.stderr) == (0, f"{url} is registered.\n", "")
    again = run("register-callback", "pager", "--url", url, environment="production")
    assert (again.returncode, again.stdout) == (0, f"{url} is registered already.\n")
    assert told.read_text() == url


def test_a_kind_that_takes_no_callbacks_is_told_where_its_pushes_are_made(run: Run, told: Path) -> None:
    done = run("register-callback", "halo", "--url", "https://push.example.com/nudge/halo")
    assert done.returncode == 1
    assert "halopsa takes no callbacks from here" in done.stderr
    assert "docs/psa/halopsa.md" in done.stderr
    assert "Traceback" not in done.stderr
    assert not told.exists()


def test_an_unknown_psa_is_named_with_those_that_there_are(run: Run) -> None:
    done = run("register-callback", "cw", "--url", "https://push.example.com/nudge/cw")
    assert done.returncode == 2
    assert "psa.cw: there is no such PSA in the configuration. There is: halo, pager." in done.stderr


def test_an_address_that_is_not_safe_is_refused_in_production_and_nothing_is_registered(run: Run, told: Path) -> None:
    word = secrets.token_urlsafe(12)
    url = f"http://us:{word}@push.example.com/nudge/pager"
    done = run("register-callback", "pager", "--url", url, environment="production")
    assert done.returncode == 2
    assert "in production it is https" in done.stderr
    assert "it holds a user name or password" in done.stderr
    assert word not in done.stderr + done.stdout
    assert not told.exists()


def test_a_doubtful_address_is_warned_of_and_registered_all_the_same(run: Run, told: Path) -> None:
    done = run("register-callback", "pager", "--url", "http://127.0.0.1:8080/elsewhere")
    assert done.returncode == 0
    assert "is not https" in done.stderr
    assert "does not end in /nudge/pager" in done.stderr
    assert told.read_text() == "http://127.0.0.1:8080/elsewhere"


@pytest.mark.parametrize("url", ["", "push.example.com/nudge/pager", "ftp://push.example.com/x", "https://", "https://[x",
                                 "https://push.example.com:nowhere/", "file:///etc/passwd"])  # fmt: skip
def test_what_is_no_address_of_a_web_server_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="write the whole address"):
        check_address("pager", url, production=False)


@pytest.mark.parametrize("ending", ["/nudge/pager", "/nudge/pager?recordId="])
def test_an_address_that_ends_where_we_listen_is_not_doubtful(ending: str) -> None:
    assert check_address("pager", f"https://push.example.com{ending}", production=True) == []


@pytest.mark.parametrize("ending", ["/nudge/pager/", "/nudge/halo", "/", "?x=/nudge/pager"])
def test_an_address_that_ends_elsewhere_is(ending: str) -> None:
    assert len(check_address("pager", f"https://push.example.com{ending}", production=True)) == 1


def test_every_kind_of_ours_takes_callbacks_or_says_how_it_is_made_to_push() -> None:
    from importlib.metadata import entry_points

    ours = [entry for entry in entry_points(group="connector.psa") if entry.value.startswith("connector.")]
    assert ours
    for entry in ours:
        assert hasattr(entry.load(), "register_callback") != (entry.name in BY_HAND), entry.name
    assert "register_callback" in dir(CallbackPsa)
