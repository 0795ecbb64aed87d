"""Open cases that an older version wrote go on where they were."""

from __future__ import annotations

from dataclasses import replace

import pytest

from connector.core.case import State
from connector.core.ports import Stance
from connector.reconciler import LEASE
from tests.fakes.psa import FakeTicket
from tests.fakes.world import SUBJECT, World


def handed_off_by_an_older_version(world: World) -> FakeTicket:
    """Approved, then handed off; its approval was kept without a digest, and the status that told it is gone."""
    ticket = world.ticket()
    world.run()
    world.approve(ticket)
    world.directory.account(SUBJECT).enabled = False
    world.run()
    assert world.state_of(ticket) is State.NEEDS_PERSON
    case = world.store.claim(world.case_of(ticket).id, now=world.clock(), lease=LEASE)
    assert case is not None
    bare = tuple(replace(one, digest="") for one in case.approvals)
    world.store.save(replace(case, approvals=bare), now=world.clock())
    world.directory.account(SUBJECT).enabled = True
    ticket.stance = Stance.PENDING
    return ticket


def test_an_approval_of_before_still_counts_for_a_retry() -> None:
    world = World()
    ticket = handed_off_by_an_older_version(world)
    world.psa.ask_retry(ticket.id)
    world.run()
    assert world.state_of(ticket) is State.LINK_OUT


@pytest.mark.parametrize("what", ["another comment", "one more"])
def test_another_approval_than_that_of_before_does_not(what: str) -> None:
    world = World()
    ticket = handed_off_by_an_older_version(world)
    if what == "one more":
        ticket.decisions.append(replace(ticket.decisions[0], evidence="fake approval 4242/2"))
    else:
        ticket.decisions[0] = replace(ticket.decisions[0], comment="not this one")
    world.psa.ask_retry(ticket.id)
    world.run()
    assert world.state_of(ticket) is State.WAITING
    assert world.writes == []
