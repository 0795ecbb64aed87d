"""Whom to tell: past the account, past those who know already, and rather by another way than not at all."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.core.case import Action, Approval, Case, Person, State, mailbox
from connector.core.notice import (
    MOST_ADDRESSES,
    NOBODY,
    NotifySubject,
    Told,
    masked,
    messages_for,
    needs_manager,
    who_is_told,
    whom_to_tell,
)
from connector.core.ports import Account, Letter, MailKind, Note

NOW = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
ID = "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee"
UPN = "lea@contoso.example.com"
HOME = "lea@home.example"
SENDERS = frozenset({"support@msp.example.com"})
REQUESTER = Person("Rita", "rita@contoso.example.com", frozenset({"halo.user:7"}))
APPROVER = Person("Anna", "anna@contoso.example.com", frozenset({"halo.agent:3"}))
LEE = Person("Lee", "lee@contoso.example.com", frozenset({"entra:77777777-bbbb-4ccc-8ddd-eeeeeeeeeeee"}))

ALTERNATE, MANAGER, OFF = NotifySubject.ALTERNATE_MAIL, NotifySubject.MANAGER, NotifySubject.OFF
EITHER = pytest.mark.parametrize("how", [ALTERNATE, MANAGER])


def account(*others: str, **changes: Any) -> Account:
    plain = Account(
        tenant="contoso",
        id=ID,
        upn=UPN,
        display_name="Lea",
        addresses=frozenset({UPN}),
        enabled=True,
        guest=False,
        synchronised=False,
        federated=False,
        domain_verified=True,
        alternate_mails=others,
    )
    return replace(plain, **changes)


def case(**changes: Any) -> Case:
    plain = Case(
        id="case-0123456789abcdef",
        psa="halo",
        ticket_id="4242",
        number="4242",
        state=State.APPROVED,
        created_at=NOW,
        due_at=None,
        tenant="contoso",
        requester=REQUESTER,
        action=Action.PASSWORD,
        subject=UPN,
        subject_id=ID,
        subject_name="Lea",
        approvals=(Approval(approver=APPROVER, approved=True, decided_at=NOW),),
    )
    return replace(plain, **changes)


def told(how: NotifySubject, whom: Account, about: Case | None = None, **more: Any) -> Told:
    return whom_to_tell(how, whom, about or case(), senders=SENDERS, **more)


def addresses(result: Told) -> list[str | None]:
    return [person.email for person in result.people]


# ---------------------------------------------------------------- the chosen way


def test_the_owner_is_told_by_the_first_two_of_the_other_addresses() -> None:
    result = told(ALTERNATE, account(HOME, "lea@second.example", "lea@third.example"))
    assert addresses(result) == [HOME, "lea@second.example"]
    assert (result.to_manager, result.nobody) == (False, "")
    assert {person.name for person in result.people} == {"Lea"}


def test_the_manager_is_told_where_that_is_chosen() -> None:
    result = told(MANAGER, account(HOME), manager=LEE)
    assert (addresses(result), result.to_manager) == ([LEE.email], True)


def test_nobody_is_told_where_it_is_switched_off() -> None:
    assert told(OFF, account(HOME), manager=LEE) == NOBODY
    assert not needs_manager(OFF, account(), case(), senders=SENDERS)


# ---------------------------------------------------------------- the other way


def test_an_owner_without_another_address_is_told_through_the_manager() -> None:
    assert needs_manager(ALTERNATE, account(), case(), senders=SENDERS)
    assert addresses(told(ALTERNATE, account(), manager=LEE)) == [LEE.email]


@pytest.mark.parametrize("manager", [None, replace(LEE, email=None), replace(LEE, email="no address")])
def test_an_owner_without_a_manager_who_can_be_told_is_told_directly(manager: Person | None) -> None:
    result = told(MANAGER, account(HOME), manager=manager)
    assert (addresses(result), result.to_manager) == ([HOME], False)


def test_a_manager_who_could_not_be_looked_up_keeps_nobody_from_telling_the_owner() -> None:
    assert addresses(told(MANAGER, account(HOME), unread="Microsoft Graph answered 503.")) == [HOME]


def test_the_manager_is_looked_up_only_where_that_is_the_way() -> None:
    assert not needs_manager(ALTERNATE, account(HOME), case(), senders=SENDERS)
    assert needs_manager(MANAGER, account(HOME), case(), senders=SENDERS)
    assert needs_manager(ALTERNATE, account(str(REQUESTER.email)), case(), senders=SENDERS)


# ---------------------------------------------------------------- who is never told

KNOWING = ["rita@contoso.example.com", "RITA@Contoso.example.com", "rita+private@contoso.example.com",
           "anna@contoso.example.com", "anna+x@contoso.example.com", "rita@alias.example", "Support@msp.example.com",
           UPN, "lea+private@contoso.example.com", "", "no address", "a@b.example,c@d.example"]  # fmt: skip
ABOUT = case(requester_ids=frozenset({"entra:55555555-bbbb-4ccc-8ddd-eeeeeeeeeeee", "mail:rita@alias.example"}))


@EITHER
@pytest.mark.parametrize("address", KNOWING)
def test_no_notice_goes_to_who_knows_already_or_into_the_account(how: NotifySubject, address: str) -> None:
    result = told(how, account(address), ABOUT, manager=Person("Somebody", address))
    assert result.people == ()
    assert result.nobody


@EITHER
@pytest.mark.parametrize("address", KNOWING)
def test_such_an_address_does_not_keep_the_others_from_being_told(how: NotifySubject, address: str) -> None:
    assert addresses(told(how, account(address, HOME), ABOUT, manager=Person("Somebody", address))) == [HOME]


@EITHER
@pytest.mark.parametrize("identity", ["halo.user:7", "halo.agent:3", "entra:55555555-bbbb-4ccc-8ddd-eeeeeeeeeeee",
                                      f"entra:{ID}", "mail:anna@contoso.example.com"])  # fmt: skip
def test_a_manager_is_compared_by_identity_and_not_by_address_alone(how: NotifySubject, identity: str) -> None:
    manager = Person("Another name", "other@contoso.example.com", frozenset({identity}))
    assert told(how, account(), ABOUT, manager=manager).people == ()


def test_each_of_several_approvers_knows() -> None:
    second = Approval(approver=Person("Ben", HOME), approved=True, decided_at=NOW)
    about = case(approvals=(*case().approvals, second))
    assert told(ALTERNATE, account(HOME), about).people == ()


def test_a_mailbox_is_told_once() -> None:
    assert addresses(told(ALTERNATE, account(HOME, "LEA@home.example", "lea+two@home.example"))) == [HOME]


@given(
    others=st.lists(st.sampled_from([*KNOWING, HOME, "lea@second.example", "lea@third.example"]), max_size=6),
    manager=st.none() | st.sampled_from([*KNOWING, "lee@contoso.example.com"]),
    how=st.sampled_from([ALTERNATE, MANAGER]),
)
def test_somebody_is_told_or_the_agent_learns_why_not(
    others: list[str], manager: str | None, how: NotifySubject
) -> None:
    person = Person("M", manager) if manager is not None else None
    result = told(how, account(*others), ABOUT, manager=person)
    assert bool(result.people) is not bool(result.nobody)
    assert len(result.people) <= MOST_ADDRESSES
    knowing = {mailbox(address) for address in KNOWING}
    assert not {mailbox(str(address)) for address in addresses(result)} & knowing


# ---------------------------------------------------------------- why nobody is told


@pytest.mark.parametrize(
    ("others", "more", "why"),
    [
        ((), {}, "holds no other address of the owner, and it names no manager"),
        ((), {"unread": "It is away."}, "and the manager could not be looked up: It is away."),
        ((), {"manager": Person("Lee")}, "and it shows no address of the manager"),
        ((), {"manager": REQUESTER}, "and the manager has asked for it, approved it or cannot be written to"),
        ((str(APPROVER.email),), {}, "cannot be used or belong to somebody who knows already, and it names no"),
    ],
)
@EITHER
def test_the_agent_learns_why_nobody_could_be_told(
    how: NotifySubject, others: tuple[str, ...], more: dict[str, Any], why: str
) -> None:
    result = told(how, account(*others), **more)
    assert why in result.nobody
    line, beside = who_is_told(result, case(), frozenset(), topic="link_sent")
    assert line.startswith("The subject could not be told: ")
    assert beside == ()


# ---------------------------------------------------------------- what is written


def test_the_note_names_masked_addresses() -> None:
    line, beside = who_is_told(told(ALTERNATE, account(HOME, "x@y.example")), case(), frozenset(), topic="link_sent")
    assert line.endswith(": l…a@home.example, x…@y.example.")
    assert beside == ()
    line, _ = who_is_told(told(MANAGER, account(), manager=LEE), case(), frozenset(), topic="link_sent")
    assert line.endswith(": Lee (l…e@contoso.example.com).")


@pytest.mark.parametrize("result", [told(ALTERNATE, account(HOME)), told(ALTERNATE, account())])
def test_a_note_that_the_requester_reads_says_nothing_of_it(result: Told) -> None:
    line, beside = who_is_told(result, case(), frozenset({"link_sent"}), topic="link_sent")
    assert line == ""
    (message,) = beside
    assert message.key == "told:1"
    assert isinstance(message.body, Note)
    assert who_is_told(result, case(), frozenset({"methods"}), topic="link_sent")[1] == ()


def test_nobody_to_tell_on_purpose_is_not_worth_a_line() -> None:
    assert who_is_told(NOBODY, case(), frozenset({"link_sent"}), topic="link_sent") == ("", ())
    assert NOBODY.facts == {}


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("dana@gmail.com", "d…a@gmail.com"),
        ("abc@home.example", "a…c@home.example"),
        ("ab@home.example", "a…@home.example"),
        ("a@home.example", "a…@home.example"),
        ("nobody", "…"),
        ("", "…"),
    ],
)
def test_masked_addresses_are_recognised_by_their_owner_only(address: str, shown: str) -> None:
    assert masked(address) == shown


def test_the_audit_names_the_way_and_the_masked_address_or_why_not() -> None:
    assert told(ALTERNATE, account(HOME)).facts == {"told": "alternate_mail: l…a@home.example"}
    assert told(ALTERNATE, account(), manager=LEE).facts == {"told": "manager: l…e@contoso.example.com"}
    assert told(ALTERNATE, account()).facts["not_told"]


def test_each_address_gets_a_letter_of_its_own_with_who_asked_and_who_approved() -> None:
    rejected = Approval(approver=Person("No", "no@contoso.example.com"), approved=False, decided_at=NOW)
    about = case(round=2, action=Action.BOTH, approvals=(rejected, *case().approvals))
    rows = messages_for(told(ALTERNATE, account(HOME, "lea@second.example"), about), about, now=NOW)
    assert [row.key for row in rows] == ["notice:2:1", "notice:2:2"]
    letters = [row.body for row in rows if isinstance(row.body, Letter)]
    assert [(letter.kind, letter.to, letter.to_name) for letter in letters] == [
        (MailKind.SUBJECT_NOTICE, HOME, "Lea"),
        (MailKind.SUBJECT_NOTICE, "lea@second.example", "Lea"),
    ]
    assert len({letter.id for letter in letters}) == 2
    assert letters[0].facts == {
        "subject_name": "Lea",
        "subject_upn": UPN,
        "action": "both",
        "request_words": "password and MFA reset",
        "done_at": NOW.isoformat(),
        "requested_by": "rita@contoso.example.com\tRita",
        "approved_by": "anna@contoso.example.com\tAnna",
        "to_manager": "",
    }


def test_names_cannot_forge_a_second_person() -> None:
    forged = Person("Rita\nceo@contoso.example.com\tThe CEO", "rita@contoso.example.com")
    (row,) = messages_for(told(ALTERNATE, account(HOME)), case(requester=forged), now=NOW)
    assert isinstance(row.body, Letter)
    assert len(row.body.facts["requested_by"].splitlines()) == 1
    assert row.body.facts["requested_by"].count("\t") == 1
