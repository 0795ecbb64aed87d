"""What every `LinkService` promises. Subclass `LinkServiceContract` and give it a fixture `post`.

`LinkPost` is the service as the connector has it, with a person and a clock at the other end. A service that cannot do
everything says so in its `capabilities`: what it cannot do is then tested to be refused, and the rest holds as ever.
One that needs to know which links are watched is given to the tests as `Watching(links)`.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Protocol

import pytest

from connector.core.ports import (
    AlarmSource,
    AlarmWish,
    Capabilities,
    Finding,
    HumanCheck,
    Level,
    Link,
    LinkEvent,
    LinkEventKind,
    LinkMode,
    LinkNews,
    LinkService,
    LinkWish,
    Watched,
)
from connector.core.secret import Secret
from connector.errors import AuthenticationError, PermanentError, TemporaryError

LIFETIME = timedelta(minutes=60)
SECOND = timedelta(seconds=1)
A_CASE, ANOTHER_CASE = f"alarm-{'0123456789abcdef' * 2}", f"alarm-{'fedcba9876543210' * 2}"
"""What alarms are about."""


class LinkPost(Protocol):
    """A link service, and what a test can do at the other end of the wire."""

    @property
    def links(self) -> LinkService: ...

    def now(self) -> datetime:
        """The present, as the service and its client both see it."""

    def pass_time(self, length: timedelta) -> None:
        """Let this time go by, and let the service do what it does by its own timers."""

    def open(self, url: Secret) -> Secret | None:
        """A person follows the address and has the password shown; `None` where the page says that it is gone."""

    def look(self, url: Secret) -> None:
        """Somebody, or a mail scanner, opens the page and goes no further."""

    def go_down(self) -> None:
        """From now on nobody answers."""

    def refuse_key(self) -> None:
        """From now on our key is not accepted."""


class Watching:
    """A service with the store's part of it: every link that was made is named again at each call of `news`."""

    def __init__(self, links: LinkService) -> None:
        self._links = links
        self._made: list[Watched] = []

    @property
    def capabilities(self) -> Capabilities:
        return self._links.capabilities

    def create(self, wish: LinkWish, password: Secret) -> Link:
        link = self._links.create(wish, password)
        self._made.append(Watched(link.id, link.handle, link.expires_at, link.views))
        return link

    def revoke(self, link_id: str, *, handle: str = "") -> bool:
        return self._links.revoke(link_id, handle=handle)

    def news(self, cursor: str, watched: Sequence[Watched] = ()) -> LinkNews:
        return self._links.news(cursor, watched or self._made)

    def await_news(self, cursor: str, timeout: timedelta) -> bool:
        return self._links.await_news(cursor, timeout)

    def arm(self, wish: AlarmWish) -> Secret:
        return self._links.arm(wish)

    def check(self) -> Iterable[Finding]:
        return self._links.check()


def views_of(post: LinkPost, wanted: int) -> int:
    """So many views, or as many as the service has."""
    return min(wanted, post.links.capabilities.most_views)


def token_of(url: Secret) -> str:
    """The part of an address that makes it a secret: its longest."""
    return max(url.reveal().split("/")[3:], key=len)


def a_password() -> Secret:
    return Secret(secrets.token_urlsafe(16))


def a_wish(*, views: int = 2, lifetime: timedelta = LIFETIME, display_name: str = "Lea") -> LinkWish:
    return LinkWish(
        id=f"lnk_{secrets.token_hex(12)}",
        ref="halo/4242",
        display_name=display_name,
        ticket="4242",
        views=views,
        lifetime=lifetime,
        time_zone="Europe/London",
    )


def wish_for(post: LinkPost, *, views: int = 2, lifetime: timedelta = LIFETIME, display_name: str = "Lea") -> LinkWish:
    """A wish that this service can fulfil."""
    return a_wish(views=views_of(post, views), lifetime=lifetime, display_name=display_name)


def all_events(links: LinkService, *, cursor: str = "") -> list[LinkEvent]:
    """Everything newer than the cursor, call by call until there is nothing new."""
    return read_on(links, cursor)[0]


def read_on(links: LinkService, cursor: str = "") -> tuple[list[LinkEvent], str]:
    """Everything newer than the cursor, and the cursor after it."""
    found: list[LinkEvent] = []
    while True:
        news = links.news(cursor)
        found += news.events
        cursor = news.cursor
        if not news.more:
            return found, cursor


def kinds_of(events: Sequence[LinkEvent], link_id: str) -> list[LinkEventKind]:
    """What happened to one link, pages that were only looked at and refusals left out."""
    side = (LinkEventKind.PAGE_OPENED, LinkEventKind.REFUSED)
    return [event.kind for event in events if event.link_id == link_id and event.kind not in side]


class LinkServiceContract:
    """The promises. `post` is a fixture of the subclass: a service without links, at each test a new one."""

    # -- making and opening

    def test_a_link_opens_to_the_password_that_was_put_behind_it(self, post: LinkPost) -> None:
        password = a_password()
        link = post.links.create(wish_for(post), password)
        assert post.open(link.url) == password

    @pytest.mark.parametrize("odd", ["<b>&amp;\"'`${x}", "with blanks  inside", "Grüße-Ελ-日本", "p" * 200])
    def test_any_password_comes_out_as_it_went_in(self, post: LinkPost, odd: str) -> None:
        password = Secret(f"{odd}{secrets.token_urlsafe(4)}")
        assert post.open(post.links.create(wish_for(post), password).url) == password

    def test_any_name_can_stand_on_the_page(self, post: LinkPost) -> None:
        password = a_password()
        link = post.links.create(wish_for(post, display_name="Léa <script>alert(1)</script> O'Hara 日本"), password)
        post.look(link.url)
        assert post.open(link.url) == password

    def test_the_lifetime_counts_from_now(self, post: LinkPost) -> None:
        now = post.now()
        link = post.links.create(wish_for(post, lifetime=LIFETIME), a_password())
        assert now + LIFETIME <= link.expires_at <= now + LIFETIME + SECOND

    def test_a_link_tells_its_id_and_its_views(self, post: LinkPost) -> None:
        wish = wish_for(post, views=3)
        link = post.links.create(wish, a_password())
        assert (link.id, link.views) == (wish.id, views_of(post, 3))

    def test_a_link_opens_as_often_as_it_has_views_and_not_more(self, post: LinkPost) -> None:
        password = a_password()
        link = post.links.create(wish_for(post, views=2), password)
        views = views_of(post, 2)
        assert [post.open(link.url) for _ in range(views + 2)] == [password] * views + [None, None]

    def test_more_views_than_it_has_are_refused(self, post: LinkPost) -> None:
        most = post.links.capabilities.most_views
        password = a_password()
        with pytest.raises((PermanentError, ValueError)) as refusal:
            post.links.create(a_wish(views=most + 1), password)
        assert password.reveal() not in str(refusal.value)
        assert all_events(post.links) == []

    def test_two_links_have_two_addresses_and_two_passwords(self, post: LinkPost) -> None:
        first, second = a_password(), a_password()
        links = [post.links.create(wish_for(post, views=1), password) for password in (first, second)]
        assert links[0].url != links[1].url
        assert post.open(links[0].url) == first
        assert post.open(links[1].url) == second

    def test_an_id_is_used_once_and_the_first_link_stays_as_it_was(self, post: LinkPost) -> None:
        wish, password = wish_for(post), a_password()
        link = post.links.create(wish, password)
        with pytest.raises(PermanentError):
            post.links.create(wish, a_password())
        assert post.open(link.url) == password

    def test_looking_at_the_page_uses_no_view(self, post: LinkPost) -> None:
        password = a_password()
        link = post.links.create(wish_for(post, views=1), password)
        for _ in range(5):
            post.look(link.url)
        assert LinkEventKind.REVEALED not in kinds_of(all_events(post.links), link.id)
        assert post.open(link.url) == password

    def test_a_link_that_was_never_made_shows_nothing(self, post: LinkPost) -> None:
        real = post.links.create(wish_for(post), a_password())
        token = token_of(real.url)
        assert post.open(Secret(real.url.reveal().replace(token, token[::-1]))) is None

    # -- the end of a link

    def test_a_revoked_link_shows_nothing(self, post: LinkPost) -> None:
        link = post.links.create(wish_for(post), a_password())
        assert post.links.revoke(link.id) is True
        assert post.open(link.url) is None

    def test_a_link_that_was_opened_once_can_be_revoked(self, post: LinkPost) -> None:
        link = post.links.create(wish_for(post, views=2), a_password())
        assert post.open(link.url) is not None
        post.links.revoke(link.id, handle=link.handle)
        assert post.open(link.url) is None

    def test_revoking_one_link_leaves_the_others(self, post: LinkPost) -> None:
        password = a_password()
        older, newer = post.links.create(wish_for(post), a_password()), post.links.create(wish_for(post), password)
        post.links.revoke(older.id)
        assert post.open(newer.url) == password

    def test_revoking_twice_is_fine_and_told_once(self, post: LinkPost) -> None:
        link = post.links.create(wish_for(post), a_password())
        assert [post.links.revoke(link.id) for _ in range(2)] == [True, True]
        assert kinds_of(all_events(post.links), link.id).count(LinkEventKind.REVOKED) == 1

    def test_revoking_a_link_that_was_never_made_is_fine_and_changes_nothing(self, post: LinkPost) -> None:
        before = all_events(post.links)
        assert post.links.revoke(f"lnk_{secrets.token_hex(12)}") is False
        assert all_events(post.links) == before

    def test_a_link_opens_until_its_last_second(self, post: LinkPost) -> None:
        password = a_password()
        link = post.links.create(wish_for(post, lifetime=LIFETIME), password)
        post.pass_time(LIFETIME - SECOND)
        assert post.open(link.url) == password

    def test_an_expired_link_shows_nothing(self, post: LinkPost) -> None:
        link = post.links.create(wish_for(post, lifetime=LIFETIME), a_password())
        post.pass_time(LIFETIME + SECOND)
        assert post.open(link.url) is None

    def test_the_end_of_a_link_is_told_once_with_its_time(self, post: LinkPost) -> None:
        link = post.links.create(wish_for(post, lifetime=LIFETIME), a_password())
        post.pass_time(LIFETIME + SECOND)
        post.pass_time(LIFETIME)
        ends = [event for event in all_events(post.links) if event.kind is LinkEventKind.EXPIRED]
        assert [event.link_id for event in ends] == [link.id]
        assert ends[0].at >= link.expires_at

    def test_a_revoked_link_does_not_expire_as_well(self, post: LinkPost) -> None:
        link = post.links.create(wish_for(post, lifetime=LIFETIME), a_password())
        post.links.revoke(link.id)
        post.pass_time(LIFETIME + SECOND)
        assert LinkEventKind.EXPIRED not in kinds_of(all_events(post.links), link.id)

    # -- events

    def test_each_reveal_is_told_with_its_number_and_what_is_left(self, post: LinkPost) -> None:
        link = post.links.create(wish_for(post, views=3), a_password())
        views = views_of(post, 3)
        opened = min(2, views)
        for _ in range(opened):
            post.open(link.url)
        shown = [event for event in all_events(post.links) if event.kind is LinkEventKind.REVEALED]
        assert [(event.link_id, event.view, event.views_left) for event in shown] == [
            (link.id, number, views - number) for number in range(1, opened + 1)
        ]
        assert all(abs(event.at - post.now()) <= SECOND for event in shown)
        assert all(event.at.tzinfo is not None for event in shown)

    def test_a_refused_reveal_is_no_reveal(self, post: LinkPost) -> None:
        link = post.links.create(wish_for(post, views=1), a_password())
        for _ in range(3):
            post.open(link.url)
        assert kinds_of(all_events(post.links), link.id).count(LinkEventKind.REVEALED) == 1

    def test_events_come_in_order_and_each_once(self, post: LinkPost) -> None:
        for _ in range(3):
            post.open(post.links.create(wish_for(post), a_password()).url)
        seqs = [event.seq for event in all_events(post.links)]
        assert len(seqs) >= 3
        assert seqs == sorted(set(seqs))

    def test_only_what_is_newer_than_the_cursor_is_told(self, post: LinkPost) -> None:
        first = post.links.create(wish_for(post), a_password())
        _, cursor = read_on(post.links)
        assert read_on(post.links, cursor) == ([], cursor)
        second = post.links.create(wish_for(post), a_password())
        post.open(second.url)
        newer = all_events(post.links, cursor=cursor)
        assert LinkEventKind.REVEALED in kinds_of(newer, second.id)
        assert kinds_of(newer, first.id) == []

    def test_a_long_history_comes_whole_in_several_calls(self, post: LinkPost) -> None:
        made = [post.links.create(wish_for(post, views=1), a_password()) for _ in range(120)]
        for link in made:
            post.open(link.url)
        shown = [event.link_id for event in all_events(post.links) if event.kind is LinkEventKind.REVEALED]
        if post.links.capabilities.needs_watched:  # it knows times only, and one may be that of many links
            shown, made = sorted(shown), sorted(made, key=lambda link: link.id)
        assert shown == [link.id for link in made]

    def test_a_reveal_comes_with_what_the_service_can_tell_of_the_visitor(self, post: LinkPost) -> None:
        link = post.links.create(wish_for(post), a_password())
        post.open(link.url)
        (shown,) = [event for event in all_events(post.links) if event.kind is LinkEventKind.REVEALED]
        can = post.links.capabilities
        assert bool(shown.ip) is can.tells_ip
        assert can.tells_agent or not shown.agent
        assert can.tells_place or not shown.place

    def test_what_was_told_is_told_again_to_whoever_has_lost_the_answer(self, post: LinkPost) -> None:
        post.open(post.links.create(wish_for(post), a_password()).url)
        first = all_events(post.links)
        assert first
        assert all_events(post.links) == first

    # -- what not every service can do

    def test_a_link_that_only_the_browser_opens_is_made_or_refused_as_declared(self, post: LinkPost) -> None:
        wish, password = replace(wish_for(post), mode=LinkMode.FRAGMENT), a_password()
        if LinkMode.FRAGMENT in post.links.capabilities.modes:  # how that opens is tested with the service itself
            assert post.links.create(wish, password).id == wish.id
            return
        with pytest.raises(PermanentError) as refusal:
            post.links.create(wish, password)
        assert password.reveal() not in str(refusal.value)
        assert all_events(post.links) == []

    def test_a_typed_check_that_it_cannot_ask_for_is_refused(self, post: LinkPost) -> None:
        wish = replace(wish_for(post), human_check=HumanCheck.TICKET_NUMBER)
        if post.links.capabilities.human_check:
            assert post.links.create(wish, a_password()).id == wish.id
            return
        with pytest.raises(PermanentError):
            post.links.create(wish, a_password())
        assert all_events(post.links) == []

    def test_an_alarm_is_armed_or_refused_as_declared(self, post: LinkPost) -> None:
        wish = AlarmWish(
            mail="case-0123456789abcdef/accessed:1", about=A_CASE, link_id="", source=AlarmSource.ACCESSED,
            display_name="Lea", ticket="4242", since=post.now(), lifetime=LIFETIME,
        )  # fmt: skip
        if post.links.capabilities.alarms:
            assert post.links.arm(wish)
        else:
            with pytest.raises(PermanentError):
                post.links.arm(wish)

    # -- secrets

    def test_neither_a_link_nor_its_events_show_address_or_password(self, post: LinkPost) -> None:
        password = a_password()
        link: Link = post.links.create(wish_for(post), password)
        post.open(link.url)
        shown = f"{link!r} {link} {all_events(post.links)!r}"
        assert token_of(link.url) not in shown
        assert link.handle not in link.url.reveal() or not link.handle
        assert password.reveal() not in shown

    # -- trouble

    def test_a_service_that_is_away_is_temporary_for_every_call(self, post: LinkPost) -> None:
        link = post.links.create(wish_for(post), a_password())
        post.go_down()
        with pytest.raises(TemporaryError):
            post.links.create(wish_for(post), a_password())
        with pytest.raises(TemporaryError):
            post.links.revoke(link.id)
        with pytest.raises(TemporaryError):
            post.links.news("")

    def test_a_refused_key_pauses_the_links(self, post: LinkPost) -> None:
        link = post.links.create(wish_for(post), a_password())
        post.refuse_key()
        for call in (
            lambda: post.links.create(wish_for(post), a_password()),
            lambda: post.links.revoke(link.id),
            lambda: post.links.news(""),
        ):
            with pytest.raises(AuthenticationError) as refusal:
                call()
            assert refusal.value.scope == "links"

    def test_no_failure_shows_the_password(self, post: LinkPost) -> None:
        password = a_password()
        post.go_down()
        with pytest.raises(TemporaryError) as failure:
            post.links.create(wish_for(post), password)
        shown = f"{failure.value!r} {failure.value} {failure.value.__cause__!r} {failure.value.__context__!r}"
        assert password.reveal() not in shown

    def test_the_check_finds_a_healthy_service(self, post: LinkPost) -> None:
        levels = [finding.level for finding in post.links.check()]
        assert Level.OK in levels
        assert Level.ERROR not in levels

    def test_the_check_reports_trouble_instead_of_raising_it(self, post: LinkPost) -> None:
        post.go_down()
        errors = [finding for finding in post.links.check() if finding.level is Level.ERROR]
        assert len(errors) == 1
        assert errors[0].todo


class AlarmPost(LinkPost, Protocol):
    """The same of a service that has alarms."""

    def see_alarm(self, url: Secret) -> bool:
        """Somebody, or a mail scanner, opens an alarm's page; whether it is one that can be pressed."""

    def press(self, url: Secret) -> None:
        """A person goes on from the page and says "this was not me"."""


def an_alarm(post: LinkPost, link_id: str, *, about: str = A_CASE, lifetime: timedelta = 2 * LIFETIME) -> AlarmWish:
    return AlarmWish(
        mail=f"{about}/accessed:1", about=about, link_id=link_id, source=AlarmSource.ACCESSED, display_name="Lea",
        ticket="4242", since=post.now(), lifetime=lifetime,
    )  # fmt: skip


def reports_of(events: Sequence[LinkEvent]) -> list[tuple[str, str]]:
    """What was reported, and by which mail."""
    return [(event.link_id, event.reason) for event in events if event.kind is LinkEventKind.REPORTED]


class AlarmContract:
    """The promises of a service with `alarms`. `post` is a fixture of the subclass, as for `LinkServiceContract`."""

    def test_an_armed_alarm_shows_a_page_and_raises_nothing_by_being_opened(self, post: AlarmPost) -> None:
        password = a_password()
        link = post.links.create(a_wish(), password)
        url = post.links.arm(an_alarm(post, link.id))
        before = all_events(post.links)
        for _ in range(5):
            assert post.see_alarm(url)
        assert all_events(post.links) == before
        assert post.open(link.url) == password

    def test_a_pressed_alarm_is_reported_once_with_what_it_is_about_and_its_link_is_dead(self, post: AlarmPost) -> None:
        link = post.links.create(a_wish(), a_password())
        post.open(link.url)
        url = post.links.arm(an_alarm(post, link.id))
        _, cursor = read_on(post.links)
        post.press(url)
        events = all_events(post.links, cursor=cursor)
        assert reports_of(events) == [(A_CASE, "accessed")]
        [report] = [event for event in events if event.kind is LinkEventKind.REPORTED]
        assert abs(report.at - post.now()) <= SECOND
        assert bool(report.ip) == post.links.capabilities.tells_ip
        assert LinkEventKind.REVOKED in kinds_of(events, link.id)
        assert post.open(link.url) is None

    def test_an_alarm_that_is_pressed_again_tells_nothing_new(self, post: AlarmPost) -> None:
        link = post.links.create(a_wish(), a_password())
        url = post.links.arm(an_alarm(post, link.id))
        post.press(url)
        _, cursor = read_on(post.links)
        for _ in range(3):
            post.see_alarm(url)
            post.press(url)
        assert [
            event for event in all_events(post.links, cursor=cursor) if event.kind is not LinkEventKind.REFUSED
        ] == []

    def test_an_alarm_whose_time_is_over_does_nothing(self, post: AlarmPost) -> None:
        password = a_password()
        url = post.links.arm(an_alarm(post, "", lifetime=LIFETIME))
        post.pass_time(LIFETIME - SECOND)
        assert post.see_alarm(url)
        post.pass_time(2 * SECOND)
        link = post.links.create(a_wish(), password)
        assert not post.see_alarm(url)
        post.press(url)
        assert reports_of(all_events(post.links)) == []
        assert post.open(link.url) == password

    def test_an_alarm_can_be_pressed_in_its_last_second_and_after_the_end_of_its_link(self, post: AlarmPost) -> None:
        link = post.links.create(a_wish(lifetime=LIFETIME), a_password())
        url = post.links.arm(an_alarm(post, link.id, lifetime=2 * LIFETIME))
        post.pass_time(2 * LIFETIME - SECOND)
        post.press(url)
        events = all_events(post.links)
        assert len(reports_of(events)) == 1
        assert kinds_of(events, link.id)[-1] is LinkEventKind.EXPIRED, "a link that has ended does not end again"

    def test_an_alarm_about_a_case_without_a_link_is_heard_too(self, post: AlarmPost) -> None:
        other = post.links.create(a_wish(), a_password())
        post.press(post.links.arm(an_alarm(post, "", about=ANOTHER_CASE)))
        events = all_events(post.links)
        assert reports_of(events) == [(ANOTHER_CASE, "accessed")]
        assert LinkEventKind.REVOKED not in kinds_of(events, other.id)

    def test_alarms_of_one_case_are_told_apart_and_each_is_heard(self, post: AlarmPost) -> None:
        link = post.links.create(a_wish(), a_password())
        wishes = (an_alarm(post, link.id), replace(an_alarm(post, link.id), source=AlarmSource.NOTICE))
        urls = [post.links.arm(wish) for wish in wishes]
        assert urls[0] != urls[1]
        for url in urls:
            post.press(url)
        events = all_events(post.links)
        assert [source for _, source in reports_of(events)] == ["accessed", "notice"]
        assert kinds_of(events, link.id).count(LinkEventKind.REVOKED) == 1

    def test_an_alarms_address_is_shown_by_no_event_and_opens_no_link(self, post: AlarmPost) -> None:
        link = post.links.create(a_wish(), a_password())
        url = post.links.arm(an_alarm(post, link.id))
        post.press(url)
        assert token_of(url) not in f"{url!r} {all_events(post.links)!r}"
        assert post.open(Secret(url.reveal().replace("/n/", "/s/"))) is None

    def test_a_mail_that_is_tried_again_gets_the_same_alarm(self, post: AlarmPost) -> None:
        links = post.links  # of one process
        link = links.create(a_wish(), a_password())
        wish = an_alarm(post, link.id, lifetime=4 * LIFETIME)
        url = links.arm(wish)
        post.pass_time(2 * LIFETIME - SECOND)
        assert links.arm(wish) == url
        post.press(url)
        assert links.arm(wish) == url, "a lost answer of the mail server: whoever has the mail may have pressed it"
        post.press(url)
        assert len(reports_of(all_events(post.links))) == 1

    def test_a_mail_that_is_very_late_gets_an_alarm_with_half_of_its_life_left(self, post: AlarmPost) -> None:
        wish = an_alarm(post, "", lifetime=4 * LIFETIME)
        early = post.links.arm(wish)
        post.pass_time(2 * LIFETIME)
        late = post.links.arm(wish)
        assert late != early
        post.pass_time(2 * LIFETIME)
        assert not post.see_alarm(early)
        assert post.see_alarm(late)
        post.pass_time(2 * LIFETIME)
        assert not post.see_alarm(late)

    def test_mails_of_the_same_content_have_alarms_of_their_own(self, post: AlarmPost) -> None:
        wish = an_alarm(post, "")
        other = replace(wish, mail=f"{wish.about}/accessed:2")
        urls = [post.links.arm(one) for one in (wish, other)]
        assert urls[0] != urls[1]
        for url in urls:
            post.press(url)
        assert len(reports_of(all_events(post.links))) == 2

    def test_an_alarm_cannot_be_armed_while_nobody_answers(self, post: AlarmPost) -> None:
        post.go_down()
        with pytest.raises(TemporaryError):
            post.links.arm(an_alarm(post, ""))

    def test_an_alarm_is_not_armed_with_a_refused_key(self, post: AlarmPost) -> None:
        post.refuse_key()
        with pytest.raises(AuthenticationError) as refusal:
            post.links.arm(an_alarm(post, ""))
        assert refusal.value.scope == "links"
