"""How the figures about budgets are counted: a window slides, and its end does not belong to it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from bench.psa_stages import Call, fullest

START = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def calls_at(*seconds: float) -> list[Call]:
    moments = [START + timedelta(seconds=second) for second in seconds]
    return [Call("halo", "GET", "/api/tickets", "", moment, moment) for moment in moments]


def test_the_fullest_window_is_found_wherever_it_begins() -> None:
    calls = calls_at(0, 50, 61, 62, 63, 109, 200)
    assert [call.arrived.second + 60 * call.arrived.minute for call in fullest(calls, MINUTE)] == [50, 61, 62, 63, 109]


def test_a_call_that_comes_as_the_window_ends_is_of_the_next_one() -> None:
    assert len(fullest(calls_at(0, 60), MINUTE)) == 1
    assert len(fullest(calls_at(0, 59.999), MINUTE)) == 2


def test_calls_are_counted_whatever_order_they_were_recorded_in() -> None:
    assert len(fullest(calls_at(30, 0, 59, 20), MINUTE)) == 4


def test_without_calls_no_window_is_full() -> None:
    assert fullest([], MINUTE) == []
