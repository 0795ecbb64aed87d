"""Random stories with bad days, played to their end at each of the other link services: what is told is what happened.

A store keeps what each poll brings, as the real one does; processes die between polls and take their memory with them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connector.core.ports import Link, LinkEvent, LinkEventKind, LinkService, Watched
from connector.errors import PermanentError, TemporaryError
from connector.secretlink.passwordpusher.story import CLOCKS_MAY_DIFFER
from sandbox.faults import Fault
from tests.contracts.links import LIFETIME, a_password, a_wish
from tests.secretlink import test_onetimesecret, test_passwordpusher
from tests.secretlink.other_services import MORNING, Person, Sandbox, sandbox

KINDS = {
    "oss": ("passwordpusher", test_passwordpusher.adapter_for),
    "pro": ("passwordpusher", test_passwordpusher.adapter_for),
    "v1": ("passwordpusher", test_passwordpusher.adapter_for),
    "ots v2": ("onetimesecret", test_onetimesecret.adapter_for),
    "ots v1": ("onetimesecret", test_onetimesecret.adapter_for),
}
TROUBLE = ["cut_before", "cut_after", "status", "not_json"]

steps = st.one_of(
    st.tuples(st.just("make"), st.integers(1, 3)),
    st.tuples(st.just("open"), st.integers(0, 3)),
    st.tuples(st.just("look"), st.integers(0, 3)),
    st.tuples(st.just("revoke"), st.integers(0, 3)),
    st.tuples(st.just("wait"), st.sampled_from([1, 20, 59])),
    st.tuples(st.just("poll"), st.just(0)),
    st.tuples(st.just("die"), st.just(0)),
    st.tuples(st.just("trouble"), st.integers(0, len(TROUBLE) - 1)),
)


class Play:
    """One service, its adapter of the present process, and a store."""

    def __init__(self, desk: Sandbox, system: str, adapter_for: Callable[[Sandbox], LinkService]) -> None:
        self.desk, self.system, self.adapter_for = desk, system, adapter_for
        self.adapter = adapter_for(desk)
        self.person = Person()
        self.links: list[Link] = []
        self.opened: dict[str, int] = {}
        self.revoked: set[str] = set()
        self.revoked_late: set[str] = set()
        self.perhaps: set[str] = set()
        self.kept: dict[tuple[str, int], LinkEvent] = {}
        self.cursor = ""

    def make(self, views: int) -> None:
        wish = a_wish(views=min(views, self.adapter.capabilities.most_views))
        try:
            link = self.adapter.create(wish, a_password())
        except (TemporaryError, PermanentError):
            return  # nobody has its address
        self.links.append(link)
        self.opened[link.id] = 0

    def open(self, which: int) -> None:
        link = self.links[which % len(self.links)]
        ways = {"passwordpusher": self.person.open_push, "onetimesecret": self.person.open_secret}
        if ways[self.system](link.url) is not None:
            self.opened[link.id] += 1

    def look(self, which: int) -> None:
        self.person.look(self.links[which % len(self.links)].url)

    def revoke(self, which: int) -> None:
        link = self.links[which % len(self.links)]
        was_open = self.is_open(link)
        try:
            self.adapter.revoke(link.id, handle=link.handle)
        except (TemporaryError, PermanentError):
            self.perhaps.add(link.id)  # an answer may be lost whose effect is not
            return
        if was_open:
            self.revoked.add(link.id)
            if self.system == "passwordpusher" and self.now >= link.expires_at - CLOCKS_MAY_DIFFER:
                self.revoked_late.add(link.id)  # its row cannot be told from that of the end of its time

    def is_open(self, link: Link) -> bool:
        return self.opened[link.id] < link.views and link.id not in self.revoked and self.now < link.expires_at

    @property
    def now(self) -> datetime:
        return self.desk.clock()

    def poll(self, _: int) -> None:
        watched = [Watched(link.id, link.handle, link.expires_at, link.views) for link in self.links]
        try:
            news = self.adapter.news(self.cursor, watched)
        except (TemporaryError, PermanentError):
            return
        for event in news.events:
            key = event.link_id, event.seq
            assert self.kept.setdefault(key, event) == event, "an event is the same at every reading"
        self.cursor = news.cursor

    def wait(self, minutes: int) -> None:
        self.desk.clock.moment += timedelta(minutes=minutes)

    def die(self, _: int) -> None:
        self.adapter = self.adapter_for(self.desk)

    def trouble(self, which: int) -> None:
        self.desk.world.faults.add(Fault(self.system, TROUBLE[which], match="/api/|json", times=1, status=500))

    def story_of(self, link: Link) -> list[LinkEventKind]:
        told = sorted((event for event in self.kept.values() if event.link_id == link.id), key=lambda one: one.seq)
        return [event.kind for event in told if event.kind is not LinkEventKind.REFUSED]


@pytest.fixture(scope="module")
def desk() -> Iterator[Sandbox]:
    with sandbox() as running:
        yield running


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(story=st.lists(steps, min_size=3, max_size=25))
def test_what_is_told_is_what_happened(desk: Sandbox, kind: str, story: list[tuple[str, int]]) -> None:
    desk.clock.moment = MORNING
    desk.world.reset()
    system, adapter_for = KINDS[kind]
    if system == "passwordpusher":
        desk.world.pushes.edition = kind
    else:
        desk.world.secrets.version = int(kind[-1])
    play = Play(desk, system, adapter_for)
    play.make(2)
    for what, number in story:
        if play.links or what not in ("open", "look", "revoke"):
            getattr(play, what)(number)
    desk.world.faults.clear()
    play.poll(0)
    # OneTimeSecret forgets a receipt after twice the lifetime: the connector is back before that.
    end = max((link.expires_at for link in play.links), default=desk.clock())
    desk.clock.moment = max(desk.clock.moment, end + timedelta(seconds=5))
    play.poll(0)
    play.die(0)
    play.poll(0)
    lost = [link for link in play.links if system == "onetimesecret" and desk.clock() >= link.expires_at + LIFETIME]
    for link in play.links:
        told = play.story_of(link)
        reveals = [LinkEventKind.REVEALED] * play.opened[link.id]
        if link in lost:
            continue
        if link.id in play.perhaps - play.revoked and told[-1:] == [LinkEventKind.REVOKED]:
            assert told == [*reveals, LinkEventKind.REVOKED]
            continue
        if play.opened[link.id] == link.views:
            assert told == reveals
        elif link.id in play.revoked - play.revoked_late:
            assert told == [*reveals, LinkEventKind.REVOKED]
        else:
            assert told == [*reveals, LinkEventKind.EXPIRED]
    if system == "passwordpusher":
        assert all(push.expired for push in desk.world.pushes.kept.values()), "those of lost answers, too"
    numbers = [seq for _, seq in play.kept]
    assert len(numbers) == len(set(numbers))
