"""Both halves of a take-over by one approver: at one moment, on one ticket, by a nameless one, with a stale yes."""

from __future__ import annotations

import pytest

from connector.core.case import Action, Approval, Person, State
from connector.core.pair import Earlier, somebody_else_approves
from connector.errors import PermanentError, TemporaryError
from connector.reconciler import LEASE
from tests.fakes.directory import FakeAccount
from tests.fakes.psa import APPROVER, RETRY, FakeTicket
from tests.fakes.world import START, World

BO = Person(name="Bo", email="bo@contoso.example.com", ids=frozenset({"fake.user:9"}))
CLEO = Person(name="Cleo", email="cleo@contoso.example.com", ids=frozenset({"fake.user:11"}))


@pytest.fixture
def world() -> World:
    return World()


def at_the_same_moment(world: World, first: FakeTicket, second: FakeTicket) -> None:
    """Another worker carries the second case out after the first one was judged, right before its write."""
    done: list[bool] = []

    def on_call(call: str, moment: str) -> None:
        if (call, moment) == ("read", "after") and not done:
            done.append(True)
            other = world.store.claim(world.case_of(second).id, now=world.clock(), lease=LEASE)
            assert other is not None
            world.reconciler.work_on(other)

    case = world.store.claim(world.case_of(first).id, now=world.clock(), lease=LEASE)
    assert case is not None
    world.directory.on_call = on_call
    world.reconciler.work_on(case)
    world.directory.on_call = None
    assert done


@pytest.mark.parametrize("first", [Action.MFA, Action.PASSWORD])
def test_two_halves_at_the_same_moment_do_not_pass_each_other(world: World, first: Action) -> None:
    other = Action.PASSWORD if first is Action.MFA else Action.MFA
    one, two = world.ticket(action=first), world.ticket(action=other)
    world.run()
    world.approve(one)
    world.approve(two)
    at_the_same_moment(world, one, two)
    writes = list(world.writes)
    assert {reset.action for reset in world.store.resets_since(START)} == {other}
    assert world.links.alive() == world.links.made()[-1:] if other is Action.PASSWORD else not world.links.alive()
    world.run_for(minutes=5)
    assert world.writes == writes, "judged again, it needs a second person"
    assert world.state_of(one) is State.WAITING
    assert "A second person has to approve" in world.note_with(one, "does not count")


def test_two_cases_of_one_half_at_the_same_moment_are_both_done(world: World) -> None:
    one, two = world.ticket(), world.ticket()
    world.run()
    world.approve(one)
    world.approve(two)
    at_the_same_moment(world, one, two)
    world.run_for(minutes=5)
    assert [world.state_of(ticket) for ticket in (one, two)] == [State.LINK_OUT, State.LINK_OUT]


def test_a_ticket_that_asked_for_the_other_half_before_needs_a_second_person_too(world: World) -> None:
    world.directory.accounts[0].stubborn = {"fido2": "Microsoft does not let it go"}
    ticket = world.ticket(action=Action.MFA)
    world.run()
    world.approve(ticket)
    world.run()
    assert world.state_of(ticket) is State.NEEDS_PERSON
    written = len(world.writes)
    world.psa.change_action(ticket.id, Action.PASSWORD)
    world.psa.set_status(ticket.id, RETRY)
    world.run()
    world.approve(ticket)
    world.run_for(minutes=5)
    assert len(world.writes) == written
    assert world.state_of(ticket) is State.WAITING
    world.approve(ticket, BO)
    world.run_for(minutes=5)
    assert world.state_of(ticket) is State.LINK_OUT


def yes(person: Person) -> Approval:
    return Approval(approver=person, approved=True, decided_at=START)


def test_a_nameless_first_approver_may_be_any_one_of_the_next() -> None:
    first = [Earlier(ticket="halo:1", action=Action.MFA, at=START, approvers=frozenset({"halo manager"}))]
    assert not somebody_else_approves([yes(BO)], first)
    assert somebody_else_approves([yes(BO), yes(CLEO)], first)


def test_whoever_is_named_said_the_yes_that_was_acted_upon(world: World) -> None:
    """While writing is paused one approval is taken back and another person gives one."""
    ticket = world.ticket()
    world.run()
    world.approve(ticket)
    world.store.pause("a look", now=world.clock())
    world.run()
    assert world.state_of(ticket) is State.APPROVED
    ticket.decisions.clear()
    ticket.approvers = ()
    world.approve(ticket, BO)
    world.store.resume(now=world.clock())
    world.clock.advance(seconds=30)
    world.run()
    assert world.state_of(ticket) is State.LINK_OUT
    assert "Approved by Bo" in world.note_with(ticket, "was reset")
    assert [reset.approvers for reset in world.store.resets_since(START)] == [frozenset({BO.email})]
    said = [line.entry.facts["approver"] for line in world.audit_of(ticket) if line.entry.event == "approved"]
    assert [APPROVER.name in said[0], BO.name in said[-1]] == [True, True]


ANNA_BY_ALIAS = Person(name="A. A.", email="service.manager@contoso.example.com", ids=frozenset({"fake.user:12"}))


def with_anna(world: World) -> None:
    anna = FakeAccount(upn="anna@contoso.example.com", also=("service.manager@contoso.example.com",))
    world.directory.accounts.append(anna)


def test_another_address_of_the_same_account_is_no_second_person(world: World) -> None:
    with_anna(world)
    first, second = world.ticket(action=Action.MFA), world.ticket(action=Action.PASSWORD)
    world.run()
    world.approve(first)
    world.run()
    writes = len(world.writes)
    second.approvers = (ANNA_BY_ALIAS,)
    world.approve(second, ANNA_BY_ALIAS)
    world.run_for(minutes=5)
    assert world.state_of(second) is State.WAITING
    assert len(world.writes) == writes
    assert not world.bugs
    world.approve(second, BO)
    world.run()
    assert world.state_of(second) is State.LINK_OUT


def test_two_addresses_of_one_account_are_not_two_approvers(world: World) -> None:
    with_anna(world)
    world.set_rules(approvers_minimum=2)
    ticket = world.ticket(approvers=(APPROVER, ANNA_BY_ALIAS))
    world.run()
    world.approve(ticket)
    world.approve(ticket, ANNA_BY_ALIAS)
    world.run_for(minutes=5)
    assert world.state_of(ticket) is State.WAITING
    assert world.writes == []
    assert "1 of 2 people" in world.note_with(ticket, "does not count")
    world.approve(ticket, BO)
    world.run()
    assert world.state_of(ticket) is State.LINK_OUT


def test_who_is_another_person_is_not_asked_where_one_yes_is_enough(world: World) -> None:
    with_anna(world)
    ticket = world.ticket()
    world.run()
    asked = len([call for call, _ in world.directory.calls if call == "find"])
    world.approve(ticket)
    world.run()
    assert world.state_of(ticket) is State.LINK_OUT
    assert len([call for call, _ in world.directory.calls if call == "find"]) == asked


def test_tries_of_the_other_half_do_not_tell_the_same_again_and_again(world: World) -> None:
    """Each try of a write counts as one, with its own time."""
    first, second = world.ticket(action=Action.PASSWORD), world.ticket(action=Action.MFA)
    world.run()
    world.approve(first)
    world.directory.raise_before("set_password", *[TemporaryError("away")] * 12)
    world.run()
    world.approve(second)
    world.run_for(hours=1)
    assert world.state_of(second) is State.WAITING
    assert len([text for text in world.notes_of(second) if "does not count" in text]) == 1


def test_a_write_is_not_forgotten_when_its_ticket_moves_on_to_another_account(world: World) -> None:
    world.directory.accounts.append(FakeAccount(upn="emil@contoso.example.com"))
    ticket = world.ticket(action=Action.PASSWORD)
    world.run()
    world.approve(ticket)
    world.directory.raise_after("set_password", PermanentError("An answer that nobody understands."))
    world.run()
    assert world.state_of(ticket) is State.NEEDS_PERSON
    world.psa.change_subject(ticket.id, "emil@contoso.example.com")
    world.psa.ask_retry(ticket.id)
    world.run()
    world.approve(ticket)
    world.run()
    assert world.state_of(ticket) is State.LINK_OUT
    other_half = world.ticket(action=Action.MFA)
    world.run()
    world.approve(other_half)
    world.run()
    assert world.state_of(other_half) is State.WAITING, "the account of the first write is still half taken over"


def test_a_rejection_does_not_wait_for_a_directory_that_is_away(world: World) -> None:
    world.set_rules(approvers_minimum=2)
    ticket = world.ticket(approvers=(APPROVER, BO))
    world.run()
    world.approve(ticket)
    world.directory.raise_before("find", *[TemporaryError("away")] * 50)
    world.psa.reject(ticket.id, BO)
    world.run()
    assert world.state_of(ticket) is State.CLOSED


def test_while_the_directory_is_away_nobody_counts_as_a_second_person(world: World) -> None:
    world.set_rules(approvers_minimum=2)
    ticket = world.ticket(approvers=(APPROVER, BO))
    world.run()
    world.approve(ticket)
    world.approve(ticket, BO)
    world.directory.raise_before("find", *[TemporaryError("away")] * 3)
    world.run()
    assert (world.state_of(ticket), world.writes) == (State.WAITING, [])
    world.run_for(minutes=5)
    assert world.state_of(ticket) is State.LINK_OUT
