"""What agents and approvers meet in their own tools: notes, booked time, reminders at work, a PSA that refuses us."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from connector.core.business_hours import BusinessHours
from connector.core.case import Action, State
from connector.core.messages import PUBLIC_TOPICS
from connector.core.ports import MailKind, Timing
from connector.errors import AuthenticationError
from tests.fakes.psa import APPROVER, REQUESTER
from tests.fakes.world import FakeClock, World

OFFICE = BusinessHours(zone=ZoneInfo("Europe/London"), holidays=frozenset({date(2026, 11, 24)}))
MONDAY_AFTERNOON = datetime(2026, 11, 23, 15, 0, tzinfo=UTC)


def story(world: World, action: Action = Action.PASSWORD) -> list[tuple[str, bool, timedelta]]:
    """The notes of a ticket from its raising to the opened link."""
    ticket = world.ticket(action=action)
    world.run()
    world.approve(ticket)
    world.run()
    if action.resets_password:
        world.open_newest_link()
        world.run()
    return [(note.text.split(":")[0][:20], note.public, note.time_spent) for note in world.marked_notes_of(ticket)]


# ---------------------------------------------------------------- notes


def test_notes_are_for_agents_unless_the_mapping_says_otherwise() -> None:
    assert {public for _, public, _ in story(World())} == {False}


def test_only_the_named_notes_are_public() -> None:
    world = World()
    world.set_rules(public_notes=frozenset({"recognised"}))
    notes = story(world)
    assert [public for _, public, _ in notes] == [True, *[False] * (len(notes) - 1)]


def test_a_note_that_could_help_an_attacker_is_never_public() -> None:
    world = World()
    world.set_rules(public_notes=PUBLIC_TOPICS)
    ticket = world.ticket(subject_text="nobody@contoso.example.com")
    world.run()
    assert world.state_of(ticket) is State.NEEDS_PERSON
    assert [note.public for note in world.marked_notes_of(ticket)] == [False]
    opened = story(world)[-1]
    assert opened[0].startswith("The password was")
    assert not opened[1], "it has the visitor's address"


@pytest.mark.parametrize("action", list(Action))
def test_time_is_booked_once_with_the_note_on_what_was_done(action: Action) -> None:
    world = World()
    world.set_rules(time_spent=timedelta(minutes=5))
    booked = [(text, time) for text, _, time in story(world, action) if time]
    assert len(booked) == 1
    assert booked[0][0].startswith("MFA of" if action is Action.MFA else "Password of")
    assert booked[0][1] == timedelta(minutes=5)


# ---------------------------------------------------------------- reminders


def test_reminders_keep_to_business_hours() -> None:
    world = World(clock=FakeClock(MONDAY_AFTERNOON))
    world.set_rules(timing=Timing(hours=OFFICE))
    world.ticket()
    world.run()
    reminded: list[datetime] = []
    before = 0
    while len(reminded) < 3:
        world.clock.advance(minutes=10)
        world.run()
        if len(world.letters_of(MailKind.APPROVAL_PENDING)) > before:
            before += 1
            reminded.append(world.clock())
    # Two hours were left of Monday; Tuesday is a holiday.
    assert reminded == [datetime(2026, 11, day, 10, 0, tzinfo=UTC) for day in (25, 26, 27)]


def test_where_the_psa_reminds_its_approvers_only_the_requester_hears_from_us() -> None:
    world = World()
    world.set_rules(timing=Timing(psa_reminds=True))
    ticket = world.ticket()
    world.run()
    world.run_for(hours=5)
    assert MailKind.APPROVAL_PENDING in world.mails_to(REQUESTER)
    assert world.mails_to(APPROVER) == []
    assert "whom the PSA reminds itself" in world.note_with(ticket, "Still waiting")


# ---------------------------------------------------------------- a PSA that refuses us


def test_a_psa_that_refuses_us_is_asked_once_a_minute_and_not_by_every_case() -> None:
    world = World()
    tickets = [world.ticket() for _ in range(12)]
    world.run()
    for ticket in tickets:
        world.psa.approve(ticket.id)
    calls = len(world.psa.calls)
    world.psa.on_call = refuse_reads
    world.run_for(minutes=3, every=timedelta(seconds=15))
    reads = [name for name, _ in world.psa.calls[calls:] if name == "read"]
    assert 1 <= len(reads) <= 4
    world.psa.on_call = None
    world.run_for(minutes=2, every=timedelta(seconds=15))
    assert {world.state_of(ticket) for ticket in tickets} == {State.LINK_OUT}


def refuse_reads(call: str, moment: str) -> None:
    if (call, moment) == ("read", "before"):
        raise AuthenticationError("The PSA refuses us.", scope="psa.halo")
