"""What we write into tickets: short, whole, and nothing that foreign text can push off the screen."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.core import notes
from connector.core.case import Action, Approval, Case, Person, State
from connector.core.guard import Refusal
from connector.core.notes import LONGEST_QUOTE, Pen, name, quote, span
from connector.core.ports import LinkEvent, LinkEventKind

NOW = datetime(2026, 11, 22, 12, 5, tzinfo=UTC)
PEN = Pen(UTC)
RITA = Person("Rita", "rita@contoso.example.com")
ANNA = Person("Anna", "anna@contoso.example.com")
CASE = Case(
    id="case-1", psa="halo", ticket_id="1", number="1", state=State.WAITING, created_at=NOW, due_at=None,
    requester=RITA, action=Action.PASSWORD, subject="lea@contoso.example.com", subject_name="Lea",
)  # fmt: skip
YES = Approval(approver=ANNA, approved=True, decided_at=NOW, comment="go on", evidence="approval 7")
REVEAL = LinkEvent(
    seq=1, link_id="lnk_1", kind=LinkEventKind.REVEALED, at=NOW, view=1, views_left=1, ip="203.0.113.9",
    place="United Kingdom (approx.)", agent="Edge on Windows",
)  # fmt: skip


@given(st.text(max_size=2000))
def test_a_quotation_is_one_line_and_never_longer_than_a_quotation_may_be(text: str) -> None:
    quoted = quote(text)
    assert len(quoted) <= LONGEST_QUOTE
    assert "\n" not in quoted
    assert quoted == quoted.strip()


def test_a_quotation_that_was_cut_shows_it() -> None:
    assert quote("a" * LONGEST_QUOTE) == "a" * LONGEST_QUOTE
    cut = quote("a" * (LONGEST_QUOTE + 1))
    assert cut.endswith("…")
    assert len(cut) == LONGEST_QUOTE


@pytest.mark.parametrize(
    ("length", "words"),
    [
        (timedelta(minutes=60), "60 minutes"),
        (timedelta(minutes=1), "1 minute"),
        (timedelta(minutes=90), "90 minutes"),
        (timedelta(hours=2), "2 hours"),
        (timedelta(hours=4), "4 hours"),
        (timedelta(hours=24), "24 hours"),
        (timedelta(days=7), "7 days"),
        (timedelta(seconds=20), "20 seconds"),
    ],
)
def test_spans_read_as_people_say_them(length: timedelta, words: str) -> None:
    assert span(length) == words


def test_a_time_is_the_customers_and_names_its_zone() -> None:
    assert Pen(ZoneInfo("Europe/Berlin")).time(NOW) == "22 Nov 2026, 13:05 CET"


@pytest.mark.parametrize(
    ("person", "words"),
    [(RITA, "Rita (rita@contoso.example.com)"), (Person("Rita"), "Rita"), (None, "unknown")],
)
def test_people_are_named_with_their_address(person: Person | None, words: str) -> None:
    assert name(person) == words


def test_a_name_cannot_push_a_note_off_the_screen() -> None:
    assert len(name(Person("x\n" * 5000, "rita@contoso.example.com"))) < LONGEST_QUOTE + 50


def test_a_recognised_request_names_who_and_whom_and_why_and_what_comes_next() -> None:
    case = replace(CASE, reason="locked out")
    text = notes.recognised(case, lifetime=timedelta(minutes=60), views=2, approvers=(ANNA,))
    for words in ("password reset", "Lea", "lea@contoso.example.com", "Rita", "locked out", "Anna", "60 minutes"):
        assert words in text


def test_an_mfa_request_promises_no_link() -> None:
    case = replace(CASE, action=Action.MFA)
    assert "link" not in notes.recognised(case, lifetime=timedelta(minutes=60), views=2, approvers=())


def test_a_note_has_no_empty_lines() -> None:
    refusal = Refusal("code", "Because.", "Do this.", "told")
    for text in (
        notes.recognised(CASE, lifetime=timedelta(hours=1), views=2, approvers=()),
        notes.handed_off(refusal, CASE),
        notes.handed_off(refusal, replace(CASE, written_at=NOW, mfa_removed=("fido2",), approvals=(YES,))),
        notes.methods_removed(CASE, last=True, pen=PEN),
        notes.password_set(CASE, expires_at=NOW, views=2, pen=PEN),
        notes.rejected(None, PEN),
        notes.rejected(replace(YES, approved=False, comment=""), PEN),
        notes.opened(REVEAL, PEN),
        notes.opened(replace(REVEAL, ip="", place="", agent=""), PEN),
    ):
        assert all(line.strip() for line in text.splitlines())
        assert "  " not in text


def test_the_approval_names_who_when_how_we_know_and_who_passed_it_on() -> None:
    text = notes.approved([replace(YES, delegated_by=RITA, step="Manager", digest="ab" * 32)], PEN)
    for words in (
        "Anna (anna@contoso.example.com)",
        "22 Nov 2026, 12:05 UTC",
        "go on",
        "approval 7",
        "passed on by Rita",
        "step Manager",
        "digest abababababab",
    ):
        assert words in text
    assert "override" not in text
    assert notes.approved([], PEN) == ""


def test_every_approval_has_its_line_and_an_override_is_named() -> None:
    first, second = notes.approved([YES, replace(YES, overridden=True)], PEN).splitlines()
    assert "override" not in first
    assert "by an administrator's override" in second


def test_a_hand_off_says_that_nothing_was_changed_only_when_nothing_was() -> None:
    refusal = Refusal("code", "Because.", "Do this.", "told")
    assert "Nothing was changed" in notes.handed_off(refusal, CASE)
    written = notes.handed_off(refusal, replace(CASE, written_at=NOW, mfa_removed=("fido2",)))
    assert "Nothing was changed" not in written
    assert "Methods removed so far: fido2." in written


def test_a_hand_off_in_the_middle_of_a_reset_asks_to_tell_the_owner() -> None:
    refusal = Refusal("code", "Because.", "Do this.", "told")
    halfway = replace(CASE, state=State.APPROVED, written_at=NOW)
    assert "owner is not told of this by mail" in notes.handed_off(refusal, halfway)
    for case in (CASE, replace(halfway, written_at=None), replace(halfway, state=State.LINK_OUT)):
        assert "owner" not in notes.handed_off(refusal, case)


def test_an_ended_request_says_that_nothing_was_changed_only_when_nothing_was() -> None:
    assert "Nothing was changed" in notes.ended("Closed.", written=False)
    assert "Nothing was changed" not in notes.ended("Closed.", written=True)


def test_a_reveal_names_view_time_address_place_browser_and_what_is_left() -> None:
    text = notes.opened(REVEAL, PEN)
    for words in ("view 1", "12:05 UTC", "203.0.113.9", "United Kingdom (approx.)", "Edge on Windows", "Views left: 1"):
        assert words in text


def test_a_reveal_that_used_up_no_view_has_no_number() -> None:
    text = notes.opened(replace(REVEAL, view=0, views_left=2), PEN)
    assert "was shown (no view used up) on" in text
    assert "Views left: 2." in text


def test_a_delay_names_how_long_it_was() -> None:
    assert "delayed by 20 minutes" in notes.delayed(NOW, NOW + timedelta(minutes=20), "why.")


def test_a_brake_names_the_command_that_lifts_it() -> None:
    assert "connector resume" in notes.held("too many")


def test_no_note_can_grow_without_bounds_by_what_people_wrote() -> None:
    long = "words and more words " * 1000
    case = replace(CASE, reason=long, requester=Person(long, "rita@contoso.example.com"))
    yes = replace(YES, comment=long, approver=Person(long, "anna@contoso.example.com"))
    for text in (
        notes.recognised(case, lifetime=timedelta(hours=1), views=2, approvers=(yes.approver,)),
        notes.rejected(yes, PEN),
        notes.approved([yes], PEN),
        notes.reminded(1, 3, [yes.approver]),
    ):
        assert len(text) < 6 * LONGEST_QUOTE
