"""The brake: how many resets are too many, and whose."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.core.brake import Limit, Limits, check
from connector.core.case import Action
from connector.core.ports import Reset

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
MANY = Limit(1000, 24 * HOUR)
WIDE = Limits(per_subject=MANY, per_requester=MANY, per_approver=MANY, per_tenant=MANY, overall=MANY)
SAME = ("subject", "requester", "approver", "tenant")


def a_reset(case: int, *, ago: timedelta = timedelta(0), action: Action = Action.PASSWORD, same: str = "") -> Reset:
    """Of a subject, requester, approver and tenant that no other reset has; the one named in `same` is everybody's."""
    who = {name: "everybody's" if name == same else f"{name}-{case}" for name in SAME}
    approvers = frozenset({who.pop("approver")})
    return Reset(at=NOW - ago, case_id=f"case-{case}", action=action, approvers=approvers, **who)


@pytest.mark.parametrize("name", SAME)
def test_each_limit_counts_its_own_and_stops_the_one_too_many(name: str) -> None:
    limits = replace(WIDE, **{f"per_{name}": Limit(3, HOUR)})
    done = [a_reset(number, ago=timedelta(minutes=number), same=name) for number in (1, 2)]
    wanted = a_reset(9, same=name)
    assert check(wanted, done, limits, now=NOW) is None
    stop = check(wanted, [*done, a_reset(3, same=name)], limits, now=NOW)
    assert stop is not None
    assert not stop.everything
    assert "3 in 1 h" in stop.reason


@pytest.mark.parametrize("name", SAME)
def test_what_others_do_is_not_counted(name: str) -> None:
    limits = replace(WIDE, **{f"per_{name}": Limit(1, HOUR)})
    assert check(a_reset(9), [a_reset(number) for number in range(5)], limits, now=NOW) is None


def test_the_limit_for_all_counts_everybody_and_stops_everything() -> None:
    limits = replace(WIDE, overall=Limit(5, HOUR))
    done = [a_reset(number) for number in range(5)]
    assert check(a_reset(9), done[:4], limits, now=NOW) is None
    stop = check(a_reset(9), done, limits, now=NOW)
    assert stop is not None
    assert stop.everything


@pytest.mark.parametrize(("ago", "stopped"), [(HOUR - timedelta(seconds=1), True), (HOUR, False), (2 * HOUR, False)])
def test_only_the_window_counts(ago: timedelta, stopped: bool) -> None:
    limits = replace(WIDE, per_subject=Limit(1, HOUR))
    stop = check(a_reset(9, same="subject"), [a_reset(1, ago=ago, same="subject")], limits, now=NOW)
    assert (stop is not None) is stopped


def test_a_step_that_starts_again_does_not_stop_itself() -> None:
    limits = Limits(**dict.fromkeys(("per_subject", "per_requester", "per_approver", "per_tenant", "overall"),
                                    Limit(1, HOUR)))  # fmt: skip
    wanted = a_reset(1)
    assert check(wanted, [replace(wanted, at=NOW - timedelta(minutes=1))], limits, now=NOW) is None


def test_the_two_halves_of_a_case_count_as_two() -> None:
    limits = replace(WIDE, per_subject=Limit(1, HOUR))
    assert check(a_reset(1), [a_reset(1, action=Action.MFA)], limits, now=NOW) is not None


def test_a_limit_of_none_at_all_lets_nothing_pass() -> None:
    assert check(a_reset(1), [], replace(WIDE, overall=Limit(0, HOUR)), now=NOW) is not None


def test_the_log_has_to_be_read_as_far_back_as_the_longest_window() -> None:
    assert replace(WIDE, per_approver=Limit(1, timedelta(days=9))).longest == timedelta(days=9)


@pytest.mark.parametrize(
    ("limit", "words"),
    [
        (Limit(3, 24 * HOUR), "3 in 24 h"),
        (Limit(1, timedelta(minutes=10)), "1 in 10 min"),
        (Limit(2, HOUR), "2 in 1 h"),
    ],
)
def test_a_limit_reads_as_people_say_it(limit: Limit, words: str) -> None:
    assert limit.words == words


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 120), st.sampled_from(["subject", "tenant"])), max_size=12))
def test_one_more_reset_never_releases_the_brake(log: list[tuple[int, int, str]]) -> None:
    limits = replace(WIDE, per_subject=Limit(2, HOUR), overall=Limit(6, HOUR))
    done = [a_reset(case, ago=timedelta(minutes=minutes), same=who) for case, minutes, who in log]
    wanted = a_reset(99, same="subject")
    stops = [check(wanted, done[:count], limits, now=NOW) is not None for count in range(len(done))]
    assert stops == sorted(stops)
