"""OneTimeSecret behind the port of link services: both versions of the imitation keep every promise but the views."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from connector.core.secret import Secret
from connector.http import Http
from connector.secretlink.onetimesecret.adapter import OneTimeSecret
from connector.secretlink.onetimesecret.api import SecretApi
from tests.contracts.links import LinkPost, LinkServiceContract
from tests.secretlink.other_services import OtherPost, Sandbox, sandbox


@pytest.fixture(scope="module")
def _sandbox() -> Iterator[Sandbox]:
    with sandbox() as running:
        yield running


@pytest.fixture
def desk(_sandbox: Sandbox) -> Sandbox:
    _sandbox.world.reset()
    return _sandbox


def adapter_for(desk: Sandbox, *, token: Secret | None = None) -> OneTimeSecret:
    """A new process' adapter: it remembers nothing."""
    known, url = desk.world.credentials, desk.addresses.onetimesecret
    return OneTimeSecret(
        api=SecretApi(
            http=Http(system="OneTimeSecret", scope="links", refuse_sandbox=False, sleep=lambda _: None),
            url=url,
            username=known.onetimesecret_username,
            token=token or Secret(known.onetimesecret_token),
        ),
        url=url,
        clock=desk.clock,
    )


@pytest.fixture(params=["v2", "v2 in strings", "v1"])
def version(request: pytest.FixtureRequest, desk: Sandbox) -> str:
    desk.world.secrets.version = int(request.param[1])
    desk.world.secrets.text_numbers = "strings" in request.param
    return str(request.param)


@pytest.fixture
def post(desk: Sandbox, version: str) -> OtherPost:
    return OtherPost(desk, adapter_for(desk), "onetimesecret")


class TestOneTimeSecret(LinkServiceContract):
    @pytest.fixture
    def post(self, desk: Sandbox, version: str) -> LinkPost:
        return OtherPost(desk, adapter_for(desk), "onetimesecret")
