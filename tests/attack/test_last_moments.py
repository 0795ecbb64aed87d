"""Between the yes and the write: things that change in exactly that moment."""

from __future__ import annotations

from datetime import timedelta

import pytest

from connector.core.case import Action, State
from connector.core.machine import advance
from connector.core.records import cancel
from connector.reconciler import LEASE
from tests.fakes.directory import FakeAccount
from tests.fakes.psa import CLOSED, FakeTicket
from tests.fakes.world import SUBJECT, World

BOTH_HALVES = [Action.PASSWORD, Action.MFA, Action.BOTH]


@pytest.fixture
def world() -> World:
    return World()


def waiting(world: World, action: Action) -> FakeTicket:
    ticket = world.ticket(action=action)
    world.run()
    world.approve(ticket)
    return ticket


def after_the_account_was_read(world: World, happens: object) -> None:
    """Let something happen once, after the last look-up and before the write."""
    done: list[bool] = []

    def on_call(call: str, moment: str) -> None:
        if (call, moment) == ("read", "after") and not done:
            done.append(True)
            happens()  # type: ignore[operator]

    world.directory.on_call = on_call


@pytest.mark.parametrize("action", BOTH_HALVES)
def test_an_account_renamed_since_the_request_is_not_the_one_that_was_approved(world: World, action: Action) -> None:
    ticket = waiting(world, action)
    world.directory.account(SUBJECT).upn = "chief@contoso.example.com"
    world.run()
    assert world.writes == []
    assert world.state_of(ticket) is State.NEEDS_PERSON
    assert world.links.alive() == []


def test_an_address_that_went_to_somebody_new_opens_neither_account(world: World) -> None:
    ticket = waiting(world, Action.PASSWORD)
    world.directory.account(SUBJECT).upn = "lea.old@contoso.example.com"
    world.directory.accounts.append(FakeAccount(upn=SUBJECT, id="00000000-0000-4000-8000-00000000000f"))
    world.run()
    assert world.writes == []
    assert world.state_of(ticket) is State.NEEDS_PERSON


@pytest.mark.parametrize("action", BOTH_HALVES)
def test_a_pause_counts_from_the_moment_it_was_said(world: World, action: Action) -> None:
    ticket = waiting(world, action)
    after_the_account_was_read(world, lambda: world.store.pause("something is wrong", now=world.clock()))
    world.run()
    assert world.writes == []
    assert world.links.alive() == []
    assert world.state_of(ticket) is State.APPROVED
    world.store.resume(now=world.clock())
    world.run_for(minutes=5)
    assert world.writes != []


@pytest.mark.parametrize("action", BOTH_HALVES)
def test_a_worker_that_slept_through_its_lease_writes_to_no_account(world: World, action: Action) -> None:
    ticket = waiting(world, action)

    def sleeps() -> None:
        world.clock.advance(minutes=6)
        assert world.store.claim(world.case_of(ticket).id, now=world.clock(), lease=LEASE) is not None

    after_the_account_was_read(world, sleeps)
    world.run()
    assert world.writes == []
    assert world.mailed_links() == []


@pytest.mark.parametrize("action", BOTH_HALVES)
def test_a_case_cancelled_while_a_worker_slept_is_not_written(world: World, action: Action) -> None:
    ticket = waiting(world, action)

    def cancelled() -> None:
        world.clock.advance(minutes=6)
        case = world.store.claim(world.case_of(ticket).id, now=world.clock(), lease=LEASE)
        assert case is not None
        record = cancel(case, "an administrator")
        after = advance(case, record.event, now=world.clock(), **record.changes)
        world.store.save(after, now=world.clock(), messages=record.messages)

    after_the_account_was_read(world, cancelled)
    world.run_for(minutes=30, every=timedelta(minutes=5))
    assert world.writes == []
    assert world.mailed_links() == []
    assert world.state_of(ticket) is State.CLOSED


@pytest.mark.parametrize("status", [CLOSED, "Rejected"])
def test_a_ticket_that_ends_while_its_link_is_made_is_not_written(world: World, status: str) -> None:
    ticket = waiting(world, Action.PASSWORD)

    def ends(call: str, moment: str) -> None:
        if (call, moment) == ("ready", "before"):
            if status == CLOSED:
                world.psa.close(ticket.id)
            else:
                world.psa.reject(ticket.id)

    world.mailer.on_call = ends
    world.run()
    assert world.writes == []
    assert world.mailed_links() == []
    assert world.links.alive() == []


def test_a_yes_for_one_ticket_is_none_for_its_neighbour(world: World) -> None:
    world.directory.accounts.append(FakeAccount(upn="tom@contoso.example.com"))
    waiting(world, Action.PASSWORD)
    other = world.ticket(subject_text="tom@contoso.example.com")
    world.run()
    assert world.password_in_force() is not None
    assert world.password_in_force("tom@contoso.example.com") is None
    assert world.state_of(other) is State.WAITING
