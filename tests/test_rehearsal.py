"""Past tickets through the rules of today: the verdicts, and that nothing is changed by asking for them."""

from __future__ import annotations

from datetime import timedelta

import pytest

from connector.core.brake import Limit
from connector.core.case import Action, Person
from connector.core.pair import PairRule
from connector.core.rehearsal import Fate, Rehearsed
from connector.errors import AuthenticationError, TemporaryError, TicketGone
from connector.rehearsal import Rehearsal
from tests.fakes.directory import FakeAccount
from tests.fakes.psa import FakePsa, FakeTicket
from tests.fakes.world import START, SUBJECT, World, wide_limits

BEFORE = START - timedelta(minutes=1)


def replay(world: World, *psas: FakePsa, naps: list[float] | None = None) -> list[Rehearsed]:
    rehearsal = Rehearsal(
        directory=world.directory,
        policy_for=world.policy_for,
        limits=world.limits,
        sleep=(naps if naps is not None else []).append,
    )
    return rehearsal.replay(psas or (world.psa,), BEFORE)


def past(world: World, *, answer: str = "approve", closed: bool = True, **fields: object) -> FakeTicket:
    world.clock.advance(minutes=1)
    ticket = world.ticket(**fields)
    if answer == "approve":
        world.approve(ticket)
    elif answer == "reject":
        world.psa.reject(ticket.id)
    if closed:
        world.psa.close(ticket.id)
    return ticket


def test_each_past_ticket_has_its_verdict() -> None:
    world = World()
    world.directory.accounts.append(FakeAccount(upn="boss@contoso.example.com", admin_roles=("Global Administrator",)))
    past(world)
    past(world, answer="reject")
    past(world, answer="nobody")
    past(world, subject_text="boss@contoso.example.com")
    past(world, subject_text="whoever@contoso.example.com")
    past(world, subject_text="not an address")
    past(world, client_id="99")
    verdicts = [(one.fate, one.code) for one in replay(world)]
    assert verdicts == [
        (Fate.RESET, ""),
        (Fate.REJECTED, ""),
        (Fate.NO_APPROVAL, ""),
        (Fate.HAND_OFF, "admin_role"),
        (Fate.HAND_OFF, "no_account"),
        (Fate.HAND_OFF, "bad_subject"),
        (Fate.HAND_OFF, "unmapped_client"),
    ]


def test_nothing_is_changed_by_a_rehearsal() -> None:
    world = World()
    past(world)
    past(world, action=Action.BOTH)
    calls = len(world.psa.calls)
    assert [one.fate for one in replay(world)][:1] == [Fate.RESET]
    assert {call for call, _ in world.psa.calls[calls:]} == {"raised_since", "read"}
    assert (world.writes, world.links.made(), world.mailer.sent, world.psa.notes, world.moves) == ([], [], [], [], [])
    assert world.store.cases() == []


def test_what_live_rules_refuse_is_refused_for_the_past_as_well() -> None:
    world = World()
    requester_approves = past(world, answer="nobody")
    assert requester_approves.requester is not None
    world.psa.approve(requester_approves.id, requester_approves.requester)
    requester_approves.approvers = ()
    changed = past(world, closed=False)
    world.clock.advance(minutes=5)
    world.psa.change_subject(changed.id, SUBJECT)
    assert [(one.fate, one.code) for one in replay(world)] == [
        (Fate.HAND_OFF, "approver_is_requester"),
        (Fate.VOID, "approval_older_than_request"),
    ]


def test_the_rules_that_count_see_the_tickets_before() -> None:
    world = World()
    past(world, action=Action.MFA)
    past(world, action=Action.PASSWORD)
    assert [one.code for one in replay(world)] == ["", "takeover_needs_second_approver"]
    world.pair_rule = PairRule.ALLOW
    world.limits = wide_limits(per_subject=Limit(1, timedelta(hours=24)))
    assert [one.fate for one in replay(world)] == [Fate.RESET, Fate.BRAKE]


def test_an_old_approval_is_judged_at_its_own_time() -> None:
    world = World()
    past(world)
    world.clock.advance(days=20)
    assert [one.fate for one in replay(world)] == [Fate.RESET]


def test_a_ticket_that_cannot_be_read_takes_nothing_from_the_others() -> None:
    world = World()
    past(world)
    past(world)
    world.psa.raise_before("read", TicketGone("It was merged into another one."))
    assert [one.fate for one in replay(world)] == [Fate.UNREADABLE, Fate.RESET]


def test_a_rehearsal_waits_as_long_as_it_is_asked_to() -> None:
    world = World()
    past(world)
    naps: list[float] = []
    world.psa.raise_before("raised_since", TemporaryError("busy", retry_after=timedelta(seconds=40)))
    world.psa.raise_before("read", TemporaryError("away"), TemporaryError("away"))
    assert [one.fate for one in replay(world, naps=naps)] == [Fate.RESET]
    assert naps == [40, 1, 2]


def test_a_psa_that_refuses_us_ends_it() -> None:
    world = World()
    world.psa.raise_before("raised_since", AuthenticationError("no", scope="psa.halo"))
    with pytest.raises(AuthenticationError):
        replay(world)


def test_several_psas_are_replayed_in_the_order_of_time() -> None:
    world = World(tenants={"12": "contoso"})
    other = FakePsa("rt", clock=world.clock)
    past(world)
    world.clock.advance(minutes=1)
    second = other.add_ticket(action=Action.MFA)
    world.clock.advance(minutes=1)
    other.approve(second.id, Person("Anna", "anna@contoso.example.com", frozenset({"fake.user:2"})))
    world.clock.advance(minutes=1)
    past(world)
    assert [one.psa for one in replay(world, world.psa, other)] == ["halo", "rt", "halo"]
    assert [one.code for one in replay(world, world.psa, other)] == ["", "takeover_needs_second_approver", ""]
