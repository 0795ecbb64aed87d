from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.applications import Starlette

from connector.secretlink.vault import Vault
from connector.secretlink.web import create_app
from tests.secretlink.support import Browser, FakeClock, make_database, open_vault, options_for


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def pepper() -> bytes:
    return secrets.token_bytes(32)


@pytest.fixture
def api_key() -> str:
    return secrets.token_urlsafe(32)


@pytest.fixture
def database(tmp_path: Path) -> str:
    return make_database(tmp_path)


@pytest.fixture
def vault(database: str, clock: FakeClock, pepper: bytes) -> Iterator[Vault]:
    opened = open_vault(database, clock, pepper)
    yield opened
    opened.close()


@pytest.fixture
def app(database: str, clock: FakeClock, pepper: bytes, api_key: str) -> Iterator[Starlette]:
    made = create_app(options_for(database, pepper, api_key), clock=clock)
    yield made
    made.state.vault.close()


@pytest.fixture
def browser(app: Starlette, clock: FakeClock, api_key: str) -> Browser:
    return Browser(app, clock, api_key)
