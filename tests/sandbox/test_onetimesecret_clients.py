"""The client `onetimesecret` from PyPI, in an interpreter of its own, uses the imitated service; a person opens it.

It knows API v1 only: no client for v2 is on PyPI or npm, so v2's exact answers stay as their sources say.
"""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any

import pytest

from tests.own_venv import make_venv, run_in
from tests.sandbox.conftest import Stage

pytestmark = pytest.mark.e2e

SCRIPT = Path(__file__).parent / "clients" / "onetimesecret_walk.py"


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_venv(tmp_path_factory.mktemp("onetimesecret"), "onetimesecret==1")


@pytest.mark.parametrize("version", [1, 2])
def test_its_link_opens_once_and_belongs_to_the_account(stage: Stage, client: Path, version: int) -> None:
    stage.world.secrets.version = version
    known, url, payload = stage.world.credentials, stage.addresses.onetimesecret, secrets.token_urlsafe()
    wish: dict[str, Any] = {
        "url": url, "username": known.onetimesecret_username, "token": known.onetimesecret_token, "payload": payload,
    }  # fmt: skip
    seen = run_in(client, SCRIPT, wish)
    ours, anonymous = stage.world.secrets.receipts.values()
    assert seen["link"] == f"{url}/secret/{ours.secret_identifier}"
    assert (ours.owned, ours.ttl) == (True, 3600)
    assert (anonymous.owned, anonymous.ttl) == (False, 900)
    assert "OneTimeSecretError" in seen["stranger"]
    assert payload not in stage.http.get(seen["link"], timeout=10).text
    opened = stage.http.post(seen["link"], data={"continue": "true"}, timeout=10)
    assert payload in opened.text
    assert stage.http.post(seen["link"], data={"continue": "true"}, timeout=10).status_code == 404
    assert ours.state == "revealed"
