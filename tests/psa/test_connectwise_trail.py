"""What is read off the audit trail's sentences: tolerant about words, strict about meaning."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from connector.psa.connectwise.mapping import TrailRules
from connector.psa.connectwise.trail import Change, Doubt, changes_of, read_entries, touching
from connector.psa.connectwise.wordings import BARE_WORDINGS, WORDINGS, plain

STATUSES = ("New", "Waiting Approval", "Approved", "Denied", "Not Approved", "Waiting to Start", "Start")


def row(text: str, **more: str) -> dict[str, str]:
    return {
        "text": text,
        "enteredDate": "2026-11-22T09:00:00Z",
        "enteredBy": "AnnaA",
        "auditType": "Ticket",
        "auditSubType": "",
        "auditSource": "PSA",
        **more,
    }


def read(text: str, *, wordings: tuple[str, ...] = (), **more: str) -> list[Change | Doubt]:
    return list(changes_of("Status", STATUSES, read_entries([row(text, **more)]), wordings=wordings))


def pairs(found: list[Change | Doubt]) -> list[tuple[str, str] | str]:
    return [(one.old, one.new) if isinstance(one, Change) else "doubt" for one in found]


# ---------------------------------------------------------------- understood


@pytest.mark.parametrize("wording", WORDINGS)
def test_each_wording_of_the_table_is_understood(wording: str) -> None:
    said = wording.format(field="Status", old='"Waiting Approval"', new="'Approved'")
    for dressed in (said, f"{said}.", f"  {said.upper()}  "):
        assert pairs(read(dressed)) == [("waiting approval", "approved")]


@pytest.mark.parametrize("wording", BARE_WORDINGS)
def test_a_bare_wording_is_understood_only_where_the_row_says_what_changed(wording: str) -> None:
    said = wording.format(old="New", new="Approved")
    assert pairs(read(said, auditSubType="Status")) == [("new", "approved")]
    assert pairs(read(said, auditSubType="Priority")) == ["doubt"]


def test_the_direction_is_told_where_the_new_value_comes_first() -> None:
    assert pairs(read("Status was updated to Denied (previously Approved)")) == [("approved", "denied")]


def test_a_value_that_was_never_set_is_one_of_the_values() -> None:
    for empty in ("", '""', "(none)", "None", "null"):
        found = list(
            changes_of("Approval", ("Approved",), read_entries([row(f"Approval changed from {empty} to Approved")]))
        )
        assert [one.new for one in found if isinstance(one, Change)] == ["approved"]


def test_rows_about_other_things_say_nothing() -> None:
    for text in ("The ticket was created.", "Owner changed from TinaT to OlgaO", "Priority: 3 -> 1", ""):
        assert read(text) == []


def test_what_surely_is_a_note_says_nothing_whatever_its_words_are() -> None:
    assert read("Status has been changed from New to Approved", auditType="Notes", auditSubType="Note") == []
    assert read("approved by phone, status to follow", auditSubType="note") == []


# ---------------------------------------------------------------- not understood


@pytest.mark.parametrize(
    "text",
    [
        'Status set to "Approved"',
        "Status changed to Approved",
        "Status changed from Unknown to Approved",
        "Status changed from Waiting Approval to Approved by workflow rule 12",
        "Bot: Status changed from Waiting Approval to Approved",
        'Summary changed from "x" to "Status changed from Waiting Approval to Approved"',
        "Status changed from Waiting Approval to Approved\nStatus changed from Approved to New",
        "The status is fine",
        "Approved was Denied",
        "Waiting Approval ~~ Approved",
    ],
)
def test_what_may_be_about_the_status_and_is_not_understood_is_a_doubt(text: str) -> None:
    assert pairs(read(text)) == ["doubt"]


def test_a_sentence_that_can_be_cut_in_one_way_only_is_understood() -> None:
    assert pairs(read("Status changed from Waiting to Start to Start")) == [("waiting to start", "start")]


def test_a_sentence_that_can_be_cut_in_two_ways_is_a_doubt() -> None:
    values = ("A", "A to B", "B to C", "C")
    entries = read_entries([row("Status changed from A to B to C")])
    assert pairs(list(changes_of("Status", values, entries))) == ["doubt"]


@pytest.mark.parametrize("date", ["", "2026-11-22T09:00:00", "yesterday"])
def test_a_change_without_a_date_that_has_a_zone_is_a_doubt(date: str) -> None:
    assert pairs(read("Status changed from New to Approved", enteredDate=date)) == ["doubt"]


def test_names_with_signs_of_patterns_are_only_names() -> None:
    values = ("Waiting (.*)", "Approved", "{old}")
    entries = read_entries(
        [row("Status changed from Waiting (.*) to Approved"), row("Status changed from x to Approved")]
    )
    assert pairs(list(changes_of("Status", values, entries))) == [("waiting (.*)", "approved"), "doubt"]
    braces = read_entries([row("{old} {field} changed from {old} to Approved")])
    assert pairs(list(changes_of("{old} {field}", values, braces))) == [("{old}", "approved")]


def test_a_list_that_grew_while_it_was_paged_repeats_no_row() -> None:
    assert len(read_entries([row("a"), row("b"), row("a")])) == 2


# ---------------------------------------------------------------- own wordings


def test_a_sentence_of_the_mapping_is_understood_and_compared_as_it_stands() -> None:
    own = ("{field} moved from {old} over to {new}", "{new} now stands under {field}; before it was {old}")
    assert pairs(read("Status moved from New over to Approved", wordings=own)) == [("new", "approved")]
    assert pairs(read("Denied now stands under Status; before it was New", wordings=own)) == [("new", "denied")]
    assert pairs(read("Status moved from New over to Approved, perhaps", wordings=own)) == ["doubt"]
    assert pairs(read("Status moved from New over to Approved")) == ["doubt"]


@pytest.mark.parametrize(
    "wording", ["{field} is {new}", "{old}{new}", "{old} {new}", "{old} to {new} of {what}", "{old} - {new} - {new}"]
)
def test_a_sentence_that_does_not_tell_old_from_new_is_refused(wording: str) -> None:
    with pytest.raises(ValidationError):
        TrailRules(wordings=(wording,))


# ---------------------------------------------------------------- changes of the request


@pytest.mark.parametrize(
    ("text", "kind", "is_one"),
    [
        ("Type has been changed from Password Reset to Incident.", "", True),
        ("The company was updated to Fabrikam (previously Contoso)", "", True),
        ("The record was updated.", "Contact", True),
        ("Reset account: dana@contoso.com -> emil@contoso.com", "", True),
        ("Reset account set to emil@contoso.com", "", True),
        ("Status changed from New to Approved", "Status", False),
        ("Contacted the requester by phone", "", False),
        ("Type of the printer is unknown", "", False),
    ],
)
def test_a_change_of_the_request_is_seen_whatever_its_values_are(text: str, kind: str, is_one: bool) -> None:
    entries = read_entries([row(text, auditSubType=kind)])
    found = tuple(touching(("Type", "Company", "Contact", "Reset account"), entries))
    assert found == (entries if is_one else ())


def test_plain_leaves_out_only_what_wordings_differ_in() -> None:
    assert plain(" The “Status”  IS 'open'. ") == "the status is open"
    assert plain("Approved") != plain("Not Approved")
