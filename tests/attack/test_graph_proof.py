"""While a link is out nothing depends on Graph: not the reveal, not the end of the link, not what people are told."""

from __future__ import annotations

import pytest

from connector.core.case import State
from connector.errors import ConfigError
from tests.fakes.psa import FakeTicket
from tests.fakes.world import World


@pytest.fixture
def world() -> World:
    world = World()
    world.directory.lagging = True
    return world


def with_a_link_out(world: World) -> FakeTicket:
    ticket = world.ticket()
    world.run()
    world.approve(ticket)
    world.run()
    assert world.state_of(ticket) is State.LINK_OUT
    assert world.case_of(ticket).proof is not None
    return ticket


def test_a_reveal_that_is_known_does_not_wait_for_graph(world: World) -> None:
    """A Graph that hangs takes minutes: so long nobody would be told that the link was opened."""
    ticket = with_a_link_out(world)
    world.clock.advance(minutes=1)
    world.open_newest_link()
    before = len(world.directory.calls)
    world.run()
    assert world.state_of(ticket) is State.CLOSED
    assert world.directory.calls[before:] == []


def test_a_customer_taken_out_of_the_configuration_does_not_end_the_story_of_a_living_link(world: World) -> None:
    ticket = with_a_link_out(world)

    def on_call(call: str, moment: str) -> None:
        if (call, moment) == ("read", "before"):
            raise ConfigError("tenants.contoso is not configured. Add it, or correct the name.")

    world.directory.on_call = on_call
    world.run_for(minutes=5)
    assert world.bugs == []
    assert world.state_of(ticket) is State.LINK_OUT
    world.open_newest_link()
    world.run()
    assert world.state_of(ticket) is State.CLOSED


def test_what_the_note_on_an_unconfirmed_password_advises_has_an_effect(world: World) -> None:
    ticket = with_a_link_out(world)
    world.run_for(minutes=90)
    note = world.note_with(ticket, "still does not show")
    world.psa.ask_retry(ticket.id)
    world.run_for(minutes=5)
    assert "retry status" not in note or world.state_of(ticket) is not State.CLOSED
