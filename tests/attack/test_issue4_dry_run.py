"""Switching a dry run on and off in the middle: nothing that people were to hear is lost, and nobody hears too much."""

from __future__ import annotations

from datetime import timedelta

import pytest

from connector.core.brake import Limit
from connector.core.case import Outcome, State
from connector.core.ports import DryRun, MailKind, StatusTarget
from connector.errors import TemporaryError
from tests.fakes.directory import FakeAccount
from tests.fakes.world import World, wide_limits

DRY = [DryRun.NOTES, DryRun.SILENT]


@pytest.mark.parametrize("mode", DRY)
@pytest.mark.parametrize("answer", ["approve", "reject"])
def test_a_request_that_began_in_earnest_is_not_ended_by_a_dry_run(mode: DryRun, answer: str) -> None:
    world = World()
    ticket = world.ticket()
    world.run()
    notes = world.notes_of(ticket)
    world.set_rules(dry_run=mode)
    if answer == "approve":
        world.approve(ticket)
    else:
        world.psa.reject(ticket.id)
    world.run_for(minutes=20)
    assert world.state_of(ticket) is State.WAITING
    assert (world.writes, world.notes_of(ticket), world.mails) == ([], notes, [MailKind.REQUEST_CONFIRMATION])
    world.set_rules(dry_run=DryRun.OFF)
    world.run_for(minutes=6)
    if answer == "approve":
        assert world.state_of(ticket) is State.LINK_OUT
    else:
        assert world.case_of(ticket).outcome is Outcome.REJECTED
        assert world.mails[-1] is MailKind.REQUEST_DECLINED


@pytest.mark.parametrize("mode", DRY)
def test_what_was_owed_when_the_dry_run_began_is_delivered_after_it(mode: DryRun) -> None:
    world = World()
    ticket = world.ticket()
    world.run()
    world.psa.reject(ticket.id)
    world.psa.raise_before("add_note", *[TemporaryError("away")] * 2)
    world.run()
    world.set_rules(dry_run=mode)
    world.run_for(minutes=20)
    assert MailKind.REQUEST_DECLINED not in world.mails
    world.set_rules(dry_run=DryRun.OFF)
    world.run_for(minutes=6)
    assert MailKind.REQUEST_DECLINED in world.mails
    assert world.moves[-1] is StatusTarget.CLOSED
    assert not any(text.startswith("Dry run") for text in world.notes_of(ticket))


def test_nobody_hears_of_an_approval_that_only_a_dry_run_acted_upon() -> None:
    world = World()
    world.set_rules(dry_run=DryRun.NOTES)
    ticket = world.ticket()
    world.run()
    world.approve(ticket)
    world.psa.raise_before("add_note", TemporaryError("away"))
    world.run()
    assert world.case_of(ticket).outcome is Outcome.DRY_RUN
    world.set_rules(dry_run=DryRun.OFF)
    world.run_for(minutes=6)
    assert world.mailer.sent == []
    assert "would have been done now" in world.notes_of(ticket)[-1]
    assert world.state_of(ticket) is State.CLOSED


def test_a_case_of_a_psa_that_is_gone_is_still_handed_off_or_waits() -> None:
    world = World()
    ticket = world.ticket()
    world.run()
    psa = world.psas.pop("halo")
    world.restart()
    world.clock.advance(minutes=1)
    case = world.case_of(ticket)
    world.store.poke(case.id)
    world.run()
    assert world.state_of(ticket) is State.WAITING
    assert not world.bugs
    world.psas["halo"] = psa


def test_a_dry_run_at_the_brake_pauses_nobody_else() -> None:
    world = World(limits=wide_limits(overall=Limit(1, timedelta(hours=1))), more_psas=("dry",))
    world.directory.accounts.append(FakeAccount(upn="emil@contoso.example.com"))
    done = world.ticket()
    other = world.psas["dry"]
    other.rules = type(other.rules)(approvers_listed=False, dry_run=DryRun.NOTES)
    tried = other.add_ticket(id="77", subject_text="emil@contoso.example.com")
    world.run()
    world.approve(done)
    world.run()
    other.approve(tried.id)
    world.run()
    assert world.state_of(done) is State.LINK_OUT
    assert world.store.paused() == ""
    assert world.state_of(tried) is State.NEEDS_PERSON
    assert "limit for all resets" in tried.notes[-1].text
