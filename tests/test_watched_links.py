"""Link services that do not tell by themselves: which links they are asked about, and by what they know them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from connector.core.case import State
from connector.core.ports import Capabilities, Link, LinkNews, LinkWish, MailKind, Watched
from connector.core.secret import Secret
from connector.errors import PasswordRejected, TemporaryError
from tests.fakes.links import FakeLinks
from tests.fakes.world import SUBJECT, FakeClock, World


class Killed(BaseException):
    """SIGKILL: no handler of ours may catch it."""


class AskedLinks(FakeLinks):
    """Knows a link by a handle of its own, and tells only of links that it is asked about.

    Attributes:
        watched: What each call of `news` named, oldest first.
        revoked: Each link that was revoked, with the handle that was given.
    """

    def __init__(self, clock: FakeClock, *, needs_watched: bool = True) -> None:
        super().__init__(clock=clock)
        self.capabilities = Capabilities(announces=False, alarms=False, needs_watched=needs_watched)
        self.watched: list[Sequence[Watched]] = []
        self.revoked: list[tuple[str, str]] = []

    def create(self, wish: LinkWish, password: Secret) -> Link:
        return replace(super().create(wish, password), handle=f"handle of {wish.id}")

    def revoke(self, link_id: str, *, handle: str = "") -> bool:
        self.revoked.append((link_id, handle))
        return super().revoke(link_id, handle=handle)

    def news(self, cursor: str, watched: Sequence[Watched] = ()) -> LinkNews:
        self.watched.append(watched)
        news = super().news(cursor, watched)
        if not self.capabilities.needs_watched:
            return news
        named = {link.id for link in watched}
        return replace(news, events=tuple(event for event in news.events if event.link_id in named), more=False)


def a_world(*, needs_watched: bool = True) -> tuple[World, AskedLinks]:
    world = World()
    links = AskedLinks(world.clock, needs_watched=needs_watched)
    world.links = links
    world.restart()
    return world, links


def test_a_link_that_is_out_is_asked_about_until_its_last_view() -> None:
    world, links = a_world()
    ticket = world.ticket()
    world.run()
    assert set(map(len, links.watched)) <= {0}, "nothing is out yet"
    world.approve(ticket)
    world.run()
    case = world.case_of(ticket)
    assert case.link_handle == f"handle of {case.link_id}"
    world.clock.advance(minutes=1)
    world.run()
    assert case.link_expires_at is not None
    assert links.watched[-1] == [Watched(case.link_id, case.link_handle, case.link_expires_at, 2)]
    world.open_newest_link()
    world.clock.advance(minutes=1)
    world.run()
    assert world.case_of(ticket).state is State.CLOSED
    world.clock.advance(minutes=1)
    world.run()
    assert [link.id for link in links.watched[-1]] == [case.link_id], "its second view is told on a closed case, too"
    world.open_newest_link()
    for _ in range(2):
        world.clock.advance(minutes=1)
        world.run()
    assert links.watched[-1] == []
    assert world.case_of(ticket).views_used == 2


def test_a_link_that_ran_out_is_told_by_being_asked_about() -> None:
    world, links = a_world()
    ticket = world.ticket()
    world.run()
    world.approve(ticket)
    world.run()
    world.clock.advance(minutes=60, seconds=6)
    links.expire(world.clock())
    world.run()
    assert world.case_of(ticket).state is State.CLOSED
    assert world.note_with(ticket, "xpired")
    world.clock.advance(minutes=1)
    world.run()
    assert links.watched[-1] == []


def test_a_service_that_tells_by_itself_is_told_nothing() -> None:
    world, links = a_world(needs_watched=False)
    ticket = world.ticket()
    world.run()
    world.approve(ticket)
    world.run()
    world.open_newest_link()
    world.clock.advance(minutes=1)
    world.run()
    assert world.case_of(ticket).state is State.CLOSED
    assert set(map(len, links.watched)) == {0}


def test_a_link_whose_delivery_failed_is_revoked_by_its_handle() -> None:
    world, links = a_world()
    ticket = world.ticket()
    world.run()
    world.directory.raise_before("set_password", TemporaryError("away"))
    world.approve(ticket)
    world.run()
    first = links.made()[0]
    assert (first, f"handle of {first}") in links.revoked
    assert [link_id for link_id in links.alive() if link_id == first] == []


def test_a_rejected_candidate_takes_its_link_with_it_and_the_next_one_has_a_handle_of_its_own() -> None:
    world, links = a_world()
    ticket = world.ticket()
    world.run()
    world.directory.raise_before("set_password", PasswordRejected("banned"))
    world.approve(ticket)
    world.run()
    first, second = links.made()
    assert (first, f"handle of {first}") in links.revoked
    case = world.case_of(ticket)
    assert (case.state, case.link_id, case.link_handle) == (State.LINK_OUT, second, f"handle of {second}")


def test_the_handle_is_saved_before_the_password_is_set() -> None:
    """A process that dies after the write finds the link again whose password is in force."""
    world, links = a_world()
    ticket = world.ticket()
    world.run()
    seen: list[str] = []

    def look(name: str, moment: str) -> None:
        if name == "set_password" and moment == "before":
            seen.append(world.case_of(ticket).link_handle)

    world.directory.on_call = look
    world.approve(ticket)
    world.run()
    assert seen == [f"handle of {links.made()[0]}"]
    assert world.directory.account(SUBJECT).must_change


@pytest.mark.parametrize("needs_watched", [True, False])
def test_who_opens_a_link_whose_maker_died_after_its_mail_is_told_of(needs_watched: bool) -> None:
    """The next try makes a new one, and its password is the one in force; the first was seen by somebody all the same.

    That is told without waiting for what becomes of the new link.
    """
    world, links = a_world(needs_watched=needs_watched)
    ticket = world.ticket()
    world.run()

    def die(*_: str) -> None:
        if world.mails.count(MailKind.PASSWORD_READY):
            raise Killed  # whatever is tried from now on, so that nothing is tidied up

    world.mailer.on_call = links.on_call = die
    world.approve(ticket)
    with pytest.raises(Killed):
        world.run()
    world.mailer.on_call = links.on_call = None
    world.restart()
    world.open_newest_link()
    for _ in range(10):
        world.clock.advance(minutes=1)
        world.run()
    first, second = links.made()
    case = world.case_of(ticket)
    assert (case.state, case.link_id, case.views_used) == (State.LINK_OUT, second, 0)
    assert world.mails.count(MailKind.LINK_ACCESSED) == 1
    assert links.alive() == [second]
    world.open_newest_link()
    world.clock.advance(minutes=1)
    world.run()
    assert world.case_of(ticket).state is State.CLOSED
    assert world.mails.count(MailKind.LINK_ACCESSED) == 2
    assert first != second


@pytest.mark.parametrize("times", [1, 2])
def test_a_new_link_never_keeps_the_handle_of_the_one_before(times: int) -> None:
    world, links = a_world()
    ticket = world.ticket()
    world.run()
    links.raise_before("create", *[TemporaryError("away")] * times)
    world.approve(ticket)
    world.run()
    assert world.case_of(ticket).link_handle == ""
    for _ in range(times):
        world.clock.advance(minutes=5)
        world.run()
    case = world.case_of(ticket)
    assert (case.state, case.link_handle) == (State.LINK_OUT, f"handle of {case.link_id}")
