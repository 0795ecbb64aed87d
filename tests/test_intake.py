"""Polling: nothing lost, nothing asked too often."""

from __future__ import annotations

from datetime import timedelta

import pytest

from connector.core.ports import ChangedTicket, Changes
from connector.errors import AuthenticationError, TemporaryError
from connector.intake import Polls
from tests.fakes.links import FakeLinks
from tests.fakes.psa import FakePsa
from tests.fakes.store import MemoryCaseStore
from tests.fakes.world import FakeClock

EVERY = timedelta(seconds=15)


class Desk:
    """A store, a PSA, a link service and their polls."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.store = MemoryCaseStore()
        self.psa = FakePsa("halo", clock=self.clock)
        self.links = FakeLinks(clock=self.clock)
        self.polls = Polls(store=self.store, links=self.links, clock=self.clock, every=EVERY)


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_a_psa_is_asked_when_it_is_time_and_not_before(desk: Desk) -> None:
    assert desk.polls.poll_psa(desk.psa) == 0
    assert desk.polls.poll_psa(desk.psa) is None, "not due yet"
    desk.clock.advance(seconds=15)
    assert desk.polls.poll_psa(desk.psa) == 0


def test_a_person_may_ask_before_it_is_time(desk: Desk) -> None:
    desk.polls.poll_psa(desk.psa)
    desk.psa.add_ticket()
    assert desk.polls.poll_psa(desk.psa) is None
    assert desk.polls.poll_psa(desk.psa, early=True) == 1


def test_a_push_asks_before_it_is_time_but_not_within_a_second(desk: Desk) -> None:
    desk.polls.poll_psa(desk.psa)
    desk.psa.add_ticket()
    desk.clock.advance(seconds=0.9)
    assert desk.polls.poll_pushed(desk.psa) is None
    desk.clock.advance(seconds=0.1)
    assert desk.polls.poll_pushed(desk.psa) == 1
    desk.clock.advance(seconds=0.9)
    assert desk.polls.poll_pushed(desk.psa) is None, "polls of pushes keep their distance from each other, too"
    assert [call for call, _ in desk.psa.calls] == ["changed", "changed"]


@pytest.mark.parametrize(
    ("failure", "pause"),
    [
        (TemporaryError("away"), 15),
        (TemporaryError("slow down", retry_after=timedelta(minutes=10)), 600),
        (AuthenticationError("no", scope="psa.halo"), 15),
    ],
)
def test_a_push_does_not_cut_short_the_pause_after_a_failure(desk: Desk, failure: Exception, pause: int) -> None:
    desk.psa.raise_before("changed", failure)
    with pytest.raises(type(failure)):
        desk.polls.poll_pushed(desk.psa)
    desk.psa.add_ticket()
    desk.clock.advance(seconds=pause - 1)
    assert desk.polls.poll_pushed(desk.psa) is None
    assert len(desk.psa.calls) == 1
    desk.clock.advance(seconds=1)
    assert desk.polls.poll_pushed(desk.psa) == 1
    desk.clock.advance(seconds=1)
    assert desk.polls.poll_pushed(desk.psa) == 0, "all is well again, so pushes count again"


def test_a_push_disturbs_no_poll_that_another_process_makes(desk: Desk) -> None:
    slow = Polls(store=desk.store, links=desk.links, clock=desk.clock, every=timedelta(minutes=10))
    assert desk.store.claim_poll("psa:halo", now=desk.clock(), lease=timedelta(minutes=3)) == ""
    desk.clock.advance(seconds=2)
    assert slow.poll_pushed(desk.psa) is None
    assert slow.poll_psa(desk.psa, early=True) is None
    assert desk.psa.calls == []


def test_a_ticket_opens_one_case_however_often_it_is_told(desk: Desk) -> None:
    desk.psa.add_ticket()
    assert desk.polls.poll_psa(desk.psa) == 1
    desk.clock.advance(hours=2)
    assert desk.polls.sweep_psa(desk.psa)
    assert len(desk.store.cases()) == 1


@pytest.mark.parametrize("failure", [TemporaryError("away"), AuthenticationError("no", scope="psa.halo")])
def test_a_failed_poll_keeps_its_place_and_waits_longer_each_time(desk: Desk, failure: Exception) -> None:
    desk.polls.poll_psa(desk.psa)
    desk.psa.add_ticket()
    waits = []
    for _ in range(6):
        desk.psa.raise_before("changed", failure)
        desk.clock.advance(hours=1)
        with pytest.raises(type(failure)):
            desk.polls.poll_psa(desk.psa)
        waited = 0
        while (cursor := desk.store.claim_poll("psa:halo", now=desk.clock(), lease=timedelta(0))) is None:
            desk.clock.advance(seconds=1)
            waited += 1
        desk.store.finish_poll("psa:halo", cursor=cursor, next_at=desk.clock())
        waits.append(waited)
    assert waits == sorted(waits)
    assert waits[0] == 15
    assert waits[-1] == 300, "never longer than five minutes"
    assert desk.polls.poll_psa(desk.psa) == 1, "what came meanwhile is found"


def test_a_wait_that_the_psa_asks_for_is_kept(desk: Desk) -> None:
    desk.psa.raise_before("changed", TemporaryError("slow down", retry_after=timedelta(minutes=10)))
    with pytest.raises(TemporaryError):
        desk.polls.poll_psa(desk.psa)
    desk.clock.advance(minutes=9, seconds=59)
    assert desk.polls.poll_psa(desk.psa) is None
    desk.clock.advance(seconds=1)
    assert desk.polls.poll_psa(desk.psa) == 0


def test_the_cursor_is_saved_only_after_the_tickets_were(desk: Desk) -> None:
    class Dies(MemoryCaseStore):
        def note_tickets(self, psa: str, tickets: object, *, now: object) -> int:  # type: ignore[override]
            raise KeyboardInterrupt

    class TellsOne(FakePsa):
        def changed(self, cursor: str | None) -> Changes:
            return Changes((ChangedTicket("1", "1"),), "after the ticket")

    store = Dies()
    psa = TellsOne("halo", clock=desk.clock)
    polls = Polls(store=store, links=desk.links, clock=desk.clock, every=EVERY)
    with pytest.raises(KeyboardInterrupt):
        polls.poll_psa(psa)
    desk.clock.advance(minutes=10)
    assert store.claim_poll("psa:halo", now=desk.clock(), lease=EVERY) == "", "the next poll asks for the same again"
