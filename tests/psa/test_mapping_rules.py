"""What every mapping can say about approvers, reminders, notes and dry runs, and what a mistake is answered with."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import pytest

from connector.core.case import Action
from connector.core.messages import PUBLIC_TOPICS
from connector.core.ports import DryRun
from tests.psa.test_mapping import HALO, problems, read


def test_a_mapping_that_says_nothing_more_has_the_careful_rules(tmp_path: Path) -> None:
    rules = read(tmp_path, HALO).rules
    assert (rules.approvers_listed, rules.approvers_minimum, rules.dry_run) == (True, 1, DryRun.OFF)
    assert (rules.public_notes, rules.time_spent) == (frozenset(), timedelta(0))
    assert (rules.timing.hours, rules.timing.psa_reminds) == (None, False)
    assert rules.actions == {Action.PASSWORD, Action.MFA}


@pytest.mark.parametrize(
    ("written", "listed", "minimum"),
    [("psa", False, 1), ("listed", True, 1), ("{who: psa, minimum: 3}", False, 3), ("{minimum: 2}", True, 2)],
)
def test_who_approves_and_how_many(tmp_path: Path, written: str, listed: bool, minimum: int) -> None:
    rules = read(tmp_path, HALO.replace("approvers: listed", f"approvers: {written}")).rules
    assert (rules.approvers_listed, rules.approvers_minimum) == (listed, minimum)


@pytest.mark.parametrize("written", ["everybody", "{who: anybody}", "{minimum: 0}", "{minimum: 11}", "{least: 2}", "2"])
def test_a_mistake_about_the_approvers_names_its_place(tmp_path: Path, written: str) -> None:
    (problem,) = problems(tmp_path, HALO.replace("approvers: listed", f"approvers: {written}"))
    assert "approval.approvers" in problem


@pytest.mark.parametrize(
    ("written", "mode"),
    [("false", DryRun.OFF), ("off", DryRun.OFF), ("true", DryRun.NOTES), ("notes", DryRun.NOTES),
     ("silent", DryRun.SILENT)],
)  # fmt: skip
def test_a_dry_run_is_said_in_plain_words(tmp_path: Path, written: str, mode: DryRun) -> None:
    assert read(tmp_path, f"{HALO}dry_run: {written}\n").rules.dry_run is mode


@pytest.mark.parametrize("written", ["maybe", "1", "[silent]"])
def test_a_dry_run_that_is_not_understood_is_no_run_at_all(tmp_path: Path, written: str) -> None:
    (problem,) = problems(tmp_path, f"{HALO}dry_run: {written}\n")
    assert "dry_run" in problem


def test_business_hours_are_read_with_zone_and_holidays(tmp_path: Path) -> None:
    text = (
        'timing: {business_hours: {days: [mon, sat], start: "09:30", end: "12:00", time_zone: Europe/Berlin, '
        'holidays: ["2026-12-26"]}, approver_reminders: psa}\n'
    )
    timing = read(tmp_path, HALO + text).rules.timing
    assert timing.psa_reminds
    hours = timing.hours
    assert hours is not None
    assert (hours.days, hours.start, hours.end) == (frozenset({0, 5}), time(9, 30), time(12))
    assert hours.holidays == {date(2026, 12, 26)}
    assert hours.is_open(datetime(2026, 11, 23, 9, 0, tzinfo=UTC)), "10:00 in Berlin"


@pytest.mark.parametrize(
    "written",
    [
        "{}",  # without a zone nobody knows whose hours these are
        "{time_zone: Mars/Base}",
        "{time_zone: UTC, start: 8}",  # eight seconds after midnight?
        '{time_zone: UTC, start: "17:00", end: "08:00"}',
        "{time_zone: UTC, days: []}",
        "{time_zone: UTC, days: [monday]}",
        '{time_zone: UTC, holidays: ["soon"]}',
    ],
)
def test_business_hours_that_make_no_sense_are_refused(tmp_path: Path, written: str) -> None:
    found = problems(tmp_path, f"{HALO}timing: {{business_hours: {written}}}\n")
    assert all("timing.business_hours" in problem for problem in found)


def test_only_notes_that_help_no_attacker_can_be_made_public(tmp_path: Path) -> None:
    assert read(tmp_path, f"{HALO}notes: {{public: [recognised, rejected]}}\n").rules.public_notes == {
        "recognised",
        "rejected",
    }
    (problem,) = problems(tmp_path, f"{HALO}notes: {{public: [hand_off]}}\n")
    assert "hand_off: no such note, or one that only agents may see" in problem
    assert all(topic in problem for topic in PUBLIC_TOPICS)


def test_booked_time_is_minutes_of_a_working_day(tmp_path: Path) -> None:
    assert read(tmp_path, f"{HALO}time_entry: {{minutes: 5}}\n").rules.time_spent == timedelta(minutes=5)
    for written in ("{minutes: 0}", "{minutes: 481}", "{}", "5"):
        assert all("time_entry" in problem for problem in problems(tmp_path, f"{HALO}time_entry: {written}\n"))
