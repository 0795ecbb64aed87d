"""Password and MFA of one account within a day: the second half is held to a stricter rule."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from connector.core.case import Action, Approval, Person
from connector.core.pair import WINDOW, Earlier, partners, somebody_else_approves

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)


def written(action: Action, *approvers: str, ago: timedelta = HOUR) -> Earlier:
    return Earlier(ticket="halo:1", action=action, at=NOW - ago, approvers=frozenset(approvers))


def yes(name: str, email: str | None) -> Approval:
    return Approval(approver=Person(name, email), approved=True, decided_at=NOW)


@pytest.mark.parametrize(
    ("wanted", "done", "dangerous"),
    [
        (Action.PASSWORD, Action.MFA, True),
        (Action.MFA, Action.PASSWORD, True),
        (Action.PASSWORD, Action.PASSWORD, False),
        (Action.MFA, Action.MFA, False),
        (Action.BOTH, Action.MFA, False),  # its approver was asked for both
    ],
)
def test_only_the_other_half_makes_a_take_over(wanted: Action, done: Action, dangerous: bool) -> None:
    assert bool(partners(wanted, [written(done)], now=NOW)) is dangerous


def test_after_a_day_the_first_half_is_forgotten() -> None:
    assert partners(Action.MFA, [written(Action.PASSWORD, ago=WINDOW)], now=NOW) == ()
    assert partners(Action.MFA, [written(Action.PASSWORD, ago=WINDOW - timedelta(seconds=1))], now=NOW)


def test_a_second_person_is_one_whose_mailbox_did_not_approve_the_first_half() -> None:
    first = [written(Action.MFA, "anna@contoso.example.com")]
    assert not somebody_else_approves([yes("Anna", "Anna@Contoso.example.com")], first)
    assert not somebody_else_approves([yes("Anna", "anna+two@contoso.example.com")], first), "the same mailbox"
    assert somebody_else_approves([yes("Bo", "bo@contoso.example.com")], first)
    both = [yes("Anna", "anna@contoso.example.com"), yes("Bo", "bo@contoso.example.com")]
    assert somebody_else_approves(both, first)


def test_a_person_without_an_address_is_nobody_else() -> None:
    assert not somebody_else_approves([yes("Somebody", None)], [written(Action.MFA, "anna@contoso.example.com")])
