"""The rows of HaloPSA's approvals: who was asked, and what each one said.

Each asked person has a row (`FaultApproval`) in the ticket's `approvers` (the present step) or `approvers_history` (the
steps before; inferred from the names, UNVERIFIED). Of the codes in `result` only 1 (approve) and 2 (reject) are
documented. Sources: Halo guides 2345 and 2396, the public Halo swagger; read 2026-11-22.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from connector.core.case import Person
from connector.psa.halopsa_json import Record, flag, identifier, moment, number, records, text


class Said(Enum):
    YES = 1
    NO = 2
    NOTHING = 0
    UNCLEAR = -1


@dataclass(frozen=True, kw_only=True)
class Vote:
    """One asked person's row.

    Attributes:
        key: Identifies the row within HaloPSA: ticket, sequence, action number.
        current: It is of the present step.
        in_progress: HaloPSA says that the approval is still going on.
        votes_wanted: How many yeses its step wants, by HaloPSA's `votes_required_to_accept`; 0 where it does not say.
    """

    key: str
    ticket_id: int | None
    person: Person
    said: Said
    decided_at: datetime | None
    current: bool
    in_progress: bool
    mandatory: bool
    overridden: bool
    process_id: int | None
    step: str
    votes_wanted: int
    comment: str
    delegated_by: Person | None


def read_votes(ticket: Record, ticket_id: int) -> tuple[Vote, ...]:
    """The rows in a ticket's detail, each once, present step first."""
    votes = [
        *(read_vote(row, ticket_id, current=True) for row in records(ticket.get("approvers"))),
        *(read_vote(row, ticket_id, current=False) for row in records(ticket.get("approvers_history"))),
    ]
    # The same row in both lists counts once, unless the two contradict each other: then both stand and forbid.
    return tuple({(vote.key, vote.said, vote.person): vote for vote in reversed(votes)}.values())[::-1]


def read_vote(row: Record, ticket_id: int, *, current: bool) -> Vote:
    """One row. It also holds a `token` by which anybody could answer: nothing but the named fields is kept."""
    said = _said(row)
    own = identifier(row, "ticket_id")
    return Vote(
        key=f"{own or ticket_id}/{text(row, 'seq') or '?'}/{text(row, 'actionnumber') or '?'}",
        ticket_id=own,
        person=_approver(row),
        said=said,
        # `datetime` is when it was asked, not when it was answered.
        decided_at=moment(row, "dateapproved"),
        current=current,
        in_progress=flag(row, "approval_inprogress"),
        mandatory=flag(row, "is_mandatory"),
        overridden=flag(row, "admin_overridden") or identifier(row, "admin_override_id") is not None,
        process_id=identifier(row, "approval_process_id"),
        step=text(row, "step_name"),
        votes_wanted=max(number(row.get("votes_required_to_accept")) or 0, 0),
        # Which of the two carries the approver's own words is UNVERIFIED.
        comment=text(row, "approver_note") or text(row, "note"),
        delegated_by=_delegator(row),
    )


def _said(row: Record) -> Said:
    result = row.get("result")
    if result is None:
        return Said.NOTHING
    code = number(result)
    # A yes must be exactly the documented number; everything else is read as strictly as it can be.
    if code == Said.YES.value and isinstance(result, int):
        return Said.YES
    if code == Said.NO.value:
        return Said.NO
    # How "not answered yet" is written is UNVERIFIED: absent or 0. A date with it would contradict that.
    return Said.NOTHING if code == 0 and moment(row, "dateapproved") is None else Said.UNCLEAR


def _approver(row: Record) -> Person:
    user, agent = identifier(row, "user_id"), identifier(row, "agent_id")
    ids = {f"halo.user:{user}"} if user else set()
    if agent:
        ids.add(f"halo.agent:{agent}")
    # Whoever answered in the approver's place decided, too: where the mapping allows that, they still must be neither
    # requester nor subject. An id more only serves to refuse; who may approve goes by the address.
    if override := identifier(row, "admin_override_id"):
        ids.add(f"halo.agent:{override}")
    name = text(row, "name") or text(row, "agent_name")
    email = text(row, "emailaddress").strip()
    return Person(name=name or email or "an approver without a name", email=email or None, ids=frozenset(ids))


def _delegator(row: Record) -> Person | None:
    uid, name = identifier(row, "delegated_by_uid"), text(row, "delegated_by_username")
    if not uid and not name:
        return None
    # Whether the number is one of a user or of an agent is UNVERIFIED. Both are named: they only serve to refuse.
    ids = frozenset({f"halo.user:{uid}", f"halo.agent:{uid}"}) if uid else frozenset[str]()
    return Person(name=name or "somebody", ids=ids)
