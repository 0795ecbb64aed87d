"""A link service whose history is not believed: nothing that it tells moves a case, and in the end a person looks."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest

from connector.core.case import Outcome, State
from connector.core.link_story import LONGEST_SILENCE
from connector.core.ports import MailKind
from connector.errors import PermanentError
from tests.fakes.links import LinkGone
from tests.fakes.psa import FakeTicket
from tests.fakes.world import World


def a_world_with_a_link_out() -> tuple[World, FakeTicket]:
    world = World()
    ticket = world.ticket()
    world.run()
    world.approve(ticket)
    world.run()
    assert world.state_of(ticket) is State.LINK_OUT
    return world, ticket


def distrust(world: World) -> None:
    """From now on the history does not go on where it was left."""

    def refuse(call: str, moment: str) -> None:
        if (call, moment) == ("news", "after"):
            raise PermanentError("The link service's history was rewritten. Look at it.")

    world.links.on_call = refuse


def run_until(world: World, moment: datetime) -> None:
    world.run_for(seconds=(moment - world.clock()).total_seconds())


def reveal(world: World) -> None:
    world.open_newest_link()


def let_it_run_out(world: World) -> None:
    world.clock.advance(minutes=59, seconds=58)


def revoke(world: World) -> None:
    world.links.revoke(world.links.alive()[0])


@pytest.mark.parametrize("what", [reveal, let_it_run_out, revoke])
def test_what_is_not_believed_moves_no_case_until_a_person_is_called(what: Callable[[World], None]) -> None:
    world, ticket = a_world_with_a_link_out()
    mails = list(world.mails)
    distrust(world)
    what(world)
    end = world.case_of(ticket).link_expires_at
    assert end is not None
    run_until(world, end + LONGEST_SILENCE - timedelta(seconds=1))
    assert world.state_of(ticket) is State.LINK_OUT, "the service may still be put right"
    assert world.mails == mails, "nobody is told what nobody knows"
    run_until(world, end + LONGEST_SILENCE + timedelta(minutes=1))
    assert world.state_of(ticket) is State.NEEDS_PERSON
    assert "Whether it was opened is not known" in world.notes_of(ticket)[-1]
    assert MailKind.LINK_EXPIRED not in world.mails
    assert "The link service's history was rewritten. Look at it." in world.poll_failures
    assert not world.bugs


def test_a_history_that_was_accepted_in_time_closes_the_case_as_ever() -> None:
    world, ticket = a_world_with_a_link_out()
    distrust(world)
    reveal(world)
    world.run_for(minutes=30)
    assert world.state_of(ticket) is State.LINK_OUT
    world.links.on_call = None
    world.run_for(minutes=10, every=timedelta(seconds=30))
    assert world.case_of(ticket).outcome is Outcome.OPENED


def test_an_alarm_that_is_raised_meanwhile_ends_its_link_and_is_answered_once_the_history_is_accepted() -> None:
    world, ticket = a_world_with_a_link_out()
    url, before = world.newest_link(), list(world.writes)
    distrust(world)
    world.press(ticket)
    world.run_for(hours=2)
    with pytest.raises(LinkGone):
        world.links.open(url)
    assert world.writes == before
    assert world.case_of(ticket).outcome is None
    world.links.on_call = None
    world.run_for(minutes=10, every=timedelta(seconds=30))
    assert world.case_of(ticket).outcome is Outcome.NOT_ME
    assert world.note_with(ticket, "Secured:")
