"""The proof of a page that was opened a moment ago, made and checked by processes whose clocks are not one."""

from __future__ import annotations

import secrets
from datetime import timedelta

import pytest

from connector.secretlink.service.pages.challenge import CLOCK_SKEW, Challenges
from tests.secretlink.support import FakeClock

LINK = "lnk_example-0001"


@pytest.mark.parametrize(
    ("ahead", "taken"),
    [(CLOCK_SKEW, True), (CLOCK_SKEW + timedelta(seconds=1), False), (timedelta(hours=2), False)],
)
def test_a_page_of_a_process_whose_clock_is_a_little_ahead_is_taken(ahead: timedelta, taken: bool) -> None:
    key = secrets.token_bytes(32)
    ours, theirs = FakeClock(), FakeClock()
    theirs.now = ours.now + ahead
    page = Challenges(key, clock=theirs).for_page(LINK)
    assert (Challenges(key, clock=ours).for_step(LINK, page) is not None) is taken


def test_a_clock_that_is_ahead_makes_nobody_quicker_than_a_person() -> None:
    key = secrets.token_bytes(32)
    ours, theirs = FakeClock(), FakeClock()
    theirs.now = ours.now + timedelta(seconds=5)
    page = Challenges(key, clock=theirs).for_page(LINK)
    assert Challenges(key, clock=ours).problem_with(LINK, page, needs_step=False) == "too_fast"
