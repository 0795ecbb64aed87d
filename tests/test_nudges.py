"""What comes of pushes: quick where it matters, and never a flood."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise

import pytest
from prometheus_client import REGISTRY

from connector.core.case import Case, State
from connector.core.ports import ChangedTicket
from connector.errors import DatabaseError
from connector.nudges import MOST_TICKETS, MOST_TRIES, MOST_WAITING, POLL_PACE, POLLS_AT_ONCE, Nudges
from tests.fakes.store import MemoryCaseStore, Moment
from tests.fakes.world import FakeClock

LEASE = timedelta(minutes=5)


class Desk:
    """A store with cases that rest, and what pushes want of it."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.store = MemoryCaseStore()
        self.nudges = Nudges(
            store=self.store, psas=["halo", "rt"], clock=self.clock, now=lambda: self.clock().timestamp()
        )

    def case(self, ticket: str, *, psa: str = "halo", **facts: object) -> Case:
        """A case that waits for something far away."""
        self.store.note_tickets(psa, [ChangedTicket(ticket, ticket)], now=self.clock())
        (case,) = self.store.find(ticket, psa=psa)
        claimed = self.store.claim(case.id, now=self.clock(), lease=LEASE)
        assert claimed is not None
        rest: dict[str, object] = {"state": State.WAITING, "due_at": self.clock() + timedelta(hours=4), **facts}
        return self.store.save(replace(claimed, **rest), now=self.clock())  # type: ignore[arg-type]

    def due(self) -> list[str]:
        """The tickets whose cases a worker takes now; each is put to rest again."""
        found = []
        while (case := self.store.claim_due(now=self.clock(), lease=LEASE)) is not None:
            found.append(case.ticket_id)
            self.store.save(replace(case, due_at=self.clock() + timedelta(hours=4)), now=self.clock())
        return sorted(found)

    def polls(self) -> tuple[str, ...]:
        """Serve, and make the polls that are wanted."""
        served = self.nudges.serve().polls
        for name in served:
            self.nudges.polled(name, made=True)
        return served


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_a_push_about_an_open_case_has_its_ticket_looked_at_and_asks_for_no_list(desk: Desk) -> None:
    desk.case("7")
    desk.case("8")
    desk.nudges.hear("halo", ["7"])
    served = desk.nudges.serve()
    assert (served.looks, served.polls) == (1, ())
    assert desk.due() == ["7"]


@pytest.mark.parametrize("tickets", [["99"], [], ["7", "99"]])
def test_a_push_about_something_unknown_asks_for_one_early_poll_and_opens_nothing(
    desk: Desk, tickets: Sequence[str]
) -> None:
    desk.case("7")
    desk.nudges.hear("halo", tickets)
    assert desk.nudges.serve().polls == ("halo",)
    assert [case.ticket_id for case in desk.store.cases()] == ["7"]


@pytest.mark.parametrize("state", [State.CLOSED, State.CANCELLED])
def test_a_push_about_a_finished_case_does_nothing(desk: Desk, state: State) -> None:
    desk.case("7", state=state, due_at=None)
    desk.nudges.hear("halo", ["7"])
    served = desk.nudges.serve()
    assert (served.looks, served.polls) == (0, ())
    assert desk.due() == []


def test_the_same_number_in_another_psa_is_another_ticket(desk: Desk) -> None:
    desk.case("7", psa="rt")
    desk.nudges.hear("halo", ["7"])
    assert desk.nudges.serve().polls == ("halo",)
    assert desk.due() == []


def test_a_number_that_people_call_another_ticket_by_is_no_key(desk: Desk) -> None:
    desk.case("7", number="99")
    desk.nudges.hear("halo", ["99"])
    desk.nudges.serve()
    assert desk.due() == []


def test_a_flood_of_pushes_about_one_ticket_makes_one_look_a_second(desk: Desk) -> None:
    desk.case("7")
    looks = 0
    for _ in range(50):
        desk.nudges.hear("halo", ["7"])
        looks += desk.nudges.serve().looks
        desk.due()
        desk.clock.advance(seconds=0.1)
    assert looks == 5


def test_a_push_right_after_a_look_is_not_lost(desk: Desk) -> None:
    desk.case("7")
    desk.nudges.hear("halo", ["7"])
    desk.nudges.serve()
    assert desk.due() == ["7"]
    desk.nudges.hear("halo", ["7"])
    assert desk.nudges.serve().looks == 0
    desk.clock.advance(seconds=1)
    assert desk.nudges.serve().looks == 1
    assert desk.due() == ["7"]


def test_a_flood_while_somebody_works_on_the_case_makes_one_further_pass(desk: Desk) -> None:
    case = desk.case("7")
    working = desk.store.claim(case.id, now=desk.clock(), lease=LEASE)
    assert working is not None
    for _ in range(30):
        desk.nudges.hear("halo", ["7"])
        desk.nudges.serve()
        desk.clock.advance(seconds=1)
    desk.store.save(working, now=desk.clock())
    assert desk.due() == ["7"]
    assert desk.due() == []


@pytest.mark.parametrize("state", [State.WAITING, State.APPROVED])
def test_a_case_that_waits_after_a_failure_is_left_to_its_wait(desk: Desk, state: State) -> None:
    failing: dict[str, object] = {"state": state, "attempts": 3, "failing_since": desk.clock()}
    desk.case("7", due_at=desk.clock() + timedelta(minutes=10), **failing)
    for _ in range(30):
        desk.nudges.hear("halo", ["7"])
        assert desk.nudges.serve().looks == 0
        desk.clock.advance(seconds=2)
    assert desk.due() == []
    desk.clock.advance(minutes=9)
    assert desk.due() == ["7"], "it comes in its own time"


def test_a_push_during_a_poll_is_followed_by_one_more_poll(desk: Desk) -> None:
    desk.nudges.hear("halo", [])
    assert desk.nudges.serve().polls == ("halo",)
    for _ in range(20):
        desk.nudges.hear("halo", [])
        assert desk.nudges.serve().polls == (), "one is running"
        desk.clock.advance(seconds=1)
    desk.nudges.polled("halo", made=True)
    desk.clock.advance(seconds=1)
    assert desk.polls() == ("halo",)
    desk.clock.advance(minutes=1)
    assert desk.polls() == (), "one, not twenty"


def test_polls_of_one_psa_come_a_second_apart_and_under_a_lasting_flood_more_slowly(desk: Desk) -> None:
    moments: list[datetime] = []
    for _ in range(600):
        desk.nudges.hear("halo", [secrets.token_hex(4)])
        if desk.polls():
            moments.append(desk.clock())
        desk.clock.advance(seconds=0.1)
    gaps = [later - earlier for earlier, later in pairwise(moments)]
    assert min(gaps) >= timedelta(seconds=1)
    assert len(moments) <= POLLS_AT_ONCE + 1 + 60 / POLL_PACE.total_seconds()
    assert gaps[-1] >= POLL_PACE
    assert moments[2] - moments[0] < POLL_PACE, "the first ones are quick"


def test_a_flood_of_one_psa_takes_nothing_from_another(desk: Desk) -> None:
    for _ in range(300):
        desk.nudges.hear("halo", [])
        desk.polls()
        desk.clock.advance(seconds=0.1)
    desk.nudges.hear("rt", [])
    assert "rt" in desk.polls()


def test_a_poll_that_somebody_else_makes_is_tried_again_a_second_later_and_not_for_ever(desk: Desk) -> None:
    desk.nudges.hear("halo", [])
    tries = 0
    for _ in range(20 * MOST_TRIES):
        for name in desk.nudges.serve().polls:
            tries += 1
            desk.nudges.polled(name, made=False)
        desk.clock.advance(seconds=0.25)
    assert tries == 1 + MOST_TRIES
    desk.nudges.hear("halo", [])
    assert desk.polls() == ("halo",)


def test_a_push_of_very_many_tickets_is_looked_at_in_part_and_left_to_one_poll(desk: Desk) -> None:
    for number in range(MOST_TICKETS + 20):
        desk.case(str(number))
    desk.nudges.hear("halo", [str(number) for number in range(MOST_TICKETS + 20)])
    served = desk.nudges.serve()
    assert (served.looks, served.polls) == (MOST_TICKETS, ("halo",))


def test_what_waits_for_its_look_is_bounded(desk: Desk) -> None:
    for start in range(0, 3 * MOST_WAITING, 50):
        desk.nudges.hear("halo", [str(number) for number in range(start, start + 50)])
    asked: list[str] = []
    desk.store.on_call = lambda name, moment: asked.append(name) if moment == "before" else None
    assert desk.nudges.serve().polls == ("halo",)
    assert asked.count("find") == MOST_WAITING


@pytest.mark.parametrize("odd", ["", "x" * 5000, "7\x00", "7\n8", "\ud800"])
def test_a_key_that_cannot_be_one_never_reaches_the_database(desk: Desk, odd: str) -> None:
    desk.case("7")
    asked: list[str] = []
    desk.store.on_call = lambda name, _: asked.append(name)
    desk.nudges.hear("halo", [odd])
    assert desk.nudges.serve().polls == ("halo",)
    assert asked == []


def test_a_database_that_is_away_loses_no_push(desk: Desk) -> None:
    desk.case("7")
    desk.case("8")

    def away(name: str, moment: Moment) -> None:
        raise DatabaseError("it is locked")

    desk.store.on_call = away
    desk.nudges.hear("halo", ["7", "8"])
    with pytest.raises(DatabaseError):
        desk.nudges.serve()
    desk.store.on_call = None
    assert desk.nudges.serve().polls == ("halo",), "a poll finds what changed"


def test_the_time_from_push_to_pass_is_measured_from_the_first_push(desk: Desk) -> None:
    def measured() -> tuple[float, float]:
        name = "connector_push_to_pass_seconds"
        return REGISTRY.get_sample_value(f"{name}_count") or 0.0, REGISTRY.get_sample_value(f"{name}_sum") or 0.0

    case = desk.case("7")
    count, total = measured()
    desk.nudges.hear("halo", ["7"])
    desk.clock.advance(seconds=0.5)
    desk.nudges.hear("halo", ["7"])
    desk.nudges.serve()
    desk.clock.advance(seconds=1)
    desk.nudges.passing(case.id)
    desk.nudges.passing(case.id)
    assert measured() == (count + 1, pytest.approx(total + 1.5))
    desk.nudges.hear("halo", ["7"])
    desk.nudges.serve()
    desk.clock.advance(hours=1)
    desk.nudges.passing(case.id)
    assert measured()[0] == count + 1, "another process had made that pass; this one is no slow answer to the push"
