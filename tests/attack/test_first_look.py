"""A yes that is there before anybody watched, and one person with two addresses."""

from __future__ import annotations

from datetime import timedelta

import pytest

from connector.core.case import Person, State
from tests.fakes.directory import FakeAccount
from tests.fakes.psa import APPROVER, FakeTicket
from tests.fakes.world import World


@pytest.fixture
def world() -> World:
    return World()


def approved_before_anybody_looked(world: World, *, after: timedelta, then_touched_after: timedelta) -> FakeTicket:
    """A ticket that was approved while nobody watched, and touched once more afterwards."""
    ticket = world.ticket()
    world.clock.now += after
    world.approve(ticket)
    world.clock.now += then_touched_after
    ticket.updated_at = world.clock()
    world.run()
    return ticket


def test_a_young_ticket_that_nobody_touched_after_its_approval_goes_on(world: World) -> None:
    ticket = approved_before_anybody_looked(world, after=timedelta(minutes=2), then_touched_after=timedelta(seconds=1))
    assert world.state_of(ticket) is State.LINK_OUT


@pytest.mark.parametrize(
    ("after", "then_touched_after"),
    [
        pytest.param(timedelta(hours=5), timedelta(seconds=1), id="an old ticket turned into a reset"),
        pytest.param(timedelta(minutes=2), timedelta(seconds=30), id="changed half a minute after the yes"),
        pytest.param(timedelta(hours=5), timedelta(hours=1), id="both"),
    ],
)
def test_a_yes_that_may_have_been_for_something_else_does_not_count(
    world: World, after: timedelta, then_touched_after: timedelta
) -> None:
    ticket = approved_before_anybody_looked(world, after=after, then_touched_after=then_touched_after)
    assert world.writes == []
    assert world.state_of(ticket) is State.WAITING
    assert any("does not count" in note.text for _, note in world.psa.notes)
    world.approve(ticket)
    world.run()
    assert world.state_of(ticket) is State.LINK_OUT, "a new yes counts"


@pytest.mark.parametrize("alias", ["a.smith@contoso.example.com", "A.SMITH@contoso.example.com"])
def test_whoever_asks_by_an_alias_must_not_approve_by_the_name(world: World, alias: str) -> None:
    assert APPROVER.email is not None
    world.directory.accounts.append(FakeAccount(upn=APPROVER.email, also=("a.smith@contoso.example.com",)))
    ticket = world.ticket(requester=Person("A. Smith", alias, frozenset({"fake.user:77"})))
    world.run()
    world.approve(ticket)
    world.run()
    assert world.writes == []
    assert world.state_of(ticket) is State.NEEDS_PERSON
    assert any("approved their own request" in note.text for _, note in world.psa.notes)


def test_a_requester_from_elsewhere_is_compared_by_what_the_psa_knows(world: World) -> None:
    ticket = world.ticket(requester=Person("Ruth", "ruth@elsewhere.example", frozenset({"fake.user:78"})))
    world.run()
    world.approve(ticket)
    world.run()
    assert world.state_of(ticket) is State.LINK_OUT
