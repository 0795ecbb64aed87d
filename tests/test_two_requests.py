"""Two tickets about one account: shown side by side, and the second half of a take-over held to a stricter rule."""

from __future__ import annotations

import pytest

from connector.core.case import Action, Outcome, Person, State
from connector.core.pair import PairRule
from connector.core.ports import MailKind
from connector.errors import TemporaryError
from tests.fakes.directory import FakeAccount
from tests.fakes.psa import APPROVER, FakeTicket
from tests.fakes.world import World

BO = Person(name="Bo", email="bo@contoso.example.com", ids=frozenset({"fake.user:9"}))
ANNA_TOO = Person(name="Anna again", email="anna+desk@contoso.example.com", ids=frozenset({"fake.user:10"}))


def carried_out(world: World, action: Action, *approvers: Person) -> FakeTicket:
    """A ticket that was approved and acted upon."""
    ticket = world.ticket(action=action)
    world.run()
    for approver in approvers or (APPROVER,):
        world.approve(ticket, approver)
    world.run()
    return ticket


@pytest.fixture
def world() -> World:
    return World()


@pytest.mark.parametrize(("first", "second"), [(Action.MFA, Action.PASSWORD), (Action.PASSWORD, Action.MFA)])
def test_the_same_approver_alone_gets_nobody_the_second_half(world: World, first: Action, second: Action) -> None:
    carried_out(world, first)
    writes = list(world.writes)
    ticket = carried_out(world, second)
    assert world.writes == writes, "nothing was written for the second half"
    assert world.state_of(ticket) is State.WAITING
    assert "A second person has to approve" in world.note_with(ticket, "The approval does not count")
    world.run_for(minutes=30)
    assert len([text for text in world.notes_of(ticket) if "does not count" in text]) == 1, "said once"
    assert world.writes == writes


def test_a_second_persons_yes_lets_the_second_half_pass(world: World) -> None:
    carried_out(world, Action.MFA)
    ticket = carried_out(world, Action.PASSWORD)
    assert world.state_of(ticket) is State.WAITING
    world.approve(ticket, BO)
    world.run()
    assert world.state_of(ticket) is State.LINK_OUT
    note = world.note_with(ticket, "was reset")
    assert "Approved by Anna" in note
    assert "Approved by Bo" in note


def test_another_address_of_the_same_mailbox_is_no_second_person(world: World) -> None:
    carried_out(world, Action.MFA)
    ticket = carried_out(world, Action.PASSWORD, ANNA_TOO)
    assert world.state_of(ticket) is State.WAITING


def test_a_take_over_can_be_handed_to_a_person_always(world: World) -> None:
    world.pair_rule = PairRule.HAND_OFF
    carried_out(world, Action.MFA)
    writes = list(world.writes)
    ticket = carried_out(world, Action.PASSWORD, APPROVER, BO)
    assert world.state_of(ticket) is State.NEEDS_PERSON
    assert world.writes == writes


def test_a_customer_may_allow_it(world: World) -> None:
    world.pair_rule = PairRule.ALLOW
    carried_out(world, Action.MFA)
    assert world.state_of(carried_out(world, Action.PASSWORD)) is State.LINK_OUT


def test_after_a_day_one_approver_is_enough_again(world: World) -> None:
    carried_out(world, Action.MFA)
    world.clock.advance(hours=24, minutes=1)
    assert world.state_of(carried_out(world, Action.PASSWORD)) is State.LINK_OUT


def test_a_request_for_both_is_known_to_its_approver(world: World) -> None:
    assert world.state_of(carried_out(world, Action.BOTH)) is State.LINK_OUT


@pytest.mark.parametrize("again", [Action.PASSWORD, Action.MFA])
def test_after_a_request_for_both_its_approver_may_approve_a_half_again(world: World, again: Action) -> None:
    """The link of the first expired unopened, and its mail said to raise a new request."""
    first = carried_out(world, Action.BOTH)
    world.run_for(minutes=70)
    assert world.case_of(first).outcome is Outcome.EXPIRED
    second = carried_out(world, again)
    assert world.case_of(second).state in (State.LINK_OUT, State.CLOSED)


def test_a_ticket_turned_into_one_for_both_excuses_no_half_that_was_written_before(world: World) -> None:
    world.directory.raise_after("remove_methods", *[TemporaryError("cut")] * 2)
    first = carried_out(world, Action.MFA)
    world.psa.change_action(first.id, Action.BOTH)
    world.run_for(minutes=5)
    writes = list(world.writes)
    assert "method" in {write.what for write in writes}
    assert "password" not in {write.what for write in writes}
    ticket = carried_out(world, Action.PASSWORD)
    assert world.state_of(ticket) is State.WAITING
    assert world.writes == writes


def test_a_second_half_that_was_approved_first_is_held_when_the_other_was_done_meanwhile(world: World) -> None:
    """Both tickets are approved before either is acted upon: the second write sees the first."""
    password, mfa = world.ticket(action=Action.PASSWORD), world.ticket(action=Action.MFA)
    world.run()
    world.approve(password)
    world.approve(mfa)
    world.run()
    done = [ticket for ticket in (password, mfa) if world.state_of(ticket) is not State.WAITING]
    assert len(done) == 1


def test_other_requests_for_the_account_are_shown_to_whoever_decides(world: World) -> None:
    first = world.ticket(action=Action.MFA)
    world.run()
    second = world.ticket(action=Action.PASSWORD)
    world.run()
    assert f"ticket halo:{first.id} (MFA reset)" in world.note_with(second, "Recognised")
    assert "Mind:" not in world.note_with(first, "Recognised"), "there was no other then"
    world.run_for(hours=5)
    for letter in world.letters_of(MailKind.APPROVAL_REMINDER):
        other = second if letter.ticket == first.id else first
        assert f"ticket halo:{other.id}" in letter.facts["related"]


def test_what_was_done_within_the_day_is_shown_with_its_time(world: World) -> None:
    first = carried_out(world, Action.MFA)
    assert world.case_of(first).outcome is Outcome.MFA_RESET
    second = world.ticket(action=Action.PASSWORD)
    world.run()
    assert f"ticket halo:{first.id} (MFA reset, done at 09:01 UTC)" in world.note_with(second, "Recognised")


def test_requests_for_other_accounts_are_not_mixed_in(world: World) -> None:
    world.directory.accounts.append(FakeAccount(upn="emil@contoso.example.com"))
    world.ticket(action=Action.MFA, subject_text="emil@contoso.example.com")
    world.run()
    second = world.ticket(action=Action.PASSWORD)
    world.run()
    assert "Mind:" not in world.note_with(second, "Recognised")


# ---------------------------------------------------------------- how many, and who not


def test_too_few_approvers_are_no_yes_until_enough_have_said_it(world: World) -> None:
    world.set_rules(approvers_minimum=2)
    ticket = carried_out(world, Action.PASSWORD)
    assert world.state_of(ticket) is State.WAITING
    assert world.writes == []
    assert "1 of 2 people" in world.note_with(ticket, "does not count")
    world.approve(ticket, BO)
    world.run()
    assert world.state_of(ticket) is State.LINK_OUT
    assert [person.approver.name for person in world.case_of(ticket).approvals] == ["Anna", "Bo"]


def test_one_person_twice_is_one_person(world: World) -> None:
    world.set_rules(approvers_minimum=2)
    ticket = carried_out(world, Action.PASSWORD, APPROVER, ANNA_TOO)
    assert world.state_of(ticket) is State.WAITING
    assert world.writes == []


def test_whoever_logged_the_ticket_must_not_approve_it(world: World) -> None:
    ticket = world.ticket(also_not_approvers=(Person("Hanna", None, frozenset({"fake.user:2"})),))  # Anna's id
    world.run()
    world.approve(ticket)
    world.run()
    assert world.state_of(ticket) is State.NEEDS_PERSON
    assert "logged this ticket approved it" in world.note_with(ticket, "A person must take over")
    assert world.writes == []


def test_an_account_that_the_psa_knows_by_another_id_is_not_touched(world: World) -> None:
    account = world.directory.account("lea@contoso.example.com")
    wrong = world.ticket(subject_id="00000000-0000-0000-0000-000000000001")
    right = world.ticket(subject_id=account.id.upper())
    world.run()
    assert world.state_of(wrong) is State.NEEDS_PERSON
    assert "another Entra account" in world.note_with(wrong, "A person must take over")
    assert world.state_of(right) is State.WAITING


@pytest.mark.parametrize("when", ["before it is recognised", "while it waits", "after the approval"])
def test_a_ticket_that_an_agent_took_is_left_to_them(world: World, when: str) -> None:
    ticket = world.ticket()
    if when != "before it is recognised":
        world.run()
    if when == "after the approval":
        world.approve(ticket)
    world.psa.tickets[ticket.id].taken_by = "Hanna"
    world.psa.touch(ticket.id)
    world.run()
    assert world.state_of(ticket) is State.NEEDS_PERSON
    assert "Hanna has taken this ticket over" in world.note_with(ticket, "A person must take over")
    assert world.writes == []
    world.run_for(minutes=10)
    assert world.writes == []
