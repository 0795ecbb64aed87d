"""Requester, approver and subject are three people, however they spell themselves."""

from __future__ import annotations

import secrets

import pytest

from connector.core.brake import Limit
from connector.core.case import Person, State, fold
from connector.core.subject import read_subject
from tests.fakes.directory import FakeAccount
from tests.fakes.world import SUBJECT, World, wide_limits


@pytest.fixture
def world() -> World:
    return World()


def person(email: str, *, number: int, name: str = "Somebody") -> Person:
    return Person(name, email, frozenset({f"fake.user:{number}"}))


def assert_nothing_was_done(world: World) -> None:
    assert world.writes == []
    assert world.mailed_links() == []


# A mail to name+anything@… arrives in the mailbox of name@…; whoever has that mailbox can be both.


@pytest.mark.parametrize(
    ("requester", "approver"),
    [
        ("anna+helpdesk@contoso.example.com", "anna@contoso.example.com"),
        ("anna@contoso.example.com", "Anna+1@contoso.example.com"),
        ("anna+1@contoso.example.com", "anna+2@contoso.example.com"),
        ("anna@contoso.example.com", "ANNA@CONTOSO.EXAMPLE.COM "),
        ("anna@contoso.example.com", "ann\uff41@contoso.example.com"),  # a full-width letter
    ],
)
def test_one_mailbox_cannot_ask_and_approve(world: World, requester: str, approver: str) -> None:
    ticket = world.ticket(requester=person(requester, number=1))
    world.run()
    world.approve(ticket, person(approver, number=2))
    ticket.approvers = ()
    world.run()
    assert world.state_of(ticket) is State.NEEDS_PERSON
    assert "their own request" in world.case_of(ticket).explanation
    assert_nothing_was_done(world)


def test_the_mailbox_of_the_account_can_neither_ask_nor_approve(world: World) -> None:
    ticket = world.ticket(requester=person("lea+me@contoso.example.com", number=1))
    world.run()
    assert "own account" in world.case_of(ticket).explanation
    other = world.ticket()
    world.run()
    world.approve(other, person("lea+me@contoso.example.com", number=2))
    other.approvers = ()
    world.run()
    assert "the very account" in world.case_of(other).explanation
    assert_nothing_was_done(world)


def test_an_alias_of_the_account_can_neither_ask_nor_approve(world: World) -> None:
    world.directory.account(SUBJECT).also = ("l.meyer@contoso.example.com",)
    ticket = world.ticket(requester=person("L.Meyer@contoso.example.com", number=1))
    other = world.ticket()
    world.run()
    world.approve(other, person("l.meyer@contoso.example.com", number=2))
    other.approvers = ()
    world.run()
    assert world.state_of(ticket) is State.NEEDS_PERSON
    assert world.state_of(other) is State.NEEDS_PERSON
    assert_nothing_was_done(world)


def test_a_deputy_who_passed_the_decision_on_to_a_friend_is_still_the_requester(world: World) -> None:
    rita = person("rita@contoso.example.com", number=1)
    ticket = world.ticket(requester=rita)
    world.run()
    world.approve(ticket, person("anna@contoso.example.com", number=2), delegated_by=rita)
    ticket.approvers = ()
    world.run()
    assert world.state_of(ticket) is State.NEEDS_PERSON
    assert_nothing_was_done(world)


def test_two_agents_with_one_mailbox_are_one_person(world: World) -> None:
    ticket = world.ticket(requester=Person("Al", "desk@msp.example.com", frozenset({"fake.agent:3"})))
    world.run()
    world.approve(ticket, Person("Bo", "desk@msp.example.com", frozenset({"fake.agent:7"})))
    ticket.approvers = ()
    world.run()
    assert world.state_of(ticket) is State.NEEDS_PERSON
    assert_nothing_was_done(world)


# Being like somebody on the list is not being on the list.


@pytest.mark.parametrize(
    "pretender",
    [
        "\u017fam@contoso.example.com",  # a long s, which case folding makes an s
        "sam+x@contoso.example.com",
        "sam@conto\u017fo.example.com",
        "sam@contoso.example.com.evil.example.net",
        "sam@contoso.example.com, eve@evil.example.net",
        "sa\u0430m@contoso.example.com",
        "s\u00e4m@contoso.example.com",
    ],
)
def test_only_the_very_address_is_on_the_list_of_approvers(world: World, pretender: str) -> None:
    world.approvers = frozenset({"sam@contoso.example.com"})
    ticket = world.ticket()
    world.run()
    world.approve(ticket, person(pretender, number=2, name="Sam"))
    ticket.approvers = ()
    world.run()
    assert world.state_of(ticket) is State.NEEDS_PERSON
    assert_nothing_was_done(world)


@pytest.mark.parametrize("nobody", [Person("Sam"), Person("Sam", ""), Person("", "  ")])
def test_an_approver_who_is_only_a_name_is_nobody(world: World, nobody: Person) -> None:
    world.approvers = frozenset({"sam@contoso.example.com"})
    ticket = world.ticket(approvers=())
    world.run()
    world.approve(ticket, nobody)
    world.run()
    assert world.state_of(ticket) in (State.NEEDS_PERSON, State.WAITING)
    assert_nothing_was_done(world)


@pytest.mark.parametrize("nobody", [Person("Sam"), Person("Sam", "")])
def test_nor_where_the_psa_names_the_approvers(world: World, nobody: Person) -> None:
    ticket = world.ticket(approvers=())
    world.run()
    world.approve(ticket, nobody)
    world.run()
    assert world.state_of(ticket) is State.NEEDS_PERSON
    assert_nothing_was_done(world)


# The approver sees the address in the ticket; the account must be the one that it names.


@pytest.mark.parametrize(
    ("written", "account"),
    [
        ("stra\u00dfe@contoso.example.com", "strasse@contoso.example.com"),
        ("\ufb01nn@contoso.example.com", "finn@contoso.example.com"),
        ("\u212aim@contoso.example.com", "kim@contoso.example.com"),
    ],
)
def test_an_address_is_not_turned_into_another_by_folding(world: World, written: str, account: str) -> None:
    world.directory.accounts.append(FakeAccount(upn=account))
    ticket = world.ticket(subject_text=written)
    world.run()
    assert read_subject(written).address != account
    assert world.state_of(ticket) is State.NEEDS_PERSON
    assert_nothing_was_done(world)


@pytest.mark.parametrize(("address", "folded"), [("LEA@Contoso.com ", "lea@contoso.com"), ("ÄNNE@x.de", "änne@x.de")])
def test_plain_capitals_are_folded(address: str, folded: str) -> None:
    assert fold(address) == folded


# Limits count mailboxes, not spellings.


def test_the_brake_knows_a_requester_behind_many_spellings(world: World) -> None:
    world.limits = wide_limits(per_requester=Limit(2, wide_limits().per_requester.window))
    world.restart()
    for number in range(3):
        world.directory.accounts.append(FakeAccount(upn=f"user{number}@contoso.example.com"))
        tag = f"+{secrets.token_hex(3)}" if number else ""
        ticket = world.ticket(
            requester=person(f"rita{tag}@contoso.example.com", number=10 + number),
            subject_text=f"user{number}@contoso.example.com",
        )
        world.run()
        world.approve(ticket)
        world.run()
    assert world.state_of(ticket) is State.NEEDS_PERSON
    assert "asked for by this requester" in world.case_of(ticket).explanation
    assert len(world.mailed_links()) == 2
