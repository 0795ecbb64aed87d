"""A dry run reads and decides everything, and nothing leaves but private notes, where those are wanted."""

from __future__ import annotations

import pytest

from connector.core.case import Action, Outcome, State
from connector.core.ports import DryRun
from tests.fakes.world import SUBJECT, World


def dry_world(mode: DryRun = DryRun.NOTES) -> World:
    world = World()
    world.set_rules(dry_run=mode)
    return world


def test_an_approved_request_ends_with_what_would_have_been_done() -> None:
    world = dry_world()
    ticket = world.ticket(action=Action.BOTH)
    world.run()
    world.approve(ticket)
    world.run()
    case = world.case_of(ticket)
    assert (case.state, case.outcome) == (State.CLOSED, Outcome.DRY_RUN)
    note = world.note_with(ticket, "would have been done now")
    assert "authentication methods removed, a new password behind a one-time link" in note
    assert "Approved by Anna" in note
    assert "rehearsed" in world.events_of(ticket)


@pytest.mark.parametrize("mode", [DryRun.NOTES, DryRun.SILENT])
@pytest.mark.parametrize("answer", ["approve", "reject", "nobody", "refused"])
def test_nothing_is_changed_and_nobody_is_written_to(mode: DryRun, answer: str) -> None:
    world = dry_world(mode)
    ticket = world.ticket(subject_text="nobody@contoso.example.com" if answer == "refused" else SUBJECT)
    world.run()
    if answer == "approve":
        world.approve(ticket)
    elif answer == "reject":
        world.psa.reject(ticket.id)
    world.run_for(hours=200)
    assert world.writes == []
    assert world.mailer.sent == []
    assert world.links.made() == []
    assert world.moves == []
    assert all(not note.public for note in world.marked_notes_of(ticket))
    assert bool(world.notes_of(ticket)) is (mode is DryRun.NOTES)
    assert all(text.startswith("Dry run: ") for text in world.notes_of(ticket))


def test_a_note_says_what_it_would_have_said() -> None:
    world = dry_world()
    ticket = world.ticket()
    world.run()
    note = world.note_with(ticket, "Without it this note would say")
    assert "Recognised: password reset for Lea" in note


def test_a_public_note_is_private_in_a_dry_run() -> None:
    world = dry_world()
    world.set_rules(public_notes=frozenset({"recognised"}))
    ticket = world.ticket()
    world.run()
    assert [note.public for note in world.marked_notes_of(ticket)] == [False]


def test_the_guard_refuses_in_a_dry_run_as_it_does_without() -> None:
    world = dry_world()
    ticket = world.ticket()
    world.run()
    world.directory.account("lea@contoso.example.com").admin_roles = ("Global Administrator",)
    world.approve(ticket)
    world.run()
    assert world.state_of(ticket) is State.NEEDS_PERSON
    assert "administrator role" in world.note_with(ticket, "A person must take over")
    assert world.case_of(ticket).outcome is not Outcome.DRY_RUN


def test_a_dry_run_counts_nothing_at_the_brake() -> None:
    world = dry_world()
    ticket = world.ticket()
    world.run()
    world.approve(ticket)
    world.run()
    assert world.store.resets_since(world.case_of(ticket).created_at) == []


def test_a_case_that_has_changed_an_account_waits_for_the_end_of_the_dry_run() -> None:
    world = World()
    ticket = world.ticket()
    world.run()
    world.approve(ticket)
    world.run()
    assert world.state_of(ticket) is State.LINK_OUT
    sent, notes = list(world.mailer.sent), world.notes_of(ticket)
    world.set_rules(dry_run=DryRun.SILENT)
    world.open_newest_link()
    world.run_for(minutes=20)
    assert (world.mailer.sent, world.notes_of(ticket)) == (sent, notes)
    assert world.state_of(ticket) is State.LINK_OUT
    world.set_rules(dry_run=DryRun.OFF)
    world.run_for(minutes=6)
    assert world.case_of(ticket).outcome is Outcome.OPENED, "nothing was lost meanwhile"
    assert len(world.mailer.sent) == len(sent) + 1


def test_what_waits_for_its_approval_goes_on_in_earnest_when_the_dry_run_ends() -> None:
    world = dry_world()
    ticket = world.ticket()
    world.run()
    world.set_rules(dry_run=DryRun.OFF)
    world.approve(ticket)
    world.run()
    assert world.state_of(ticket) is State.LINK_OUT
