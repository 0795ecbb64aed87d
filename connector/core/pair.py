"""Password and MFA of one account within a day: together they are a full take-over.

Each of the two alone leaves an intruder something to overcome. Whoever gets both, in two small requests that look
harmless, has the account. A request for `both` says so to its approver; two tickets do not, so the second of them is
held to a stricter rule.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from connector.core.case import Action, Approval, Person

WINDOW = timedelta(hours=24)


class PairRule(StrEnum):
    """What the second half needs (`pair_rule`)."""

    SECOND_APPROVER = "second_approver"
    """Somebody who did not approve the first half must have said yes, too."""
    HAND_OFF = "hand_off"
    ALLOW = "allow"


@dataclass(frozen=True, kw_only=True)
class Earlier:
    """A write to the same account, for another ticket or for this one when it asked for something else.

    Attributes:
        ticket: `halo:4242`, for messages.
        case_id: Of the case that wrote.
        action: The half that was written: `password` or `mfa`.
        approvers: Mailboxes (`case.mailbox`) of those who approved it.
    """

    ticket: str
    action: Action
    at: datetime
    approvers: frozenset[str]
    case_id: str = ""


def partners(action: Action, earlier: Sequence[Earlier], *, now: datetime) -> tuple[Earlier, ...]:
    """The earlier writes that make a take-over together with this action."""
    if action is Action.BOTH:
        return ()  # its approver was asked for both
    return tuple(one for one in earlier if one.action is not action and one.at > now - WINDOW)


def is_overtaken(case_id: str, action: Action, at: datetime, known: Collection[Earlier], *, now: datetime) -> bool:
    """Whether this write of another case is one of the last day that was not known when ours was judged."""
    return at > now - WINDOW and not any((one.case_id, one.action) == (case_id, action) for one in known)


def somebody_else_approves(yeses: Sequence[Approval], first: Sequence[Earlier]) -> bool:
    """Whether one of the yeses is of a person who did not approve the first half.

    A person without an address cannot be told from the others: among the yeses they count for nobody, and where one
    of them approved the first half, one more person has to say yes, for one of these may be that one.
    """
    known = frozenset[str]().union(*(one.approvers for one in first))
    nameless = sum("@" not in one for one in known)
    others: list[Person] = []
    for person in (yes.approver for yes in yeses):
        is_known = not person.email or person.mailboxes & known
        if not is_known and not any(person.may_be(other) for other in others):
            others.append(person)
    return len(others) > nameless
