"""Looks by people signed in at Password Pusher use up no view: they are told, and hide nobody who comes after them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from connector.core.ports import Link, LinkNews, LinkWish, MailKind, Watched
from connector.core.secret import Secret
from connector.secretlink.passwordpusher.adapter import PasswordPusher
from connector.secretlink.passwordpusher.memory import READ_AGAIN_EVERY
from sandbox.passwordpusher_pushes import Visitor
from tests.fakes.links import FakeLinks
from tests.fakes.psa import FakeTicket
from tests.fakes.world import FakeClock, World
from tests.secretlink.other_services import BRITISH, EDGE, Sandbox
from tests.secretlink.test_passwordpusher import STAFF, adapter_for

REQUESTER, STRANGER = Visitor(BRITISH, EDGE), Visitor("198.51.100.66", EDGE)


class Pushes(FakeLinks):
    """Password Pusher, where the world has its links."""

    def __init__(self, adapter: PasswordPusher) -> None:
        super().__init__()
        self.capabilities = adapter.capabilities
        self._adapter = adapter

    def create(self, wish: LinkWish, password: Secret) -> Link:
        return self._adapter.create(wish, password)

    def revoke(self, link_id: str, *, handle: str = "") -> bool:
        return self._adapter.revoke(link_id, handle=handle)

    def news(self, cursor: str, watched: Sequence[Watched] = ()) -> LinkNews:
        return self._adapter.news(cursor, watched)


@dataclass
class Desk:
    """A request whose link of two views is out."""

    sandbox: Sandbox
    world: World
    ticket: FakeTicket

    def look(self, *visitors: Visitor) -> None:
        """Each of them sees the password."""
        (push,) = self.sandbox.world.pushes.kept.values()
        for visitor in visitors:
            assert self.sandbox.world.pushes.claim(push, visitor) is not None

    def wait(self, *, minutes: int) -> None:
        for _ in range(minutes):
            self.world.clock.advance(minutes=1)
            self.sandbox.clock.moment = self.world.clock()
            self.world.run()

    def told(self) -> list[tuple[str, str]]:
        """From where each mail says that the password was seen, and which view it was."""
        mails = [email for email in self.world.mailer.sent if "has just been shown" in email.text]
        lines = [dict(line.split(": ", 1) for line in mail.text.splitlines() if ": " in line) for mail in mails]
        assert len(mails) == self.world.mails.count(MailKind.LINK_ACCESSED)
        return [(said["IP address"], said["View"]) for said in lines]


@pytest.fixture
def out(desk: Sandbox) -> Desk:
    world = World(clock=FakeClock(desk.clock()))
    world.links = Pushes(adapter_for(desk))
    world.restart()
    ticket = world.ticket()
    world.run()
    world.approve(ticket)
    desk.clock.moment = world.clock()
    world.run()
    return Desk(desk, world, ticket)


def test_a_stranger_is_told_of_though_staff_looked_before(out: Desk) -> None:
    out.wait(minutes=1)
    out.look(STAFF, REQUESTER)
    out.wait(minutes=2)
    out.look(STRANGER)
    out.wait(minutes=1)
    assert out.told() == [(STAFF.ip, "none used up"), (REQUESTER.ip, "1 of 2"), (STRANGER.ip, "2 of 2")]
    notes = [note for note in out.world.notes_of(out.ticket) if "was shown" in note]
    assert [(ip in note, words in note) for note, ip, words in zip(
        notes, (STAFF.ip, REQUESTER.ip, STRANGER.ip), ("(no view used up)", "(view 1)", "(view 2)"), strict=True
    )] == [(True, True)] * 3  # fmt: skip
    assert out.world.case_of(out.ticket).views_used == 2


def test_a_stranger_is_told_of_though_staff_looked_as_often_as_there_are_views(out: Desk) -> None:
    out.look(STAFF, STAFF)
    out.wait(minutes=5)
    assert out.told() == [(STAFF.ip, "none used up")] * 2
    out.look(STRANGER)
    out.wait(minutes=1)
    assert out.told()[2:] == [(STRANGER.ip, "1 of 2")]


def test_a_look_by_staff_alone_is_told_within_minutes_and_not_at_the_end(out: Desk) -> None:
    out.wait(minutes=1)
    out.look(STAFF)
    out.wait(minutes=READ_AGAIN_EVERY.seconds // 60)
    assert out.told() == [(STAFF.ip, "none used up")]


def test_a_link_is_watched_until_its_last_view_was_told_and_no_longer(out: Desk) -> None:
    out.look(STAFF, REQUESTER)
    out.wait(minutes=1)
    assert len(out.world.store.watched_links(now=out.world.clock())) == 1
    out.look(STRANGER)
    out.wait(minutes=1)
    assert out.world.store.watched_links(now=out.world.clock()) == []
    out.wait(minutes=70)
    assert len(out.told()) == 3
