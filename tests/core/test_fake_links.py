"""The fake link service keeps every promise that the real ones keep."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from connector.core.ports import LinkEventKind, LinkService
from connector.core.secret import Secret
from connector.errors import TemporaryError
from tests.contracts.links import AlarmContract, AlarmPost, LinkPost, LinkServiceContract, a_password, a_wish
from tests.fakes.links import FakeLinks, LinkGone


class FakeLinkPost:
    def __init__(self) -> None:
        self._now = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)
        self.fake = FakeLinks(clock=self.now)

    @property
    def links(self) -> LinkService:
        return self.fake

    def now(self) -> datetime:
        return self._now

    def pass_time(self, length: timedelta) -> None:
        self._now += length
        self.fake.expire(self._now)

    def open(self, url: Secret) -> Secret | None:
        try:
            return self.fake.open(url)
        except LinkGone:
            return None

    def look(self, url: Secret) -> None:
        self.fake.look(url)

    def see_alarm(self, url: Secret) -> bool:
        return self.fake.is_armed(url)

    def press(self, url: Secret) -> None:
        self.fake.press(url)

    def go_down(self) -> None:
        self.fake.down = True

    def refuse_key(self) -> None:
        self.fake.key_refused = True


class TestFakeLinks(LinkServiceContract):
    @pytest.fixture
    def post(self) -> LinkPost:
        return FakeLinkPost()


class TestFakeAlarms(AlarmContract):
    @pytest.fixture
    def post(self) -> AlarmPost:
        return FakeLinkPost()


def test_trouble_around_a_call_comes_without_or_with_its_effect() -> None:
    links = FakeLinks()
    links.raise_before("create", TemporaryError("away"))
    with pytest.raises(TemporaryError):
        links.create(a_wish(), a_password())
    assert links.made() == []
    links.raise_after("create", TemporaryError("lost"))
    with pytest.raises(TemporaryError):
        links.create(a_wish(), a_password())
    assert len(links.made()) == 1
    assert links.alive() == links.made()


def test_a_link_that_is_used_up_does_not_expire_as_well() -> None:
    post = FakeLinkPost()
    link = post.links.create(a_wish(views=1), a_password())
    assert post.open(link.url) is not None
    post.pass_time(timedelta(days=1))
    assert LinkEventKind.EXPIRED not in [event.kind for event in post.fake.history]


def test_a_long_history_needs_several_calls() -> None:
    links = FakeLinks()
    links.page = 2
    for _ in range(3):
        links.create(a_wish(), a_password())
    asked = [links.news(cursor) for cursor in ("", "2", "3")]
    assert [(len(news.events), news.more) for news in asked] == [(2, True), (1, False), (0, False)]
