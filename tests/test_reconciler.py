"""Whole stories with everything outside faked: what people see, and what was not done."""

from __future__ import annotations

from datetime import timedelta

import pytest

from connector.core.case import Action, Outcome, Person, State
from connector.core.ports import LinkEventKind, MailKind, StatusTarget, Timing
from connector.core.secret import Secret
from tests.fakes.directory import FakeAccount
from tests.fakes.links import LinkGone
from tests.fakes.psa import CLOSED, HAND_OFF
from tests.fakes.world import APPROVER, REQUESTER, SUBJECT, World

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
        ("lea@fabrikam.example.com", "No account of this customer's tenant has the address"),
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


@pytest.mark.parametrize("moment", ["before the first look", "while waiting", "after the approval"])
def test_a_ticket_closed_by_hand_ends_quietly(world: World, moment: str) -> None:
    ticket = world.ticket()
    if moment == "before the first look":
        world.polls.poll_psa(world.psa)
    else:
        world.run()
    if moment == "after the approval":
        world.approve(ticket)
    world.psa.close(ticket.id)
    notes = len(world.notes_of(ticket))
    world.run()
    world.run_for(hours=5, every=timedelta(minutes=30))
    assert world.case_of(ticket).state is State.CLOSED
    assert world.case_of(ticket).outcome is Outcome.CANCELLED
    assert len(world.notes_of(ticket)) == notes
    assert_nothing_was_done(world)


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
    world.psa._timing = Timing(remind_after=timedelta(minutes=10), reminders=1, give_up_after=timedelta(minutes=30))
    ticket = world.ticket()
    world.run_for(minutes=40)
    assert world.case_of(ticket).outcome is Outcome.TIMED_OUT
    assert world.mails_to(APPROVER) == [Kind.APPROVAL_REMINDER]


def never_seen(world: World, password: Secret | None) -> bool:
    """Whether this password is in no mail and in no note."""
    assert password is not None
    clear = password.reveal()
    mailed = "".join(email.text + email.html for email in world.mailer.sent)
    noted = "".join(note.text for _, note in world.psa.notes)
    return clear not in mailed and clear not in noted
