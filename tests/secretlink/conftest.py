from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.applications import Starlette

from connector.migrations import upgrade
from connector.secretlink.service.store.vault import Vault
from connector.secretlink.service.web import create_app
from tests.secretlink.other_services import MORNING, Sandbox, sandbox
from tests.secretlink.support import (
    Browser,
    FakeClock,
    empty_tables,
    make_database,
    open_vault,
    options_for,
)
from tests.store.conftest import database_in, postgres_server  # noqa: F401 - a fixture


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


@pytest.fixture(scope="module")
def _sandbox() -> Iterator[Sandbox]:
    with sandbox() as running:
        yield running


@pytest.fixture
def desk(_sandbox: Sandbox) -> Sandbox:
    """Others' link services, imitated, as they are in the morning; one for all tests of a module."""
    _sandbox.clock.moment = MORNING
    _sandbox.world.reset()
    return _sandbox


@pytest.fixture(scope="session")
def _links_postgres(postgres_server: str) -> Iterator[str]:  # noqa: F811
    with database_in(postgres_server) as url:
        upgrade(url, "links")
        yield url


@pytest.fixture
def links_postgres(_links_postgres: str) -> str:
    """The address of an up-to-date database on a real PostgreSQL, without rows."""
    empty_tables(_links_postgres)
    return _links_postgres


@pytest.fixture(params=["sqlite", "postgresql"])
def either_database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Every test that wants it runs twice."""
    if request.param == "sqlite":
        return make_database(tmp_path)
    return str(request.getfixturevalue("links_postgres"))
