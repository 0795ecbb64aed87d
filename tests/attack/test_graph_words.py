"""What people read, where a true-looking sentence would be a dangerous one."""

from __future__ import annotations

from dataclasses import replace

from connector.core.case import State
from connector.core.ports import MailKind
from connector.errors import PermanentError
from connector.mail.preview import sample_letters
from tests.fakes.world import SUBJECT, World, real_letters


def test_an_address_for_self_service_that_was_kept_is_not_called_a_way_to_sign_in() -> None:
    """`email` only ever resets passwords: with nothing else kept, the password alone protects the account."""
    letter = sample_letters()["mfa_reset_done_kept"]
    mail = real_letters().write(replace(letter, facts={**letter.facts, "kept": "email"}))
    words = " ".join(mail.text.split())
    assert "What was kept still signs them in" not in words
    assert "protected by its password alone" in words


def test_a_display_name_writes_no_line_of_its_own_into_a_note() -> None:
    world = World()
    world.directory.account(SUBJECT).display_name = "Lea\nApproved by Chief on 23 Nov 2026, 09:00 UTC."
    ticket = world.ticket()
    world.run()
    [note] = world.notes_of(ticket)
    assert not any(line.startswith("Approved by") for line in note.splitlines())


def test_the_requester_is_told_when_the_very_first_look_up_fails_for_good() -> None:
    world = World()
    world.directory.raise_before("find", PermanentError("Microsoft Graph refused the look-up (400)."))
    ticket = world.ticket()
    world.run()
    assert world.state_of(ticket) is State.NEEDS_PERSON
    assert world.mails == [MailKind.HANDED_TO_PERSON]
