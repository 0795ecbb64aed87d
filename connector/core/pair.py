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
        asked_for_both: Its ticket asks for both halves, so whoever approved it knew that the whole account is handed
            over.
    """

    ticket: str
    action: Action
    at: datetime
    approvers: frozenset[str]
    case_id: str = ""
    asked_for_both: bool = False


def partners(action: Action, earlier: Sequence[Earlier], *, now: datetime) -> tuple[Earlier, ...]:
    """The earlier writes that make a take-over together with this action.

    A ticket that asked for both and got both counts for nothing here: whoever approved it was asked for the whole
    account, and a link that expired unopened sends people to raise a new request for the password.
    """
    if action is Action.BOTH:
        return ()  # its approver was asked for both
    recent = [one for one in earlier if one.at > now - WINDOW]
    same_half = {one.case_id for one in recent if one.asked_for_both and one.action is action}
    return tuple(one for one in recent if one.action is not action and one.case_id not in same_half)


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
