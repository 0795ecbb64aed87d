"""Whole stories with everything outside faked: what people see, and what was not done."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Literal

import pytest

from connector.core.brake import Limit
from connector.core.case import Action, Case, Outcome, Person, State
from connector.core.ports import LinkEventKind, MailKind, StatusTarget, Timing
from connector.errors import AuthenticationError, DatabaseError, PermanentError, TemporaryError
from connector.reconciler import Result
from tests.fakes.directory import FakeAccount, FakeDirectory
from tests.fakes.links import FakeLinks, LinkGone
from tests.fakes.mailer import FakeMailer
from tests.fakes.psa import CLOSED, HAND_OFF, FakePsa, FakeTicket
from tests.fakes.world import APPROVER, REQUESTER, SUBJECT, World, wide_limits

Kind = MailKind


@pytest.fixture
def world() -> World:
    return World()


def whats(world: World) -> list[str]:
    return [write.what for write in world.writes]


def assert_nothing_was_done(world: World) -> None:
    """No account was written, and no link ever existed."""
    assert world.writes == []
    assert world.directory.passwords == {}
    assert world.links.made() == []


# ---------------------------------------------------------------- the stories


@pytest.mark.parametrize("views_used", [1, 2])
def test_a_password_request_goes_from_ticket_to_closed(world: World, views_used: int) -> None:
    ticket = world.ticket(reason="locked out since Monday")
    world.run()
    assert world.state_of(ticket) is State.WAITING
    assert world.mails == [Kind.REQUEST_CONFIRMATION]
    recognised = world.note_with(ticket, "Recognised: password reset for Lea")
    assert "locked out since Monday" in recognised
    assert "Anna" in recognised
    assert_nothing_was_done(world)

    world.approve(ticket, comment="fine with me")
    world.run()
    assert world.state_of(ticket) is State.LINK_OUT
    assert world.mails[1:] == [Kind.REQUEST_APPROVED, Kind.PASSWORD_READY]
    assert whats(world) == ["password", "sessions"]
    assert world.directory.account(SUBJECT).must_change
    assert len(world.links.alive()) == 1
    assert "fine with me" in world.note_with(ticket, "Password of Lea")

    for _ in range(views_used):
        assert world.open_newest_link() == world.password_in_force()
    world.clock.advance(minutes=1)
    world.run()
    case = world.case_of(ticket)
    assert (case.state, case.outcome, case.views_used) == (State.CLOSED, Outcome.OPENED, views_used)
    assert ticket.status == CLOSED
    assert world.mails[3:] == [Kind.LINK_ACCESSED] * views_used
    shown = [note for note in world.notes_of(ticket) if "The password was shown" in note]
    assert len(shown) == views_used
    assert "203.0.113.9" in shown[0]
    assert "United Kingdom (approx.)" in shown[0]
    assert world.mails_to(REQUESTER) == world.mails, "nobody else was written to"


def test_an_mfa_request_removes_every_method_and_closes_without_a_link(world: World) -> None:
    ticket = world.ticket(action=Action.MFA)
    world.run()
    world.approve(ticket)
    world.run()
    case = world.case_of(ticket)
    assert (case.state, case.outcome) == (State.CLOSED, Outcome.MFA_RESET)
    assert whats(world) == ["method", "method", "sessions"]
    assert world.directory.account(SUBJECT).methods == []
    assert world.links.made() == []
    assert world.passwords == []
    assert world.mails == [Kind.REQUEST_CONFIRMATION, Kind.REQUEST_APPROVED, Kind.MFA_RESET_DONE]
    assert "phone (mobile), fido2" in world.note_with(ticket, "MFA of Lea")
    assert ticket.status == CLOSED


def test_a_request_for_both_removes_the_methods_first_and_gives_one_link(world: World) -> None:
    ticket = world.ticket(action=Action.BOTH)
    world.run()
    world.approve(ticket)
    world.run()
    assert whats(world) == ["method", "method", "sessions", "password", "sessions"]
    assert world.state_of(ticket) is State.LINK_OUT
    assert len(world.links.made()) == 1
    assert world.open_newest_link() == world.password_in_force()
    world.clock.advance(minutes=1)
    world.run()
    assert world.case_of(ticket).outcome is Outcome.OPENED
    assert Kind.MFA_RESET_DONE not in world.mails
    assert world.note_with(ticket, "MFA of Lea")
    assert world.note_with(ticket, "Password of Lea")


def test_a_rejected_request_is_declined_with_the_approvers_words_and_closed(world: World) -> None:
    ticket = world.ticket()
    world.run()
    world.clock.advance(minutes=5)
    world.psa.reject(ticket.id, comment="She is on holiday.")
    world.run()
    case = world.case_of(ticket)
    assert (case.state, case.outcome) == (State.CLOSED, Outcome.REJECTED)
    assert world.mails == [Kind.REQUEST_CONFIRMATION, Kind.REQUEST_DECLINED]
    assert "She is on holiday." in world.mailer.sent[-1].text
    assert "She is on holiday." in world.note_with(ticket, "Rejected by Anna")
    assert ticket.status == CLOSED
    assert_nothing_was_done(world)


def test_a_rejection_by_which_the_psa_closes_the_ticket_itself_is_still_a_rejection(world: World) -> None:
    ticket = world.ticket()
    world.run()
    world.clock.advance(minutes=5)
    world.psa.reject(ticket.id, comment="She is on holiday.")
    world.psa.close(ticket.id)
    world.run()
    assert world.case_of(ticket).outcome is Outcome.REJECTED
    assert world.mails == [Kind.REQUEST_CONFIRMATION, Kind.REQUEST_DECLINED]
    assert world.note_with(ticket, "She is on holiday.")
    assert world.moves == [], "the PSA has chosen the status; it stays"
    assert_nothing_was_done(world)


def test_a_link_that_nobody_opens_expires_and_the_requester_is_told(world: World) -> None:
    ticket = world.ticket()
    world.run()
    world.approve(ticket)
    world.run()
    world.run_for(minutes=62)
    case = world.case_of(ticket)
    assert (case.state, case.outcome) == (State.CLOSED, Outcome.EXPIRED)
    assert world.mails[-1] is Kind.LINK_EXPIRED
    assert "nobody saw the password" in world.note_with(ticket, "expired unopened")
    assert ticket.status == CLOSED
    assert whats(world) == ["password", "sessions"], "and no new one was made"
    with pytest.raises(LinkGone):
        world.open_newest_link()


def test_a_request_that_nobody_answers_is_reminded_three_times_and_then_closed(world: World) -> None:
    ticket = world.ticket()
    world.run_for(days=8, every=timedelta(minutes=30))
    case = world.case_of(ticket)
    assert (case.state, case.outcome) == (State.CLOSED, Outcome.TIMED_OUT)
    assert world.mails_to(APPROVER) == [Kind.APPROVAL_REMINDER] * 3
    assert world.mails_to(REQUESTER) == [Kind.REQUEST_CONFIRMATION, *[Kind.APPROVAL_PENDING] * 3, Kind.TIMED_OUT]
    reminded = [line.entry.at - case.created_at for line in world.audit_of(ticket) if line.entry.event == "reminded"]
    assert reminded == [timedelta(hours=4), timedelta(hours=28), timedelta(hours=52)]
    ended = next(line.entry.at for line in world.audit_of(ticket) if line.entry.event == "no_answer")
    assert ended - case.created_at == timedelta(days=7)
    assert ticket.status == CLOSED
    assert_nothing_was_done(world)


def test_a_link_opened_in_its_last_second_counts_as_opened_although_we_hear_of_both_at_once(world: World) -> None:
    ticket = world.ticket()
    world.run()
    world.approve(ticket)
    world.run()
    world.clock.advance(minutes=59, seconds=59)
    world.open_newest_link()
    world.clock.advance(hours=5)
    world.run()
    assert [event.kind for event in world.links.history][-2:] == [LinkEventKind.REVEALED, LinkEventKind.EXPIRED]
    assert world.case_of(ticket).outcome is Outcome.OPENED
    assert Kind.LINK_EXPIRED not in world.mails


def test_events_that_no_poll_has_brought_yet_are_read_before_a_link_is_called_expired(world: World) -> None:
    ticket = world.ticket()
    world.run()
    world.approve(ticket)
    world.run()
    world.clock.advance(minutes=30)
    world.open_newest_link()
    world.clock.advance(minutes=40)
    world.links.expire(world.clock())
    case = world.store.claim_due(now=world.clock(), lease=timedelta(minutes=5))
    assert case is not None, "due by its own time; the poll of the links has not run"
    world.reconciler.work_on(case)
    assert world.case_of(ticket).outcome is Outcome.OPENED


def test_a_second_view_on_the_closed_case_is_noted_and_mailed_and_opens_nothing_again(world: World) -> None:
    ticket = world.ticket()
    world.run()
    world.approve(ticket)
    world.run()
    world.open_newest_link()
    world.clock.advance(minutes=1)
    world.run()
    assert world.state_of(ticket) is State.CLOSED
    before = list(world.writes)
    world.clock.advance(minutes=20)
    world.links.open(world.newest_link(), ip="198.51.100.7", place="Brazil (approx.)")
    world.run()
    assert world.state_of(ticket) is State.CLOSED
    assert world.note_with(ticket, "198.51.100.7")
    assert world.mails.count(Kind.LINK_ACCESSED) == 2
    assert world.writes == before


def test_a_closed_case_never_acts_again_whatever_happens_to_its_ticket(world: World) -> None:
    ticket = world.ticket(action=Action.MFA)
    world.run()
    world.approve(ticket)
    world.run()
    calls, writes = len(world.directory.calls), list(world.writes)
    world.directory.account(SUBJECT).methods.append("phone (mobile)")
    world.psa.set_status(ticket.id, "New")
    world.psa.change_action(ticket.id, Action.BOTH)
    world.approve(ticket)
    world.psa.ask_retry(ticket.id)
    world.run_for(hours=3, every=timedelta(minutes=20))
    assert world.state_of(ticket) is State.CLOSED
    assert world.writes == writes
    assert len(world.directory.calls) == calls


# ---------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "names no account"),
        ("   \n", "names no account"),
        ("my colleague Lea", "holds no e-mail address"),
        (f"{SUBJECT}, tom@contoso.example.com", "names 2 addresses"),
        ("lea\u200b@contoso.example.com", "invisible characters"),
        ("nobody@contoso.example.com", "No account of this customer's tenant has the address"),
        ("lea@fabrikam.example.com", "belongs to another customer: tenants.fabrikam"),
    ],
)
def test_a_subject_that_is_no_account_is_a_persons_business_before_any_approval(
    world: World, text: str, reason: str
) -> None:
    world.directory.accounts.append(FakeAccount(upn="lea@fabrikam.example.com", tenant="fabrikam"))
    ticket = world.ticket(subject_text=text)
    world.run()
    assert world.state_of(ticket) is State.NEEDS_PERSON
    assert reason in world.note_with(ticket, "A person must take over")
    assert "Nothing was changed on the account." in world.note_with(ticket, "A person must take over")
    assert ticket.status == HAND_OFF
    assert world.mails == [Kind.HANDED_TO_PERSON]
    world.approve(ticket)
    world.run_for(hours=1, every=timedelta(minutes=10))
    assert world.state_of(ticket) is State.NEEDS_PERSON
    assert_nothing_was_done(world)


@pytest.mark.parametrize(
    ("upn", "text"),
    [
        (SUBJECT, "  Lea@Contoso.Example.COM \n"),
        (SUBJECT, "Lea <mailto:LEA@contoso.example.com>"),
        ("mary.o'hara@contoso.example.com", "Mary.O'Hara@contoso.example.com"),
        ("lea+it@contoso.example.com", "lea+it@contoso.example.com"),
        ("léa.müller@contoso.example.com", "Léa.Müller@contoso.example.com"),
    ],
)
def test_odd_but_right_ways_to_write_an_address_find_the_account(world: World, upn: str, text: str) -> None:
    if upn != SUBJECT:
        world.directory.accounts.append(FakeAccount(upn=upn))
    ticket = world.ticket(subject_text=text)
    world.run()
    world.approve(ticket)
    world.run()
    assert world.state_of(ticket) is State.LINK_OUT
    assert list(world.directory.passwords) == [world.directory.account(upn).id]


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        ({"enabled": False}, "is disabled"),
        ({"guest": True}, "is a guest"),
        ({"synchronised": True}, "on-premises directory"),
        ({"federated": True}, "federated domain"),
        ({"domain_verified": False}, "verified domain"),
        ({"admin_roles": ("User Administrator",)}, "administrator role"),
        ({"eligible_roles": ("role 62e9",)}, "can activate an administrator role"),
        ({"also": ("support@msp.example.com",)}, "from which this connector sends"),
        ({"privileged_groups": ("Helpdesk admins",)}, "can hold administrator roles"),
        ({"protected_by": "users: break-glass"}, "protected by the configuration"),
        ({"restricted": True}, "restricted management"),
        ({"unknown": ("its roles",)}, "could be read"),
    ],
)
def test_an_account_that_must_not_be_touched_is_handed_off_at_once(
    world: World, facts: dict[str, object], reason: str
) -> None:
    world.directory.accounts = [FakeAccount(upn=SUBJECT, **facts)]  # type: ignore[arg-type]
    ticket = world.ticket()
    world.run()
    assert world.state_of(ticket) is State.NEEDS_PERSON
    assert reason in world.note_with(ticket, "A person must take over")
    assert_nothing_was_done(world)


@pytest.mark.parametrize(
    "facts",
    [
        {"enabled": False},
        {"admin_roles": ("User Administrator",)},
        {"privileged_groups": ("Helpdesk admins",)},
        {"protected_by": "users: VIP"},
        {"synchronised": True},
        {"unknown": ("its roles",)},
    ],
)
def test_an_account_that_became_untouchable_after_the_approval_is_not_written(
    world: World, facts: dict[str, object]
) -> None:
    ticket = world.ticket()
    world.run()
    world.approve(ticket)
    for name, value in facts.items():
        setattr(world.directory.account(SUBJECT), name, value)
    world.run()
    assert world.state_of(ticket) is State.NEEDS_PERSON
    assert world.writes == []
    assert world.links.alive() == []
    assert Kind.PASSWORD_READY not in world.mails


def test_an_mfa_reset_of_a_synchronised_account_works(world: World) -> None:
    world.directory.account(SUBJECT).synchronised = True
    ticket = world.ticket(action=Action.MFA)
    world.run()
    world.approve(ticket)
    world.run()
    assert world.case_of(ticket).outcome is Outcome.MFA_RESET


def test_a_deleted_account_is_handed_off_and_nothing_is_written(world: World) -> None:
    ticket = world.ticket()
    world.run()
    world.approve(ticket)
    world.directory.accounts.clear()
    world.run()
    assert world.state_of(ticket) is State.NEEDS_PERSON
    assert world.writes == []
    assert world.links.alive() == []


def test_an_address_that_now_stands_for_another_account_is_not_written(world: World) -> None:
    ticket = world.ticket()
    world.run()
    world.approve(ticket)
    world.directory.accounts = [FakeAccount(upn=SUBJECT, id="00000000-0000-4000-8000-00000000000f")]
    world.run()
    assert world.state_of(ticket) is State.NEEDS_PERSON
    assert world.writes == []
    assert world.links.alive() == []


def test_a_customer_without_a_tenant_is_handed_off_without_asking_any_directory(world: World) -> None:
    ticket = world.ticket(client_id="99", client_name="Fabrikam")
    world.run()
    assert world.state_of(ticket) is State.NEEDS_PERSON
    assert "Fabrikam" in world.note_with(ticket, "not mapped to a tenant")
    assert world.directory.calls == []
    assert_nothing_was_done(world)


def test_a_request_for_ones_own_account_is_handed_off(world: World) -> None:
    own = Person("Lea", "LEA@contoso.example.com", frozenset({"fake.user:9"}))
    ticket = world.ticket(requester=own)
    world.run()
    assert world.state_of(ticket) is State.NEEDS_PERSON
    assert_nothing_was_done(world)


@pytest.mark.parametrize("requester", [None, Person("Rita", None, frozenset({"fake.user:1"}))])
def test_a_requester_without_an_address_is_a_persons_business(world: World, requester: Person | None) -> None:
    ticket = world.ticket(requester=requester)
    world.run()
    assert world.state_of(ticket) is State.NEEDS_PERSON
    assert world.mails == []
    assert_nothing_was_done(world)


def test_a_ticket_that_does_not_say_what_to_reset_is_handed_off(world: World) -> None:
    ticket = world.ticket(action=None)
    world.run()
    assert world.state_of(ticket) is State.NEEDS_PERSON
    assert world.note_with(ticket, "does not say what is to be reset")
    assert_nothing_was_done(world)


def test_a_corrected_ticket_goes_on_after_a_retry_and_needs_an_approval_of_its_own(world: World) -> None:
    ticket = world.ticket(subject_text="my colleague")
    world.run()
    world.approve(ticket)
    world.clock.advance(minutes=10)
    ticket.subject_text = SUBJECT
    world.psa.ask_retry(ticket.id)
    world.run()
    assert world.state_of(ticket) is State.WAITING, "the approval was for something else"
    assert_nothing_was_done(world)
    world.approve(ticket)
    world.run()
    assert world.state_of(ticket) is State.LINK_OUT
    assert world.open_newest_link() == world.password_in_force()


def test_the_retry_status_is_not_taken_for_a_wish_again_and_again(world: World) -> None:
    world.psa.statuses[StatusTarget.HAND_OFF] = None
    ticket = world.ticket(subject_text="my colleague")
    world.run()
    world.clock.advance(minutes=10)
    world.psa.ask_retry(ticket.id)
    world.run_for(hours=1, every=timedelta(minutes=5))
    assert world.state_of(ticket) is State.NEEDS_PERSON
    assert world.mails == [Kind.HANDED_TO_PERSON], "the same reason is not mailed again and again"
    assert world.case_of(ticket).round == 5
    assert world.bugs == []


# ---------------------------------------------------------------- things change while we wait


def test_a_ticket_of_another_type_after_the_approval_is_left_alone(world: World) -> None:
    ticket = world.ticket()
    world.run()
    world.approve(ticket)
    world.psa.retype(ticket.id)
    world.run_for(days=1, every=timedelta(hours=1))
    assert world.case_of(ticket).outcome is Outcome.CANCELLED
    assert world.note_with(ticket, "no longer of a type for resets")
    assert_nothing_was_done(world)


@pytest.mark.parametrize("history", [True, False])
def test_a_subject_changed_after_the_approval_needs_a_new_approval(world: World, history: bool) -> None:
    world.directory.accounts.append(FakeAccount(upn="tom@contoso.example.com"))
    ticket = world.ticket()
    world.run()
    world.approve(ticket)
    world.clock.advance(seconds=10)
    if history:
        world.psa.change_subject(ticket.id, "tom@contoso.example.com")
    else:
        ticket.subject_text = "tom@contoso.example.com"
        world.psa.touch(ticket.id)
    world.run()
    assert world.state_of(ticket) is State.WAITING
    assert "subject" in world.note_with(ticket, "The request was changed")
    assert_nothing_was_done(world)
    world.run_for(hours=2, every=timedelta(minutes=10))
    assert_nothing_was_done(world)
    world.approve(ticket)
    world.run()
    assert world.state_of(ticket) is State.LINK_OUT
    assert list(world.directory.passwords) == [world.directory.account("tom@contoso.example.com").id]


def test_an_action_changed_after_the_approval_needs_a_new_approval(world: World) -> None:
    ticket = world.ticket(action=Action.MFA)
    world.run()
    world.approve(ticket)
    world.clock.advance(seconds=10)
    world.psa.change_action(ticket.id, Action.BOTH)
    world.run()
    assert world.state_of(ticket) is State.WAITING
    assert_nothing_was_done(world)


def test_a_subject_changed_back_and_forth_after_the_approval_is_still_a_change(world: World) -> None:
    ticket = world.ticket()
    world.run()
    world.approve(ticket)
    world.clock.advance(seconds=10)
    world.psa.change_subject(ticket.id, "tom@contoso.example.com")
    world.clock.advance(seconds=10)
    world.psa.change_subject(ticket.id, SUBJECT)
    world.run()
    assert world.state_of(ticket) is State.WAITING
    assert_nothing_was_done(world)


def test_a_ticket_moved_to_another_customer_after_the_approval_needs_a_new_one(world: World) -> None:
    world.tenants["13"] = "fabrikam"
    world.directory.accounts.append(FakeAccount(upn="lea@fabrikam.example.com", tenant="fabrikam", also=(SUBJECT,)))
    ticket = world.ticket()
    world.run()
    world.approve(ticket)
    ticket.client_id = "13"
    world.psa.touch(ticket.id)
    world.run()
    assert world.state_of(ticket) is State.WAITING
    assert_nothing_was_done(world)


def test_a_new_requester_after_the_approval_needs_a_new_one(world: World) -> None:
    ticket = world.ticket()
    world.run()
    world.approve(ticket)
    ticket.requester = Person("Mallory", "mallory@contoso.example.com", frozenset({"fake.user:66"}))
    world.psa.touch(ticket.id)
    world.run()
    assert world.state_of(ticket) is State.WAITING
    assert_nothing_was_done(world)


@pytest.mark.parametrize(
    "moment", ["before the first look", "while waiting", "after the approval", "right before the write"]
)
def test_a_ticket_closed_by_hand_ends_quietly(world: World, moment: str) -> None:
    ticket = world.ticket()
    if moment == "before the first look":
        world.polls.poll_psa(world.psa)
    else:
        world.run()
    if moment in ("after the approval", "right before the write"):
        world.approve(ticket)
    if moment == "right before the write":
        world.store.pause("looking", now=world.clock())
        world.run()
        assert world.state_of(ticket) is State.APPROVED
        world.store.resume(now=world.clock())
    world.psa.close(ticket.id)
    notes = len(world.notes_of(ticket))
    world.run()
    world.run_for(hours=5, every=timedelta(minutes=30))
    assert world.case_of(ticket).state is State.CLOSED
    assert world.case_of(ticket).outcome is Outcome.CANCELLED
    assert len(world.notes_of(ticket)) == notes
    assert world.writes == []
    assert world.links.alive() == []


@pytest.mark.parametrize("moment", ["before the first look", "while waiting", "while writing is paused"])
def test_a_ticket_that_was_deleted_or_merged_ends_the_case(world: World, moment: str) -> None:
    ticket = world.ticket()
    if moment == "before the first look":
        world.polls.poll_psa(world.psa)
    else:
        world.run()
    if moment == "while writing is paused":
        world.store.pause("looking", now=world.clock())
        world.approve(ticket)
        world.run()
        assert world.state_of(ticket) is State.APPROVED
        world.store.resume(now=world.clock())
    world.psa.delete(ticket.id)
    world.run_for(days=1, every=timedelta(hours=1))
    case = world.case_of(ticket)
    assert (case.state, case.outcome) == (State.CLOSED, Outcome.CANCELLED)
    assert "deleted or merged" in case.explanation
    assert world.writes == []
    assert world.links.alive() == []


def test_an_approval_withdrawn_before_the_write_is_no_approval(world: World) -> None:
    ticket = world.ticket()
    world.run()
    world.store.pause("looking", now=world.clock())
    world.approve(ticket)
    world.run()
    assert world.state_of(ticket) is State.APPROVED
    ticket.decisions.clear()
    world.store.resume(now=world.clock())
    world.run_for(minutes=5)
    assert world.state_of(ticket) is State.WAITING
    assert world.writes == []
    assert world.links.alive() == []


# ---------------------------------------------------------------- who approves


def test_nobody_approves_their_own_request(world: World) -> None:
    ticket = world.ticket()
    world.run()
    same = Person("A. N. Other", "RITA@contoso.example.com", frozenset({"fake.agent:4"}))
    ticket.approvers = (same,)
    world.approve(ticket, same)
    world.run()
    assert world.state_of(ticket) is State.NEEDS_PERSON
    assert world.note_with(ticket, "approved their own request")
    assert_nothing_was_done(world)


def test_a_namesake_of_the_requester_may_approve(world: World) -> None:
    ticket = world.ticket()
    world.run()
    namesake = Person(REQUESTER.name, "other.rita@contoso.example.com", frozenset({"fake.user:8"}))
    ticket.approvers = (namesake,)
    world.approve(ticket, namesake)
    world.run()
    assert world.state_of(ticket) is State.LINK_OUT


def test_the_account_in_question_does_not_approve_its_own_reset(world: World) -> None:
    world.directory.accounts = [FakeAccount(upn=SUBJECT, also=("lea.alias@contoso.example.com",))]
    ticket = world.ticket()
    world.run()
    alias = Person("Anna", "lea.alias@contoso.example.com", frozenset({"fake.user:2"}))
    ticket.approvers = (alias,)
    world.approve(ticket, alias)
    world.run()
    assert world.state_of(ticket) is State.NEEDS_PERSON
    assert world.note_with(ticket, "the very account that is to be reset")
    assert world.writes == []
    assert world.links.alive() == []


def test_an_approver_who_is_not_listed_is_refused(world: World) -> None:
    world.approvers = frozenset({"boss@contoso.example.com"})
    ticket = world.ticket()
    world.run()
    world.approve(ticket)
    world.run()
    assert world.state_of(ticket) is State.NEEDS_PERSON
    assert world.note_with(ticket, "may not approve for this customer")
    assert_nothing_was_done(world)


def test_a_listed_approver_is_taken(world: World) -> None:
    world.approvers = frozenset({"anna@contoso.example.com"})
    ticket = world.ticket()
    world.run()
    world.approve(ticket)
    world.run()
    assert world.state_of(ticket) is State.LINK_OUT


def test_an_approval_that_we_saw_a_day_too_late_is_refused(world: World) -> None:
    ticket = world.ticket()
    world.run()
    world.approve(ticket)
    world.clock.advance(hours=24, seconds=1)
    world.run()
    assert world.state_of(ticket) is State.NEEDS_PERSON
    assert world.note_with(ticket, "older than 24 hours")
    assert_nothing_was_done(world)


def test_an_approval_from_the_future_is_refused(world: World) -> None:
    ticket = world.ticket()
    world.run()
    world.approve(ticket, at=world.clock() + timedelta(hours=1))
    world.run()
    assert world.state_of(ticket) is State.NEEDS_PERSON
    assert_nothing_was_done(world)


def test_an_approval_that_runs_out_while_writing_is_paused_is_not_used(world: World) -> None:
    ticket = world.ticket()
    world.run()
    world.store.pause("looking", now=world.clock())
    world.approve(ticket)
    world.run()
    world.clock.advance(hours=25)
    world.store.resume(now=world.clock())
    world.run()
    assert world.state_of(ticket) is State.NEEDS_PERSON
    assert world.writes == []
    assert world.links.alive() == []


def test_one_approver_of_two_is_not_enough(world: World) -> None:
    bo = Person("Bo", "bo@contoso.example.com", frozenset({"fake.user:3"}))
    ticket = world.ticket(approvers=(APPROVER, bo))
    world.run()
    world.approve(ticket)
    world.run()
    assert world.state_of(ticket) is State.WAITING
    assert_nothing_was_done(world)
    world.approve(ticket, bo)
    world.run()
    assert world.state_of(ticket) is State.LINK_OUT


def test_short_timing_of_a_psa_is_kept(world: World) -> None:
    timing = Timing(remind_after=timedelta(minutes=10), reminders=1, give_up_after=timedelta(minutes=30))
    world.psa.rules = replace(world.psa.rules, timing=timing)
    ticket = world.ticket()
    world.run_for(minutes=40)
    assert world.case_of(ticket).outcome is Outcome.TIMED_OUT
    assert world.mails_to(APPROVER) == [Kind.APPROVAL_REMINDER]


# ---------------------------------------------------------------- bad days


def go_away(fake: FakePsa | FakeDirectory | FakeMailer | FakeLinks, *, only: str = "") -> None:
    """From now on this system (or this one call of it) answers nobody; `come_back` ends that."""

    def away(call: str, moment: str) -> None:
        if moment == "before" and only in ("", call):
            raise TemporaryError("It did not answer in time. It is tried again by itself.")

    fake.on_call = away


def come_back(fake: FakePsa | FakeDirectory | FakeMailer | FakeLinks) -> None:
    fake.on_call = None


def test_a_psa_that_is_down_for_many_polls_loses_nothing(world: World) -> None:
    ticket = world.ticket()
    world.run()
    go_away(world.psa)
    world.approve(ticket)
    late = world.ticket(subject_text="tom@contoso.example.com")
    world.directory.accounts.append(FakeAccount(upn="tom@contoso.example.com"))
    world.run_for(hours=3, every=timedelta(minutes=5))
    assert len(world.poll_failures) > 20
    assert_nothing_was_done(world)
    come_back(world.psa)
    world.run_for(minutes=20)
    assert world.state_of(ticket) is State.LINK_OUT
    assert world.state_of(late) is State.WAITING
    assert world.bugs == []


def test_an_approval_is_not_missed_because_the_psa_was_down_when_it_was_given(world: World) -> None:
    ticket = world.ticket()
    world.run()
    world.clock.advance(hours=1)
    world.psa.raise_after("changed", TemporaryError("cut"), TemporaryError("cut"))
    world.approve(ticket)
    for _ in range(4):
        world.clock.advance(minutes=6)
        world.run()
    assert world.state_of(ticket) is State.LINK_OUT


def test_the_requester_of_an_outage_gets_one_reminder_and_not_all_that_are_overdue(world: World) -> None:
    ticket = world.ticket()
    world.run()
    go_away(world.psa)
    world.run_for(days=4, every=timedelta(hours=1))
    come_back(world.psa)
    world.run_for(hours=2, every=timedelta(minutes=5))
    assert world.mails_to(APPROVER) == [Kind.APPROVAL_REMINDER]
    assert world.state_of(ticket) is State.WAITING


def test_a_step_that_an_outage_delayed_for_long_is_explained_in_the_ticket_once(world: World) -> None:
    ticket = world.ticket()
    world.run()
    world.approve(ticket)
    go_away(world.directory)
    world.run_for(minutes=30)
    come_back(world.directory)
    world.run_for(minutes=30)
    assert world.state_of(ticket) is State.LINK_OUT
    assert "It works again." in world.note_with(ticket, "was delayed by")


def test_a_short_delay_is_not_worth_a_note(world: World) -> None:
    ticket = world.ticket()
    world.run()
    world.approve(ticket)
    world.directory.raise_before("set_password", TemporaryError("busy"))
    world.run_for(minutes=3)
    assert world.state_of(ticket) is State.LINK_OUT
    assert not any("was delayed by" in note for note in world.notes_of(ticket))


def test_no_password_is_set_while_the_mail_server_would_not_take_the_link(world: World) -> None:
    ticket = world.ticket()
    world.run()
    world.approve(ticket)
    world.mailer.down = True
    world.run_for(hours=1)
    assert world.state_of(ticket) is State.APPROVED
    assert_nothing_was_done(world)
    world.mailer.down = False
    world.run_for(minutes=20)
    assert world.state_of(ticket) is State.LINK_OUT
    assert world.open_newest_link() == world.password_in_force()


def test_a_mail_server_that_refuses_our_sign_in_stops_the_password_and_is_told_to_the_caller(world: World) -> None:
    ticket = world.ticket()
    world.run()
    world.approve(ticket)
    world.mailer.sign_in_refused = True
    world.run()
    assert world.passes[-1].result is Result.REFUSED
    assert world.passes[-1].authentication == "mail"
    assert_nothing_was_done(world)
    world.mailer.sign_in_refused = False
    world.run_for(minutes=5)
    assert world.state_of(ticket) is State.LINK_OUT


def test_a_mail_that_is_refused_just_after_the_password_was_set_makes_a_new_password_and_a_new_link(
    world: World,
) -> None:
    ticket = world.ticket()
    world.run()
    world.approve(ticket)
    sends = []

    def the_mail_after_approved_fails(call: str, moment: str) -> None:
        if (call, moment) == ("send", "before"):
            sends.append(call)
            if len(sends) == 2:
                raise TemporaryError("cut")

    world.mailer.on_call = the_mail_after_approved_fails
    world.run_for(minutes=3)
    assert world.state_of(ticket) is State.LINK_OUT
    assert whats(world) == ["password", "sessions", "password", "sessions"]
    first, second = world.links.made()
    assert world.links.alive() == [second]
    assert world.links.behind(first) != world.links.behind(second)
    assert world.open_newest_link() == world.password_in_force()


def test_a_mail_that_was_taken_although_the_answer_was_lost_leaves_one_living_link(world: World) -> None:
    ticket = world.ticket()
    world.run()
    world.approve(ticket)
    sends = []

    def answer_is_lost(call: str, moment: str) -> None:
        if (call, moment) == ("send", "after"):
            sends.append(call)
            if len(sends) == 2:
                raise TemporaryError("cut")

    world.mailer.on_call = answer_is_lost
    world.run_for(minutes=3)
    older, newer = world.mailed_links()
    with pytest.raises(LinkGone):
        world.links.open(older)
    assert world.links.open(newer) == world.password_in_force()
    assert world.state_of(ticket) is not State.NEEDS_PERSON


def test_a_requester_whose_mailbox_refuses_for_good_is_a_persons_business_and_the_link_is_dead(world: World) -> None:
    ticket = world.ticket()
    world.run()
    world.approve(ticket)
    world.mailer.refused.add(REQUESTER.email or "")
    world.run()
    assert world.state_of(ticket) is State.NEEDS_PERSON
    assert world.links.alive() == []
    assert Kind.PASSWORD_READY not in world.mails
    told = world.note_with(ticket, "A person must take over")
    assert "refused the recipient" in told
    assert "Nothing was changed" not in told, "the password was set"
    assert world.note_with(ticket, "A mail could not be delivered")
    assert ticket.status == HAND_OFF


def test_the_dead_link_of_a_second_candidate_is_revoked_too(world: World) -> None:
    ticket = world.ticket()
    world.run()
    world.approve(ticket)
    world.directory.reject_passwords = 1
    world.mailer.refused.add(REQUESTER.email or "")
    world.run()
    assert world.state_of(ticket) is State.NEEDS_PERSON
    assert len(world.links.made()) == 2
    assert world.links.alive() == []


def test_a_link_service_that_is_down_stops_the_password(world: World) -> None:
    ticket = world.ticket()
    world.run()
    world.approve(ticket)
    world.links.down = True
    world.run_for(hours=1)
    assert world.state_of(ticket) is State.APPROVED
    assert_nothing_was_done(world)
    world.links.down = False
    world.run_for(minutes=20)
    assert world.open_newest_link() == world.password_in_force()
    assert world.state_of(ticket) is State.LINK_OUT


def test_a_link_service_that_refuses_our_key_stops_the_password_and_is_told_to_the_caller(world: World) -> None:
    ticket = world.ticket()
    world.run()
    world.approve(ticket)
    world.links.key_refused = True
    world.run()
    assert world.passes[-1].authentication == "links"
    assert world.state_of(ticket) is State.APPROVED
    assert_nothing_was_done(world)


def test_a_link_service_that_is_down_when_a_link_ends_is_asked_until_it_answers(world: World) -> None:
    ticket = world.ticket()
    world.run()
    world.approve(ticket)
    world.run()
    world.clock.advance(minutes=30)
    world.open_newest_link()
    world.links.down = True
    world.run_for(hours=2)
    assert world.state_of(ticket) is State.LINK_OUT, "nothing is concluded from silence"
    world.links.down = False
    world.run_for(minutes=20)
    assert world.case_of(ticket).outcome is Outcome.OPENED


def test_a_link_service_whose_clock_is_behind_is_not_asked_without_pause(world: World) -> None:
    ticket = world.ticket()
    world.run()
    world.approve(ticket)
    world.run()
    world.links.asleep = True
    world.run_for(minutes=60, every=timedelta(minutes=10))
    asked = len(world.links.calls)
    world.run_for(minutes=5, every=timedelta(seconds=5))
    polls = 2 * 60
    assert len(world.links.calls) - asked < polls + 30
    assert world.state_of(ticket) is State.LINK_OUT


def test_a_link_whose_end_is_never_told_is_a_persons_business(world: World) -> None:
    ticket = world.ticket()
    world.run()
    world.approve(ticket)
    world.run()
    world.links.asleep = True
    world.run_for(hours=2)
    assert world.state_of(ticket) is State.NEEDS_PERSON
    assert "Whether it was opened is not known" in world.note_with(ticket, "A person must take over")
    assert Kind.LINK_EXPIRED not in world.mails


def test_a_link_revoked_by_somebody_else_is_a_persons_business(world: World) -> None:
    ticket = world.ticket()
    world.run()
    world.approve(ticket)
    world.run()
    world.links.revoke(world.case_of(ticket).link_id)
    world.run()
    assert world.state_of(ticket) is State.NEEDS_PERSON
    assert world.note_with(ticket, "The link was revoked at the link service")


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_database_that_goes_away_in_the_middle_of_a_delivery_heals_by_itself(
    world: World, moment: Literal["before", "after"]
) -> None:
    ticket = world.ticket()
    world.run()
    world.approve(ticket)

    def away(name: str, at: str) -> None:
        if (name, at) == ("save", moment) and world.writes:
            raise DatabaseError("locked")

    world.store.on_call = away
    world.run()
    assert world.passes[-1].result is Result.DATABASE
    world.store.on_call = None
    world.run_for(minutes=10)
    assert world.state_of(ticket) is State.LINK_OUT
    assert len(world.links.alive()) == 1
    assert world.open_newest_link() == world.password_in_force()


def test_a_database_that_is_away_from_the_start_means_that_nothing_is_done(world: World) -> None:
    ticket = world.ticket()
    world.run()
    world.approve(ticket)

    def away(name: str, at: str) -> None:
        raise DatabaseError("gone")

    world.store.on_call = away
    world.run_for(minutes=5)
    assert_nothing_was_done(world)
    world.store.on_call = None
    world.run_for(minutes=10)
    assert world.state_of(ticket) is State.LINK_OUT


def test_a_worker_that_lost_its_claim_writes_nothing_to_the_case_and_leaves_no_living_link(world: World) -> None:
    ticket = world.ticket()
    world.run()
    world.approve(ticket)
    taken: list[Case] = []

    def another_worker_comes(call: str, moment: str) -> None:
        if (call, moment) == ("create", "after") and not taken:
            world.clock.advance(minutes=6)
            other = world.store.claim_due(now=world.clock(), lease=timedelta(minutes=5))
            assert other is not None
            taken.append(other)

    world.links.on_call = another_worker_comes
    world.run()
    assert world.passes[-1].result is Result.LOST
    assert world.writes == []
    assert world.links.alive() == []
    world.clock.advance(minutes=6)
    world.run()
    assert world.state_of(ticket) is State.LINK_OUT
    assert len(world.links.alive()) == 1


def test_a_directory_that_refuses_us_pauses_and_is_told_to_the_caller(world: World) -> None:
    ticket = world.ticket()
    world.run()
    world.approve(ticket)
    refusal = AuthenticationError("Microsoft Graph refused the write (403).", scope="tenant.contoso")
    world.directory.raise_before("set_password", refusal)
    world.run()
    assert world.passes[-1].authentication == "tenant.contoso"
    assert world.state_of(ticket) is State.APPROVED
    assert world.writes == []
    assert world.links.alive() == []
    world.run_for(minutes=5)
    assert world.state_of(ticket) is State.LINK_OUT


def test_what_fails_for_good_is_handed_off_with_the_reason(world: World) -> None:
    ticket = world.ticket()
    world.run()
    world.approve(ticket)
    world.directory.raise_before("set_password", PermanentError("The directory says no. Reset it by hand."))
    world.run()
    assert world.state_of(ticket) is State.NEEDS_PERSON
    assert "The directory says no." in world.note_with(ticket, "A person must take over")
    assert f"connector retry halo:{ticket.id}" in world.note_with(ticket, "A person must take over")
    assert world.writes == []
    assert world.links.alive() == []
    assert world.mails[-1] is Kind.HANDED_TO_PERSON


def test_a_password_that_is_rejected_twice_is_replaced_twice_and_its_links_die(world: World) -> None:
    ticket = world.ticket()
    world.run()
    world.approve(ticket)
    world.directory.reject_passwords = 2
    world.run()
    assert world.state_of(ticket) is State.LINK_OUT
    assert len(world.links.made()) == 3
    assert len(world.links.alive()) == 1
    assert world.open_newest_link() == world.password_in_force()


def test_a_password_that_is_rejected_thrice_is_a_persons_business(world: World) -> None:
    ticket = world.ticket()
    world.run()
    world.approve(ticket)
    world.directory.reject_passwords = 3
    world.run()
    assert world.state_of(ticket) is State.NEEDS_PERSON
    assert world.directory.passwords == {}
    assert world.links.alive() == []
    assert Kind.PASSWORD_READY not in world.mails


def test_a_write_that_fails_for_hours_is_handed_off_in_the_end(world: World) -> None:
    ticket = world.ticket()
    world.run()
    world.approve(ticket)
    go_away(world.directory)
    world.run_for(hours=8)
    assert world.state_of(ticket) is State.NEEDS_PERSON
    assert "It failed 25 times" in world.note_with(ticket, "A person must take over")
    assert world.writes == []
    assert world.links.alive() == []


def test_a_wait_that_a_system_asked_for_is_kept(world: World) -> None:
    ticket = world.ticket()
    world.run()
    world.approve(ticket)
    world.directory.raise_before("set_password", TemporaryError("slow down", retry_after=timedelta(minutes=20)))
    world.run()
    world.clock.advance(minutes=19)
    world.run()
    assert world.writes == []
    world.clock.advance(minutes=1)
    world.run()
    assert world.state_of(ticket) is State.LINK_OUT


def test_a_bug_is_reported_and_the_third_time_a_person_is_called(world: World) -> None:
    ticket = world.ticket()
    world.run()
    world.approve(ticket)
    world.directory.raise_before("set_password", *[ZeroDivisionError() for _ in range(3)])
    world.run()
    assert world.passes[-1].result is Result.BUG
    assert world.state_of(ticket) is State.APPROVED
    world.run_for(minutes=5)
    assert [type(bug) for bug in world.bugs] == [ZeroDivisionError] * 3
    assert world.state_of(ticket) is State.NEEDS_PERSON
    assert "ZeroDivisionError" in world.note_with(ticket, "A person must take over")
    assert world.writes == []
    assert world.links.alive() == []


# ---------------------------------------------------------------- the methods


def test_methods_that_cannot_be_removed_are_named_and_left_to_a_person(world: World) -> None:
    account = world.directory.account(SUBJECT)
    account.methods.append("certificate")
    account.stubborn = {"certificate": "managed elsewhere"}
    ticket = world.ticket(action=Action.MFA)
    world.run()
    world.approve(ticket)
    world.run()
    assert world.state_of(ticket) is State.NEEDS_PERSON
    told = world.note_with(ticket, "A person must take over")
    assert "certificate: managed elsewhere" in told
    assert "Removed: phone (mobile), fido2" in told
    assert Kind.MFA_RESET_DONE not in world.mails


def test_methods_left_of_a_request_for_both_mean_that_no_password_is_set(world: World) -> None:
    account = world.directory.account(SUBJECT)
    account.stubborn = {"fido2": "managed elsewhere"}
    ticket = world.ticket(action=Action.BOTH)
    world.run()
    world.approve(ticket)
    world.run()
    assert world.state_of(ticket) is State.NEEDS_PERSON
    assert "password" not in whats(world)
    assert world.links.made() == []


def test_a_removal_that_stopped_in_the_middle_goes_on_and_the_note_names_every_kind(world: World) -> None:
    ticket = world.ticket(action=Action.MFA)
    world.run()
    world.approve(ticket)
    world.directory.raise_after("remove_method", TemporaryError("slow down"))
    world.run_for(minutes=3)
    assert world.case_of(ticket).outcome is Outcome.MFA_RESET
    assert "phone (mobile), fido2" in world.note_with(ticket, "MFA of Lea")
    assert [line.strip() for line in world.letters_of(Kind.MFA_RESET_DONE)[0].facts["removed"].splitlines()] == [
        "phone (mobile)",
        "fido2",
    ]


def test_the_kinds_are_not_forgotten_when_the_sessions_cannot_be_revoked_at_first(world: World) -> None:
    ticket = world.ticket(action=Action.MFA)
    world.run()
    world.approve(ticket)
    world.directory.raise_before("revoke_sessions", TemporaryError("slow down"))
    world.run_for(minutes=3)
    assert world.case_of(ticket).outcome is Outcome.MFA_RESET
    assert "phone (mobile), fido2" in world.note_with(ticket, "MFA of Lea")
    assert whats(world) == ["method", "method", "sessions"]


def test_an_account_without_methods_is_said_to_have_none(world: World) -> None:
    world.directory.account(SUBJECT).methods.clear()
    ticket = world.ticket(action=Action.MFA)
    world.run()
    world.approve(ticket)
    world.run()
    assert "none were registered" in world.note_with(ticket, "MFA of Lea")


def test_a_subject_changed_between_the_two_halves_gets_both_halves(world: World) -> None:
    tom = FakeAccount(upn="tom@contoso.example.com", methods=["phone (mobile)"])
    world.directory.accounts.append(tom)
    ticket = world.ticket(action=Action.BOTH)
    world.run()
    world.approve(ticket)
    go_away(world.mailer, only="ready")
    world.run()
    assert whats(world) == ["method", "method", "sessions"]
    world.psa.change_subject(ticket.id, tom.upn)
    come_back(world.mailer)
    world.run_for(minutes=5)
    assert world.state_of(ticket) is State.WAITING
    world.approve(ticket)
    world.run()
    assert tom.methods == []
    assert list(world.directory.passwords) == [tom.id]
    assert "phone (mobile)" in world.notes_of(ticket)[-2]
    assert "fido2" not in world.notes_of(ticket)[-2], "that was another account's"


def test_an_action_narrowed_to_mfa_between_the_two_halves_sets_no_password(world: World) -> None:
    ticket = world.ticket(action=Action.BOTH)
    world.run()
    world.approve(ticket)
    go_away(world.mailer, only="ready")
    world.run()
    assert whats(world) == ["method", "method", "sessions"]
    world.clock.advance(minutes=1)
    world.psa.change_action(ticket.id, Action.MFA)
    come_back(world.mailer)
    world.run_for(minutes=5)
    world.approve(ticket)
    world.run()
    assert world.case_of(ticket).outcome is Outcome.MFA_RESET
    assert "password" not in whats(world)
    assert world.links.alive() == []


# ---------------------------------------------------------------- the brake and the big switch


@pytest.mark.parametrize("limit", ["per_subject", "per_requester", "per_approver", "per_tenant"])
def test_one_reset_too_many_is_held_back_and_handed_to_a_person(limit: str) -> None:
    world = World(limits=wide_limits(**{limit: Limit(1, timedelta(hours=24))}))
    first = world.ticket(action=Action.MFA)
    world.run()
    world.approve(first)
    world.run()
    assert world.case_of(first).outcome is Outcome.MFA_RESET
    writes = list(world.writes)
    second = world.ticket(action=Action.MFA)
    world.run()
    world.approve(second)
    world.run()
    assert world.state_of(second) is State.NEEDS_PERSON
    assert "The brake refuses" in world.note_with(second, "A person must take over")
    assert world.writes == writes
    assert world.links.alive() == []


def test_a_request_for_both_counts_once_for_each_half_and_repeats_of_a_step_count_once() -> None:
    world = World(limits=wide_limits(per_subject=Limit(2, timedelta(hours=24))))
    ticket = world.ticket(action=Action.BOTH)
    world.run()
    world.approve(ticket)
    world.directory.raise_after("remove_methods", TemporaryError("cut"))
    world.directory.raise_after("set_password", TemporaryError("cut"), TemporaryError("cut"))
    world.run_for(minutes=5)
    assert world.state_of(ticket) is State.LINK_OUT


def test_over_the_limit_for_all_together_everything_stops_until_a_person_resumes() -> None:
    world = World(limits=wide_limits(overall=Limit(1, timedelta(hours=1))))
    world.directory.accounts += [FakeAccount(upn=f"{name}@contoso.example.com") for name in ("tom", "ida")]
    first, second, third = (
        world.ticket(action=Action.MFA, subject_text=f"{name}@contoso.example.com") for name in ("lea", "tom", "ida")
    )
    world.run()
    for ticket in (first, second, third):
        world.approve(ticket)
        world.run()
    assert world.case_of(first).outcome is Outcome.MFA_RESET
    assert (world.state_of(second), world.state_of(third)) == (State.APPROVED, State.APPROVED)
    assert "limit for all resets together" in world.store.paused()
    assert "connector resume" in world.note_with(second, "Held by the brake")
    writes = list(world.writes)
    world.run_for(hours=2)
    assert world.writes == writes, "time alone lifts nothing"
    world.store.resume(now=world.clock())
    world.run_for(minutes=2)
    assert sorted(world.state_of(ticket) for ticket in (second, third)) == [State.APPROVED, State.CLOSED], (
        "one more fits into the new hour, and then the brake holds again"
    )


def test_while_writing_is_paused_requests_are_read_and_mails_are_sent_but_no_account_is_written(world: World) -> None:
    world.store.pause("the auditor is here", now=world.clock())
    ticket = world.ticket()
    world.run()
    world.approve(ticket)
    world.run_for(minutes=30)
    assert world.state_of(ticket) is State.APPROVED
    assert world.mails == [Kind.REQUEST_CONFIRMATION, Kind.REQUEST_APPROVED]
    assert_nothing_was_done(world)
    world.store.resume(now=world.clock())
    world.run_for(minutes=2)
    assert world.state_of(ticket) is State.LINK_OUT


# ---------------------------------------------------------------- notes, mails and statuses on their way


def test_a_note_whose_answer_was_lost_is_looked_for_and_not_written_twice(world: World) -> None:
    ticket = world.ticket()
    world.psa.raise_after("add_note", TemporaryError("cut"))
    world.run_for(minutes=3)
    assert len(world.notes_of(ticket)) == 1
    assert ("has_note", ticket.id) in world.psa.calls


def test_a_note_that_did_not_arrive_is_written_again(world: World) -> None:
    ticket = world.ticket()
    world.psa.raise_before("add_note", TemporaryError("cut"))
    world.run_for(minutes=3)
    assert len(world.notes_of(ticket)) == 1


def test_notes_and_mails_keep_their_order_through_trouble(world: World) -> None:
    ticket = world.ticket()
    world.psa.raise_before("add_note", *[TemporaryError("cut") for _ in range(4)])
    world.run()
    assert world.mails == [], "the mail waits behind the note"
    world.run_for(minutes=5)
    assert world.mails == [Kind.REQUEST_CONFIRMATION]
    assert len(world.notes_of(ticket)) == 1


def test_a_status_that_the_psa_refuses_is_said_in_a_note_and_stops_nothing(world: World) -> None:
    ticket = world.ticket(action=Action.MFA)
    world.run()
    world.approve(ticket)
    world.psa.raise_before("move", PermanentError("A field is missing. Fill it in."))
    world.run_for(minutes=3)
    assert world.case_of(ticket).outcome is Outcome.MFA_RESET
    assert "A field is missing." in world.note_with(ticket, "A status change could not be delivered")


def test_a_note_that_the_psa_refuses_for_good_holds_nothing_up(world: World) -> None:
    ticket = world.ticket()
    world.psa.raise_before("add_note", PermanentError("Notes are not allowed. Check the rights."))
    world.run()
    assert world.mails == [Kind.REQUEST_CONFIRMATION]
    assert world.state_of(ticket) is State.WAITING


def test_nothing_that_people_see_or_the_database_keeps_holds_a_password(world: World) -> None:
    for action in Action:
        ticket = world.ticket(action=action)
        world.directory.reject_passwords = 1
        world.run()
        world.approve(ticket)
        world.run()
    assert len(world.passwords) == 4
    stored = repr([world.store.cases(), [sent.row for sent in world.store.messages], world.store._audit])
    written = "".join(note.text for _, note in world.psa.notes)
    mailed = "".join(email.subject + email.text + email.html for email in world.mailer.sent)
    tokens = [world.links.url_of(link_id).reveal().rpartition("/")[2] for link_id in world.links.made()]
    for secret in [password.reveal() for password in world.passwords]:
        assert secret not in stored + written + mailed
    for token in tokens:
        assert token not in stored + written


def test_a_ticket_closed_between_the_password_and_its_mail_says_that_nobody_has_the_password(world: World) -> None:
    ticket = world.ticket()
    world.run()
    world.approve(ticket)
    world.directory.raise_after("set_password", TemporaryError("the answer was lost"))
    world.run()
    assert world.writes, "the password was set"
    world.psa.close(ticket.id)
    world.run_for(hours=1)
    assert world.state_of(ticket) is State.CLOSED
    assert any("one that nobody was given" in note.text for _, note in world.psa.notes)
    assert world.links.alive() == []


# ---------------------------------------------------------------- hints, kept methods, proof


def test_a_lockout_in_the_reason_is_named_to_agent_and_requester(world: World) -> None:
    ticket = world.ticket(reason="locked out after too many attempts")
    world.run()
    assert "reads like a lock-out" in world.note_with(ticket, "Recognised")
    assert "You wrote of a lock-out" in world.mailer.sent[0].text
    assert "You wrote of a lock-out" in world.mailer.sent[0].html


@pytest.mark.parametrize("helps_itself", [True, False, None])
def test_whoever_can_help_themselves_is_told_so_at_once(world: World, helps_itself: bool | None) -> None:
    world.directory.account(SUBJECT).helps_itself = helps_itself
    ticket = world.ticket()
    world.run()
    said = "https://passwordreset.microsoftonline.com" in world.mailer.sent[0].text
    assert said is (helps_itself is True)
    assert ("passwordreset" in world.note_with(ticket, "Recognised")) is said
    assert world.state_of(ticket) is State.WAITING


def test_an_mfa_request_gives_no_hint_about_passwords(world: World) -> None:
    world.directory.account(SUBJECT).helps_itself = True
    world.ticket(action=Action.MFA, reason="locked out")
    world.run()
    assert "passwordreset" not in world.mailer.sent[0].text
    assert "lock-out" not in world.mailer.sent[0].text


@pytest.mark.parametrize("action", [Action.MFA, Action.BOTH])
def test_methods_that_are_kept_are_named_and_are_no_reason_to_hand_off(world: World, action: Action) -> None:
    world.directory.keeps = ("fido2",)
    ticket = world.ticket(action=action)
    world.run()
    world.approve(ticket)
    world.run()
    assert world.directory.account(SUBJECT).methods == ["fido2"]
    assert "Left in place on purpose (mfa.keep): fido2" in world.note_with(ticket, "MFA of Lea")
    assert world.case_of(ticket).mfa_kept == ("fido2",)
    assert "What was kept still signs them in" in world.mailer.sent[-1].text


def test_the_audit_names_the_calls_by_which_an_account_was_written(world: World) -> None:
    ticket = world.ticket(action=Action.BOTH)
    world.run()
    world.approve(ticket)
    world.run()
    entries = {line.entry.event: line.entry.facts for line in world.store.audit_of(world.case_of(ticket).id)}
    assert len(entries["methods_removed"]["calls"].split()) == 2
    for event in ("methods_removed", "password_set"):
        assert entries[event]["calls"].partition("/")[0]
        assert all(entries[event]["sessions_call"].split("/"))


def proof_events(world: World, ticket: FakeTicket) -> list[str]:
    events = [line.entry.event for line in world.store.audit_of(world.case_of(ticket).id)]
    return [event for event in events if event in ("confirmed", "not_confirmed")]


def test_a_directory_that_shows_the_reset_at_once_is_not_asked_again(world: World) -> None:
    ticket = world.ticket()
    world.run()
    world.approve(ticket)
    world.run()
    assert "Microsoft's directory shows it." in world.note_with(ticket, "Password of Lea")
    reads = world.directory.calls.count(("read", "contoso"))
    world.run_for(minutes=30, every=timedelta(seconds=30))
    assert world.directory.calls.count(("read", "contoso")) == reads
    assert proof_events(world, ticket) == []


def test_a_directory_that_lags_is_looked_at_again_until_it_shows_the_reset(world: World) -> None:
    world.directory.lagging = True
    ticket = world.ticket()
    world.run()
    world.approve(ticket)
    world.run()
    assert "directory shows it" not in world.note_with(ticket, "Password of Lea")
    assert world.mails[-1] is Kind.PASSWORD_READY, "nobody waits for the directory"
    world.run_for(minutes=1, every=timedelta(seconds=15))
    assert proof_events(world, ticket) == ["not_confirmed"]
    world.directory.catch_up()
    world.run_for(minutes=3, every=timedelta(seconds=15))
    assert proof_events(world, ticket) == ["not_confirmed", "confirmed"]
    assert world.case_of(ticket).proof is None
    assert world.state_of(ticket) is State.LINK_OUT


def test_what_the_directory_never_shows_is_told_to_the_agent_once_and_changes_nothing(world: World) -> None:
    world.directory.lagging = True
    ticket = world.ticket()
    world.run()
    world.approve(ticket)
    world.run()
    writes = len(world.writes)
    world.run_for(minutes=30, every=timedelta(seconds=30))
    said = [note for note in world.notes_of(ticket) if "still does not show" in note]
    assert len(said) == 1
    assert "the new password and the end of the sessions" in said[0]
    assert len(world.writes) == writes
    assert world.open_newest_link() == world.password_in_force()
    world.run_for(minutes=1)
    assert world.case_of(ticket).outcome is Outcome.OPENED


@pytest.mark.parametrize("failure", [TemporaryError("away"), AuthenticationError("no", scope="tenant.contoso"),
                                     PermanentError("no")])  # fmt: skip
def test_a_look_that_fails_holds_up_nothing(world: World, failure: Exception) -> None:
    world.directory.lagging = True
    ticket = world.ticket()
    world.run()
    world.approve(ticket)
    world.run()
    world.directory.raise_before("read", *[failure] * 10)
    world.run_for(minutes=20, every=timedelta(seconds=30))
    assert world.state_of(ticket) is State.LINK_OUT
    world.open_newest_link()
    world.run_for(minutes=1)
    assert world.case_of(ticket).outcome is Outcome.OPENED


def test_a_requester_known_by_a_shared_address_is_taken_for_each_who_answers_to_it(world: World) -> None:
    """The approver shares a mailbox with somebody, and asks by its address."""
    shared = "reception@contoso.example.com"
    world.directory.accounts += [
        FakeAccount(upn=APPROVER.email or "", also=(shared,)),
        FakeAccount(upn="other@contoso.example.com", also=(shared,)),
    ]
    ticket = world.ticket(requester=Person("Reception", shared, frozenset({"halo.user:77"})))
    world.run()
    world.approve(ticket)
    world.run()
    assert world.state_of(ticket) is State.NEEDS_PERSON
    assert_nothing_was_done(world)


def test_a_password_that_could_not_be_handed_over_is_in_the_audit_all_the_same(world: World) -> None:
    ticket = world.ticket()
    world.run()
    world.approve(ticket)

    def mail_server_goes_away(call: str, moment: str) -> None:
        if (call, moment) == ("set_password", "after"):
            world.mailer.raise_before("send", TemporaryError("away"))
            world.directory.on_call = None

    world.directory.on_call = mail_server_goes_away
    world.run()
    events = [line.entry.event for line in world.store.audit_of(world.case_of(ticket).id)]
    assert events.count("password_set") == whats(world).count("password")
    assert events.count("password_set") == 1
    world.run_for(minutes=1, every=timedelta(seconds=5))
    events = [line.entry.event for line in world.store.audit_of(world.case_of(ticket).id)]
    assert events.count("password_set") == whats(world).count("password") == 2


@pytest.mark.parametrize("action", list(Action))
def test_while_the_directory_wants_a_pause_no_link_is_made_and_nothing_is_written(world: World, action: Action) -> None:
    ticket = world.ticket(action=action)
    world.run()
    world.approve(ticket)
    world.directory.raise_before("ready", *[TemporaryError("pause", retry_after=timedelta(seconds=30))] * 2)
    world.run()
    assert world.state_of(ticket) is State.APPROVED
    assert_nothing_was_done(world)
    world.run_for(minutes=3, every=timedelta(seconds=15))
    assert world.writes != []
