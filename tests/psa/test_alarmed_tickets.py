"""A whole life at the imitated PSAs: reset, closed, "this was not me", and the ticket that comes back starts nothing.

The guard, the reconciler and the mail templates are the real ones; see `tests.fakes.world`.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from connector.core.case import Outcome
from sandbox.server import Addresses, running
from sandbox.world import World as Sandbox
from tests.fakes.world import SUBJECT, TENANT, World
from tests.psa.connectwise_desk import CwDesk
from tests.psa.halopsa_desk import HaloDesk
from tests.psa.halopsa_make import MovableClock

House = tuple[Sandbox, Addresses, MovableClock]
CLIENTS = {HaloDesk: "12", CwDesk: "250"}


@pytest.fixture(scope="module")
def house() -> Iterator[House]:
    clock = MovableClock()
    sandbox = Sandbox(gentle=True, now=clock)
    with running(sandbox) as addresses:
        yield sandbox, addresses, clock


@pytest.fixture(params=[HaloDesk, CwDesk], ids=["halopsa", "connectwise"])
def desk(house: House, request: pytest.FixtureRequest) -> HaloDesk | CwDesk:
    sandbox, addresses, clock = house
    sandbox.reset()
    made: HaloDesk | CwDesk = request.param(sandbox, addresses, clock)
    return made


@pytest.fixture
def world(desk: HaloDesk | CwDesk) -> World:
    made = World(tenants={CLIENTS[type(desk)]: TENANT}, approvers=frozenset({desk.approver}))
    psa = desk.for_alarms()
    made.psas = {psa.name: psa}
    made.restart()
    desk.clock.moment = made.clock.now
    return made


def go_on(world: World, desk: HaloDesk | CwDesk, **span: float) -> None:
    world.clock.advance(**span)
    desk.clock.moment = world.clock.now
    world.run()


def reset_and_closed(world: World, desk: HaloDesk | CwDesk) -> str:
    """A password reset, opened by whoever had the link, and closed with that."""
    ticket = desk.add_ticket(subject=SUBJECT)
    world.run()
    world.clock.advance(minutes=5)
    desk.clock.moment = world.clock.now
    desk.approve(ticket)
    world.run()
    world.open_newest_link()
    world.run()
    assert desk.status(ticket) == desk.closed_status()
    return ticket


def test_a_press_on_not_me_brings_the_closed_ticket_back(world: World, desk: HaloDesk | CwDesk) -> None:
    ticket = reset_and_closed(world, desk)
    shown = world.password_in_force()
    go_on(world, desk, minutes=5)
    assert world.links.press(world.mailed_alarms()[-1])
    world.run()
    assert (desk.status(ticket), desk.priority(ticket)) == (desk.alarm_status(), desk.urgent)
    assert world.password_in_force() is not shown
    assert [case.outcome for case in world.store.cases()] == [Outcome.NOT_ME]
    assert world.bugs == []


def test_a_psa_that_reopens_nothing_keeps_nothing_else_from_being_done(world: World, desk: HaloDesk | CwDesk) -> None:
    ticket = reset_and_closed(world, desk)
    shown = world.password_in_force()
    desk.forbid_reopening()
    assert world.links.press(world.mailed_alarms()[-1])
    world.run()
    go_on(world, desk, minutes=5)
    assert desk.status(ticket) == desk.closed_status()
    assert any(f"open ticket {ticket} again" in note.text for note in desk.notes(ticket))
    assert world.password_in_force() is not shown
    assert world.bugs == []


def test_a_ticket_that_an_alarm_brought_back_starts_nothing(world: World, desk: HaloDesk | CwDesk) -> None:
    ticket = reset_and_closed(world, desk)
    assert world.links.press(world.mailed_alarms()[-1])
    world.run()
    done = len(world.writes), len(world.mails), len(desk.notes(ticket))
    (psa,) = world.psas.values()
    for _ in range(3):
        go_on(world, desk, minutes=20)
    world.restart()
    go_on(world, desk, hours=25)  # the sweep asks for every open ticket
    assert not psa.read(ticket).closed
    assert (desk.status(ticket), desk.priority(ticket)) == (desk.alarm_status(), desk.urgent)
    assert (len(world.writes), len(world.mails), len(desk.notes(ticket))) == done
    assert len(world.store.cases()) == 1
    assert world.bugs == []
