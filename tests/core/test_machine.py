"""The table of moves: what it allows, what it refuses, and that the picture shows it."""

from __future__ import annotations

import re
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta

import pytest

from connector.core.case import Case, Outcome, State
from connector.core.machine import ENDING, TRANSITIONS, Event, IllegalMove, advance, picture

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
EARLIER = NOW - timedelta(hours=1)
S, E = State, Event

LEGAL = [(state, event, target) for state, moves in TRANSITIONS.items() for event, target in moves.items()]
ILLEGAL = [(state, event) for state in State for event in Event if event not in TRANSITIONS[state]]
ACTING = frozenset({S.APPROVED})
"""Only here may an account be written."""


def a_case(state: State) -> Case:
    return Case(
        id="case-1", psa="halo", ticket_id="1", number="1", state=state, created_at=EARLIER, due_at=EARLIER,
        attempts=3, failing_since=EARLIER, version=7,
    )  # fmt: skip


def reachable(start: State) -> set[State]:
    found: set[State] = set()
    todo = [start]
    while todo:
        for target in TRANSITIONS[todo.pop()].values():
            if target not in found:
                found.add(target)
                todo.append(target)
    return found


@pytest.mark.parametrize(("state", "event", "target"), LEGAL)
def test_each_move_of_the_table_leads_where_it_says(state: State, event: Event, target: State) -> None:
    before = a_case(state)
    after = advance(before, event, now=NOW)
    assert after == replace(before, state=target, due_at=NOW, attempts=0, failing_since=None)


@pytest.mark.parametrize(("state", "event"), ILLEGAL)
def test_a_move_that_the_table_does_not_know_raises_and_nothing_changed(state: State, event: Event) -> None:
    case = a_case(state)
    before = {field.name: getattr(case, field.name) for field in fields(case)}
    with pytest.raises(IllegalMove) as refusal:
        advance(case, event, now=NOW, explanation="changed")
    assert {field.name: getattr(case, field.name) for field in fields(case)} == before
    assert event.value in str(refusal.value)
    assert state.value in str(refusal.value)


def test_the_case_that_is_given_stays_as_it_is_when_a_move_is_legal() -> None:
    case = a_case(S.WAITING)
    before = replace(case)
    advance(case, E.APPROVED, now=NOW, explanation="x")
    assert case == before


def test_what_belongs_to_a_move_is_changed_with_it() -> None:
    after = advance(a_case(S.LINK_OUT), E.OPENED, now=NOW, outcome=Outcome.OPENED, due_at=None, attempts=2)
    assert (after.outcome, after.due_at, after.attempts) == (Outcome.OPENED, None, 2)


def test_every_state_stands_in_the_table() -> None:
    assert set(TRANSITIONS) == set(State)


def test_every_state_can_be_reached_from_the_first_one() -> None:
    assert reachable(S.RECEIVED) == set(State)


def test_every_event_moves_some_case() -> None:
    assert {event for _, event, _ in LEGAL} == set(Event)


@pytest.mark.parametrize("state", [S.CLOSED, S.CANCELLED, S.ALARMED])
def test_what_is_over_never_leads_to_a_state_that_resets(state: State) -> None:
    assert not reachable(state) & ACTING
    assert reachable(state) <= {S.CLOSED, S.ALARMED}


@pytest.mark.parametrize("state", [S.OPENED, S.EXPIRED, S.REJECTED, S.TIMED_OUT])
def test_what_has_ended_only_ever_becomes_closed_alarms_apart(state: State) -> None:
    assert reachable(state) == {S.CLOSED, S.ALARMED}


def test_an_alarm_can_be_raised_in_every_state_and_only_by_a_report() -> None:
    raised = {(state, event) for state, event, target in LEGAL if target is S.ALARMED and state is not S.ALARMED}
    assert raised == {(state, E.REPORTED) for state in State if state is not S.ALARMED}


def test_an_alarm_ends_secured_or_not_and_nothing_else_ends_it() -> None:
    assert {event: target for event, target in TRANSITIONS[S.ALARMED].items() if target is not S.ALARMED} == {
        E.SECURED: S.CLOSED,
        E.NOT_SECURED: S.CLOSED,
    }


def test_a_state_that_acts_is_entered_by_an_approval_alone() -> None:
    entries = {(state, event) for state, event, target in LEGAL if target in ACTING and state not in ACTING}
    assert entries == {(S.WAITING, E.APPROVED)}


def test_a_link_is_out_only_after_an_approval() -> None:
    entries = {(state, event) for state, event, target in LEGAL if target is S.LINK_OUT and state is not S.LINK_OUT}
    assert entries == {(S.APPROVED, E.LINK_SENT)}


def test_a_retry_starts_over_and_needs_an_approval_again() -> None:
    assert TRANSITIONS[S.NEEDS_PERSON][E.RETRIED] is S.RECEIVED


@pytest.mark.parametrize("state", sorted(ENDING))
def test_each_ending_is_closed_by_the_next_pass(state: State) -> None:
    assert TRANSITIONS[state] == {E.FINISHED: S.CLOSED, E.REPORTED: S.ALARMED}


@pytest.mark.parametrize("state", [state for state in State if state not in {S.CLOSED, S.ALARMED, *ENDING}])
def test_every_case_that_is_not_over_can_be_cancelled(state: State) -> None:
    assert TRANSITIONS[state][E.CANCELLED] is S.CANCELLED


def test_the_picture_shows_every_arrow_with_every_event() -> None:
    shown = {
        (source, target): set(words.split(", "))
        for source, target, words in re.findall(r"^    (\w+) --> (\w+): (.+)$", picture(), re.MULTILINE)
    }
    expected: dict[tuple[str, str], set[str]] = {}
    for state, event, target in LEGAL:
        if state is not target:
            expected.setdefault((state.name, target.name), set()).add(event.value.replace("_", " "))
    assert shown == expected


def test_the_picture_begins_at_received_and_ends_at_closed() -> None:
    lines = picture().splitlines()
    assert lines[0] == "stateDiagram-v2"
    assert lines[1].strip() == "[*] --> RECEIVED"
    assert lines[-1].strip() == "CLOSED --> [*]"
