"""A lock-out in the requester's words: recognised where it is one, and no hint where it is not."""

from __future__ import annotations

import pytest

from connector.core.lockout import LONGEST, reads_like_a_lockout


@pytest.mark.parametrize(
    "reason",
    [
        "She is locked out since this morning",
        "LOCKED-OUT!!",
        "account lockout",
        "The account of Lea\nis temporarily locked",
        "locked her account",
        "too many sign-in attempts",
        "Too many wrong tries on the phone",
        "Error AADSTS50053",
        "sign-in says 50053",
        "Das Konto wurde gesperrt",
        "Sie hat sich ausgesperrt",
        "compte verrouillé depuis ce matin",
        "cuenta bloqueada",
    ],
)
def test_a_lockout_is_recognised(reason: str) -> None:
    assert reads_like_a_lockout(reason)


@pytest.mark.parametrize(
    "reason",
    [
        "",
        "forgot it again",
        "back from leave, new phone",
        "the lock screen shows a clock",
        "blocked sender in Outlook",
        "flock outing",
        "order 1500530 did not arrive",
        "x" * LONGEST + " locked out",
    ],
)
def test_what_is_none_gives_no_hint(reason: str) -> None:
    assert not reads_like_a_lockout(reason)


def test_a_reason_of_any_length_is_read_at_once() -> None:
    assert not reads_like_a_lockout("account " * 200_000)
