"""Two clients that the true Password Pusher accepts use the imitated one, and see what is in it.

`pwpush` is the project's own command line, `pwpush-mcp` an independent author's; both come from PyPI, each into an
interpreter of its own.
"""

from __future__ import annotations

import secrets
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from sandbox.passwordpusher_pushes import Visitor
from tests.own_venv import make_venv, run_in
from tests.sandbox.conftest import Stage

pytestmark = pytest.mark.e2e

SCRIPTS = Path(__file__).parent / "clients"
NOTE = "lnk_0123 until later"


@pytest.fixture(scope="module")
def command_line(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_venv(tmp_path_factory.mktemp("pwpush"), "pwpush==0.16.7")


@pytest.fixture(scope="module")
def independent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_venv(tmp_path_factory.mktemp("pwpush-mcp"), "pwpush-mcp==0.5.0")


def walk(stage: Stage, python: Path, script: str, home: Path, **more: str) -> dict[str, Any]:
    wish = {
        "url": stage.addresses.passwordpusher,
        "token": stage.world.credentials.passwordpusher_token,
        "email": "links@example.com",
        "payload": secrets.token_urlsafe(),
        "note": NOTE,
        "home": str(home),
        **more,
    }
    return dict(run_in(python, SCRIPTS / script, wish))


@pytest.mark.parametrize("edition", ["oss", "pro", "v1"])
def test_the_projects_own_command_line_makes_reads_and_ends_a_push(
    stage: Stage, command_line: Path, tmp_path: Path, edition: str
) -> None:
    stage.world.pushes.edition = edition
    seen = walk(stage, command_line, "pwpush_walk.py", tmp_path)
    (push,) = stage.world.pushes.kept.values()
    assert seen["made"] == {"url": f"{stage.addresses.passwordpusher}/p/{push.url_token}/r"}
    (shown,) = seen["active"]
    assert (shown["url_token"], shown["note"], shown["expire_after_views"], shown["retrieval_step"]) == (
        push.url_token, NOTE, 2, True,
    )  # fmt: skip
    rows = seen["audit"] if isinstance(seen["audit"], list) else next(iter(seen["audit"].values()))
    assert [row["kind"] for row in rows] == ([] if edition == "v1" else ["creation"])
    assert push.expired
    assert push.deleted
    assert seen["expired"] != seen["again"]
    assert seen["left"] in ([], "")


def test_its_known_fault_shows_a_day_becomes_a_week_on_a_self_hosted_one(
    stage: Stage, command_line: Path, tmp_path: Path
) -> None:
    """It sends the hosted edition's step to every v2; the self-hosted one drops it and takes its default."""
    seen = walk(stage, command_line, "pwpush_walk.py", tmp_path)
    assert seen["active"][0]["expire_after_days"] == 7
    stage.world.reset()
    stage.world.pushes.edition = "pro"
    seen = walk(stage, command_line, "pwpush_walk.py", tmp_path)
    (shown,) = seen["active"]
    assert shown["expire_after_duration"] == 6
    lives = datetime.fromisoformat(shown["expires_at"]) - datetime.fromisoformat(shown["created_at"])
    assert lives.total_seconds() == 86_400


@pytest.mark.parametrize("edition", ["pro", "v1"])
def test_an_independent_client_sees_the_same(stage: Stage, independent: Path, tmp_path: Path, edition: str) -> None:
    stage.world.pushes.edition = edition
    stage.world.pushes.create({"payload": "x", "note": "older"}, Visitor("192.0.2.1", "", owner=True))
    seen = walk(stage, independent, "pwpush_mcp_walk.py", tmp_path, duration="1d" if edition == "v1" else "1h")
    token = seen["made"]["url_token"]
    push = stage.world.pushes.kept[token]
    assert push.payload is None
    assert (push.note, push.views, push.retrieval_step) == (NOTE, 2, True)
    assert (push.duration, push.days)[edition == "v1"] == (1 if edition == "v1" else 3)
    assert [one["note"] for one in seen["active"]] == [NOTE, "older"]
    assert [one["url_token"] for one in seen["dead"]] == [token]
    assert seen["preview"]["url"] == f"{stage.addresses.passwordpusher}/p/{token}/r"
    assert seen["expired"]["expired"] is True
    assert "unauthorized (401)" in seen["stranger"]
