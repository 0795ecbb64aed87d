"""An approval is for one request: whoever changes the request afterwards must not inherit it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from connector.core.case import Action, Person, State
from connector.core.ports import Stance
from connector.errors import TemporaryError
from tests.fakes.directory import FakeAccount
from tests.fakes.psa import REQUESTER, FakeTicket
from tests.fakes.world import SUBJECT, World

TOM = "tom@contoso.example.com"


@pytest.fixture
def world() -> World:
    made = World()
    made.directory.accounts.append(FakeAccount(upn=TOM, methods=["fido2"]))
    return made


def passwords_of(world: World, upn: str) -> bool:
    return world.password_in_force(upn) is not None


def approved_and_handed_off(world: World, *, action: Action = Action.PASSWORD) -> FakeTicket:
    """A ticket whose approval counted, and which a person must look at all the same."""
    ticket = world.ticket(action=action)
    world.run()
    world.approve(ticket)
    world.directory.account(SUBJECT).enabled = False
    world.run()
    assert world.state_of(ticket) is State.NEEDS_PERSON
    assert world.case_of(ticket).approval is not None
    return ticket


# Without a history of the PSA, as with HaloPSA: the fields are changed, and nothing tells when.


def test_a_subject_changed_after_a_hand_off_does_not_inherit_the_approval(world: World) -> None:
    ticket = approved_and_handed_off(world)
    world.clock.advance(minutes=10)
    ticket.subject_text = TOM
    world.psa.ask_retry(ticket.id)
    world.run()
    assert not passwords_of(world, TOM)
    assert world.state_of(ticket) is State.WAITING
    assert world.links.made() == [] or world.links.alive() == []


def test_nor_when_the_psa_tells_the_approval_by_the_status_that_we_left(world: World) -> None:
    ticket = approved_and_handed_off(world)
    world.clock.advance(minutes=10)
    ticket.subject_text = TOM
    world.psa.ask_retry(ticket.id)
    ticket.stance = Stance.PENDING  # the rows stand, the status does not say "approved" any more
    world.run()
    assert world.writes == []
    assert world.state_of(ticket) is State.WAITING


def test_an_action_changed_after_a_hand_off_does_not_inherit_the_approval(world: World) -> None:
    ticket = approved_and_handed_off(world, action=Action.MFA)
    world.directory.account(SUBJECT).enabled = True
    world.clock.advance(minutes=10)
    ticket.action = Action.BOTH
    world.psa.ask_retry(ticket.id)
    world.run()
    assert world.writes == []
    assert world.state_of(ticket) is State.WAITING


def test_another_requester_after_a_hand_off_does_not_inherit_the_approval(world: World) -> None:
    ticket = approved_and_handed_off(world)
    world.directory.account(SUBJECT).enabled = True
    world.clock.advance(minutes=10)
    ticket.requester = Person("Eve", "eve@contoso.example.com", frozenset({"fake.user:66"}))
    world.psa.ask_retry(ticket.id)
    world.run()
    assert world.writes == []
    assert world.state_of(ticket) is State.WAITING


def test_a_retry_by_the_command_line_is_no_way_round_either(world: World) -> None:
    from connector.core import records
    from connector.core.machine import advance

    ticket = approved_and_handed_off(world)
    world.clock.advance(minutes=10)
    ticket.subject_text = TOM
    case = world.store.claim(world.case_of(ticket).id, now=world.clock(), lease=timedelta(minutes=5))
    assert case is not None
    record = records.retry(case)
    world.store.save(advance(case, record.event, now=world.clock(), **record.changes), now=world.clock())
    world.run()
    assert world.writes == []


def test_the_same_request_goes_on_with_its_approval_after_a_hand_off(world: World) -> None:
    """The counterpart: what makes the refusals above worth something."""
    ticket = approved_and_handed_off(world)
    world.directory.account(SUBJECT).enabled = True
    world.clock.advance(minutes=10)
    world.psa.ask_retry(ticket.id)
    world.run()
    assert world.state_of(ticket) is State.LINK_OUT
    assert world.open_newest_link() == world.password_in_force()


@pytest.mark.parametrize("seconds", [5, 90])
def test_a_subject_filled_in_right_after_the_approval_was_never_approved(world: World, seconds: int) -> None:
    ticket = world.ticket(subject_text="my colleague")
    world.run()
    assert world.state_of(ticket) is State.NEEDS_PERSON
    world.approve(ticket)
    world.clock.advance(seconds=seconds)
    ticket.subject_text = SUBJECT
    world.psa.ask_retry(ticket.id)
    world.run()
    assert world.writes == []
    assert world.state_of(ticket) is State.WAITING


# With a history, as with Request Tracker: it holds the ticket's changes, and nobody else's.


def test_an_address_that_the_requesters_account_got_after_the_approval_gets_no_link(world: World) -> None:
    """The user behind the ticket was edited, not the ticket: its history does not know."""
    ticket = world.ticket(request_changed_at=world.clock())
    world.run()
    world.approve(ticket)
    ticket.requester = replace(REQUESTER, email="rita@attacker.example.net")
    world.psa.touch(ticket.id)
    world.run()
    assert world.writes == []
    assert world.state_of(ticket) is State.WAITING
    assert world.mailed_links() == []


def test_a_customer_mapped_to_another_tenant_after_the_approval_needs_a_new_one(world: World) -> None:
    world.directory.accounts.append(FakeAccount(upn="lea@fabrikam.example.com", tenant="fabrikam", also=(SUBJECT,)))
    ticket = world.ticket(request_changed_at=world.clock())
    world.run()
    world.approve(ticket)
    world.tenants["12"] = "fabrikam"
    world.run()
    assert world.writes == []
    assert world.state_of(ticket) is State.WAITING


# One half done, then another request.


def half_done(world: World) -> FakeTicket:
    """Both were approved, the methods are gone, the password waits for the mail server."""
    ticket = world.ticket(action=Action.BOTH)
    world.run()
    world.approve(ticket)
    world.mailer.raise_before("ready", TemporaryError("The mail server is away. It is tried again."))
    world.run()
    assert world.case_of(ticket).mfa_done
    assert world.password_in_force() is None
    return ticket


def test_a_request_cut_down_to_mfa_after_its_first_half_sets_no_password(world: World) -> None:
    ticket = half_done(world)
    world.clock.advance(minutes=1)
    ticket.action = Action.MFA
    world.psa.touch(ticket.id)
    world.run()
    ticket.decisions.clear()
    world.approve(ticket)
    world.run()
    assert world.password_in_force() is None
    assert world.mailed_links() == []


def test_another_subject_after_the_first_half_has_its_own_methods_removed(world: World) -> None:
    ticket = half_done(world)
    world.clock.advance(minutes=1)
    ticket.subject_text = TOM
    world.psa.touch(ticket.id)
    world.run()
    ticket.decisions.clear()
    world.approve(ticket)
    world.run()
    tom = world.directory.account(TOM)
    assert tom.methods == []
    assert world.open_newest_link() == world.password_in_force(TOM)
    assert "phone" not in world.note_with(ticket, f"MFA of {tom.display_name}"), "those were the first one's"


# A yes that was read in full once, and the rows as they are now.


def test_a_remembered_yes_does_not_outlive_a_doubt_about_its_rows(world: World) -> None:
    ticket = approved_and_handed_off(world)
    world.directory.account(SUBJECT).enabled = True
    world.clock.advance(minutes=10)
    world.psa.ask_retry(ticket.id)
    ticket.stance = Stance.PENDING
    ticket.approval_reason = "an approver's answer has a code that is not documented"
    world.run()
    assert world.writes == []
    assert world.state_of(ticket) is State.WAITING
