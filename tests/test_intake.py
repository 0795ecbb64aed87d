"""Polling: nothing lost, nothing asked too often."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import pytest
import structlog

from connector.core.ports import ChangedTicket, Changes, LinkNews, Watched
from connector.errors import AuthenticationError, DatabaseError, PermanentError, TemporaryError
from connector.intake import LISTEN_FOR, LONGEST_REST, LinkListener, Polls
from tests.contracts.links import a_password, a_wish
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


# ---------------------------------------------------------------- links


def news_from(desk: Desk) -> list[str]:
    """The cursors from which the link service was asked for news, oldest first."""
    return [cursor for call, cursor in desk.links.calls if call == "news"]


def make_link(desk: Desk) -> str:
    return desk.links.create(a_wish(), a_password()).id


def test_links_are_read_from_where_the_last_poll_ended_even_by_a_new_process(desk: Desk) -> None:
    for _ in range(3):
        make_link(desk)
    desk.polls.poll_links()
    make_link(desk)
    restarted = Polls(store=desk.store, links=desk.links, clock=desk.clock, every=EVERY)
    restarted.read_links_now()
    restarted.read_links_now()
    assert news_from(desk) == ["", "3", "3"], "never again from the beginning, and reading moves no cursor"
    desk.clock.advance(seconds=15)
    assert restarted.poll_links()
    assert news_from(desk)[-1] == "3"
    assert desk.store.poll_cursor("links") == "4"


def test_announced_links_are_polled_before_it_is_time_but_not_in_a_rush(desk: Desk) -> None:
    assert desk.polls.poll_links()
    assert not desk.polls.poll_links(), "not due yet"
    assert not desk.polls.poll_announced_links(), "a moment after the last poll"
    desk.clock.advance(seconds=0.25)
    assert desk.polls.poll_announced_links()
    other = Polls(store=desk.store, links=desk.links, clock=desk.clock, every=EVERY)
    assert not other.poll_announced_links(), "whichever process made the last one"


def test_news_do_not_cut_short_the_pause_after_a_failure(desk: Desk) -> None:
    desk.links.raise_before("news", TemporaryError("slow down", retry_after=timedelta(minutes=10)))
    with pytest.raises(TemporaryError):
        desk.polls.poll_announced_links()
    desk.clock.advance(minutes=9, seconds=59)
    assert not desk.polls.poll_announced_links()
    desk.clock.advance(seconds=1)
    assert desk.polls.poll_announced_links()


class Rewritten(FakeLinks):
    """A service whose history goes on for a page, and then does not."""

    def news(self, cursor: str, watched: Sequence[Watched] = ()) -> LinkNews:
        news = super().news(cursor, watched)
        if cursor:
            raise PermanentError("its history was rewritten")
        return news


def test_a_history_that_does_not_go_on_keeps_its_cursor_and_is_asked_less_and_less_often(desk: Desk) -> None:
    links = Rewritten(clock=desk.clock)
    polls = Polls(store=desk.store, links=links, clock=desk.clock, every=EVERY)
    links.create(a_wish(), a_password())
    polls.poll_links()
    desk.clock.advance(seconds=15)
    with pytest.raises(PermanentError):
        polls.poll_links()
    for wait in (15, 30, 60, 120, 240, 300, 300):
        desk.clock.advance(seconds=wait - 0.1)
        assert not polls.poll_links(), f"asked again before {wait} s"
        assert not polls.poll_announced_links()
        desk.clock.advance(seconds=0.1)
        with pytest.raises(PermanentError):
            polls.poll_links()
        assert desk.store.poll_cursor("links") == "1"
    polls.read_links_now()  # is no failure of the case that wants to know


# ---------------------------------------------------------------- listening


class Announcing(FakeLinks):
    """A service that is listened to, and whose waits take no time.

    Attributes:
        answers: What the coming waits end with.
        asked: The cursors behind which it was listened.
        waited: Seconds, all waits together.
    """

    def __init__(self, desk: Desk, *answers: bool | Exception) -> None:
        super().__init__(clock=desk.clock)
        self.answers = list(answers)
        self.asked: list[str] = []
        self.waited = 0.0

    def await_news(self, cursor: str, timeout: timedelta) -> bool:
        self.asked.append(cursor)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        if not answer:
            self.waited += timeout.total_seconds()
        return answer


def listen(desk: Desk, links: Announcing, *, reads: bool = True) -> tuple[list[float], int]:
    """Listen as often as there are answers: the rests in between, and how often a poll was called for."""
    polls = Polls(store=desk.store, links=links, clock=desk.clock, every=EVERY)
    polled = 0

    def poll() -> None:
        nonlocal polled
        polled += 1
        if reads:
            links.create(a_wish(), a_password())
            polls.poll_links(early=True)

    listener = LinkListener(store=desk.store, links=links, poll=poll, seconds=lambda: links.waited)
    rests = [listener.listen().total_seconds() for _ in list(links.answers)]
    return rests, polled


def test_news_are_polled_at_once_and_then_listened_for_behind_them(desk: Desk) -> None:
    links = Announcing(desk, True, True, False)
    assert listen(desk, links) == ([0, 0, 0], 2)
    assert links.asked == ["", "1", "2"]
    assert links.waited == LISTEN_FOR.total_seconds()


def test_silence_calls_for_no_poll(desk: Desk) -> None:
    assert listen(desk, Announcing(desk, False, False)) == ([0, 0], 0)


def test_news_that_nobody_can_read_make_no_loop_without_rests(desk: Desk) -> None:
    rests, _ = listen(desk, Announcing(desk, *[True] * 12), reads=False)
    assert rests[:3] == [0.25, 0.5, 1]
    assert rests[-1] == LONGEST_REST.total_seconds()


@pytest.mark.parametrize(
    "failure",
    [TemporaryError("away"), AuthenticationError("no", scope="links"), PermanentError("other"), DatabaseError("full")],
)  # fmt: skip
def test_a_failure_to_listen_is_told_once_and_tried_again_less_and_less_often(desk: Desk, failure: Exception) -> None:
    with structlog.testing.capture_logs() as logs:
        rests, polled = listen(desk, Announcing(desk, *[failure] * 9, True, False))
    assert rests == [0.25, 0.5, 1, 2, 4, 8, 16, 30, 30, 0, 0]
    assert polled == 1
    assert [log["event"] for log in logs if "listening" in log["event"]] == [
        "not_listening_for_links", "listening_for_links"
    ]  # fmt: skip


def test_a_service_that_answers_at_once_instead_of_waiting_is_not_asked_in_a_rush(desk: Desk) -> None:
    class Impatient(Announcing):
        def await_news(self, cursor: str, timeout: timedelta) -> bool:
            return super().await_news(cursor, timedelta(milliseconds=3))

    rests, polled = listen(desk, Impatient(desk, False, False, False))
    assert (rests, polled) == ([0.25, 0.5, 1], 0)
