"""What the directory shows of a write: by its own times alone, however wrong its clock is, and however late it is."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from connector.core import proof
from connector.core.ports import Receipt, SessionsReport
from tests.core.test_guard import LEA, NOW

EARLIER = datetime(2026, 1, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)
BEFORE = replace(LEA, password_set_at=EARLIER, sessions_valid_from=EARLIER)


def report(password: datetime | None, sessions: datetime | None) -> SessionsReport:
    return SessionsReport(Receipt("id"), sessions_valid_from=sessions, password_set_at=password)


@pytest.mark.parametrize("skew", [timedelta(days=-300), -SECOND, timedelta(0), timedelta(days=300)])
def test_the_directorys_clock_may_be_as_wrong_as_it_likes(skew: timedelta) -> None:
    before = replace(LEA, password_set_at=NOW + skew, sessions_valid_from=NOW + skew)
    after = report(NOW + skew + SECOND, NOW + skew + SECOND)
    assert proof.open_proof(before, after, password=True, now=NOW) is None
    assert proof.shown(before, after, password=True)


@pytest.mark.parametrize(
    ("password", "sessions", "missing"),
    [
        (EARLIER, EARLIER, (proof.PASSWORD, proof.SESSIONS)),
        (EARLIER + SECOND, EARLIER, (proof.SESSIONS,)),
        (EARLIER, EARLIER + SECOND, (proof.PASSWORD,)),
        (EARLIER - SECOND, EARLIER + SECOND, (proof.PASSWORD,)),
        (None, None, (proof.PASSWORD, proof.SESSIONS)),
    ],
)
def test_what_is_not_shown_yet_is_looked_for_later(
    password: datetime | None, sessions: datetime | None, missing: tuple[str, ...]
) -> None:
    after = report(password, sessions)
    open_one = proof.open_proof(BEFORE, after, password=True, now=NOW)
    assert open_one is not None
    assert open_one.missing == missing
    assert open_one.look_at > NOW
    assert not proof.shown(BEFORE, after, password=True)


def test_an_mfa_reset_waits_for_no_password() -> None:
    after = report(EARLIER, EARLIER + SECOND)
    assert proof.open_proof(BEFORE, after, password=False, now=NOW) is None
    assert proof.shown(BEFORE, after, password=False)


def test_a_directory_that_tells_no_times_proves_nothing_and_is_not_asked_again() -> None:
    assert proof.open_proof(LEA, report(None, None), password=True, now=NOW) is None
    assert not proof.shown(LEA, report(None, None), password=True)


def test_a_first_time_is_a_new_time() -> None:
    assert proof.shown(LEA, report(EARLIER, EARLIER), password=True)


def test_each_look_comes_later_and_the_last_one_gives_up() -> None:
    open_one = proof.open_proof(BEFORE, report(EARLIER, EARLIER), password=True, now=NOW)
    moments = []
    while open_one is not None and not proof.is_given_up(open_one):
        moments.append(open_one.look_at)
        open_one = proof.look_again(open_one, BEFORE, now=open_one.look_at)
    assert moments == sorted(set(moments))
    assert len(moments) == len(proof.LOOKS)
    assert open_one is not None


def test_half_of_the_proof_leaves_the_other_half_open() -> None:
    open_one = proof.open_proof(BEFORE, report(EARLIER, EARLIER), password=True, now=NOW)
    assert open_one is not None
    half = proof.look_again(open_one, replace(BEFORE, password_set_at=EARLIER + SECOND), now=NOW)
    assert half is not None
    assert half.missing == (proof.SESSIONS,)
    assert proof.look_again(half, replace(BEFORE, sessions_valid_from=EARLIER + SECOND), now=NOW) is None


def test_an_account_that_cannot_be_read_proves_nothing() -> None:
    open_one = proof.open_proof(BEFORE, report(EARLIER, EARLIER), password=True, now=NOW)
    assert open_one is not None
    again = proof.look_again(open_one, None, now=NOW)
    assert again is not None
    assert again.missing == open_one.missing
