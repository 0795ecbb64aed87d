"""Our own link service keeps the promises of every link service: client, API and database together."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import datetime, timedelta

import pytest

from connector.core.ports import LinkService
from connector.core.secret import Secret
from connector.http import Http
from connector.secretlink.client import BuiltinLinks
from connector.secretlink.seal import decode_token, lookup_of
from connector.secretlink.service.store.links import ARMED, Revealed
from tests.contracts.links import AlarmContract, AlarmPost, LinkPost, LinkServiceContract
from tests.secretlink.running import running
from tests.secretlink.support import FakeClock, new_nonce, open_page, open_vault, options_for
from tests.secretlink.test_vault import SOMEBODY


class BuiltinPost:
    """A link service that really listens; its visitors go straight to its database, as its pages do."""

    def __init__(self, database: str, clock: FakeClock, pepper: bytes, key: str, service: ExitStack) -> None:
        self._clock = clock
        self._service = service
        options = options_for(database, pepper, key)
        self._address = service.enter_context(running(options, clock=clock))
        self._vault = open_vault(database, clock, pepper)
        service.callback(self._vault.close)
        self._key = key

    @property
    def links(self) -> LinkService:
        http = Http(system="The link service", scope="links", sleep=lambda _: None)
        return BuiltinLinks(
            http=http, url=self._address, api_url=self._address, api_key=Secret(self._key), clock=self._clock
        )

    def now(self) -> datetime:
        return self._clock()

    def pass_time(self, length: timedelta) -> None:
        self._clock.advance(seconds=length.total_seconds())
        self._vault.expire_due()

    def open(self, url: Secret) -> Secret | None:
        token = token_in(url)
        shown = self._vault.claim(lookup_of(token), nonce=new_nonce(), visitor=SOMEBODY, token=token)
        return shown.password if isinstance(shown, Revealed) else None

    def look(self, url: Secret) -> None:
        open_page(self._vault, lookup_of(token_in(url)), SOMEBODY)

    def see_alarm(self, url: Secret) -> bool:
        alarm = self._vault.look_alarm(lookup_of(token_in(url)))
        return alarm is not None and alarm.state == ARMED

    def press(self, url: Secret) -> None:
        self._vault.raise_alarm(lookup_of(token_in(url)), visitor=SOMEBODY)

    def go_down(self) -> None:
        self._service.close()

    def refuse_key(self) -> None:
        self._key = secrets.token_urlsafe(32)


def token_in(url: Secret) -> bytes:
    return decode_token(url.reveal().rpartition("/")[2])


@pytest.fixture
def builtin(database: str, clock: FakeClock, pepper: bytes, api_key: str) -> Iterator[BuiltinPost]:
    with ExitStack() as service:
        yield BuiltinPost(database, clock, pepper, api_key, service)


class TestBuiltinLinks(LinkServiceContract):
    @pytest.fixture
    def post(self, builtin: BuiltinPost) -> LinkPost:
        return builtin


class TestBuiltinAlarms(AlarmContract):
    @pytest.fixture
    def post(self, builtin: BuiltinPost) -> AlarmPost:
        return builtin
