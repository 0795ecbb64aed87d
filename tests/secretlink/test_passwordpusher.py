"""Password Pusher behind the port of link services: three editions of the imitation keep every promise."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from connector.core.secret import Secret
from connector.http import Http
from connector.secretlink.passwordpusher.adapter import PasswordPusher
from connector.secretlink.passwordpusher.api import PushApi
from connector.secretlink.place import Places
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


def adapter_for(desk: Sandbox, *, token: Secret | None = None) -> PasswordPusher:
    """A new process' adapter: it remembers nothing."""
    url = desk.addresses.passwordpusher
    return PasswordPusher(
        api=PushApi(
            http=Http(system="Password Pusher", scope="links", refuse_sandbox=False, sleep=lambda _: None),
            url=url,
            token=token or Secret(desk.world.credentials.passwordpusher_token),
        ),
        url=url,
        clock=desk.clock,
        places=Places(),
    )


@pytest.fixture(params=["oss", "pro", "v1"])
def edition(request: pytest.FixtureRequest, desk: Sandbox) -> str:
    desk.world.pushes.edition = request.param
    return str(request.param)


@pytest.fixture
def post(desk: Sandbox, edition: str) -> OtherPost:
    return OtherPost(desk, adapter_for(desk), "passwordpusher")


class TestPasswordPusher(LinkServiceContract):
    @pytest.fixture
    def post(self, desk: Sandbox, edition: str) -> LinkPost:
        return OtherPost(desk, adapter_for(desk), "passwordpusher")
