"""The rows of HaloPSA's approvals: who was asked, and what each one said.

Each asked person has a row (`FaultApproval`) in the ticket's `approvers` (the present step) or `approvers_history` (the
steps before; inferred from the names, UNVERIFIED). Of the codes in `result` only 1 (approve) and 2 (reject) are
documented. Sources: Halo guides 2345 and 2396, the public Halo swagger; read 2026-11-22.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import Enum

from connector.core.case import Person
from connector.core.evidence import digest_of
from connector.psa.halopsa.people import Look, User
from connector.psa.halopsa.values import Record, address, flag, identifier, moment, number, records, text

LONGEST_NAME = 100
EVIDENCE = (
    *("ticket_id", "seq", "actionnumber", "result", "dateapproved", "approver_note", "note"),
    *("approval_process_id", "step_id", "step_name", "cab_id", "role_id", "type"),
    *("name", "emailaddress", "user_id", "agent_id", "agent_name", "requestor_agent_id", "requestor_user_id"),
    *("delegated_by_uid", "delegated_by_username", "admin_overridden", "admin_override_id", "adhoc"),
    *("is_mandatory", "votes_required_to_accept", "votes_required_to_reject"),
)
"""What of a row goes into the digest of a decision: never its `token` or `signature`."""


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
        overridden, overridden_by: An agent answered in the approver's place, and which one.
        adhoc: An agent picked this approver by hand; `None` where the row does not say (older builds).
        step_id, step: Which step of the process it is of; `None` and empty where the row does not say.
        votes_wanted: How many yeses its step wants, by HaloPSA's `votes_required_to_accept`; 0 where it does not say.
        votes_to_reject: How many noes end it, by `votes_required_to_reject`; 1 where it does not say.
        asked_by: Who asked for the approval, by HaloPSA's `requestor_…`; `None` where it does not say.
        digest: Fingerprint of the row.
    """

    key: str
    ticket_id: int | None
    person: Person
    user_id: int | None
    said: Said
    decided_at: datetime | None
    current: bool
    in_progress: bool
    mandatory: bool
    overridden: bool
    overridden_by: int | None
    process_id: int | None
    step_id: int | None
    step: str
    votes_wanted: int
    votes_to_reject: int
    comment: str
    adhoc: bool | None
    delegated_by: Person | None
    delegator: int | None
    asked_by: Person | None
    digest: str = field(default="", compare=False)


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
        user_id=identifier(row, "user_id"),
        said=said,
        # `datetime` is when it was asked, not when it was answered.
        decided_at=moment(row, "dateapproved"),
        current=current,
        in_progress=flag(row, "approval_inprogress"),
        mandatory=flag(row, "is_mandatory"),
        overridden=flag(row, "admin_overridden") or identifier(row, "admin_override_id") is not None,
        overridden_by=identifier(row, "admin_override_id"),
        process_id=identifier(row, "approval_process_id"),
        step_id=identifier(row, "step_id"),
        step=text(row, "step_name").strip(),
        votes_wanted=max(number(row.get("votes_required_to_accept")) or 0, 0),
        votes_to_reject=max(number(row.get("votes_required_to_reject")) or 0, 1),
        # Which of the two carries the approver's own words is UNVERIFIED.
        comment=text(row, "approver_note") or text(row, "note"),
        adhoc=None if row.get("adhoc") is None else row.get("adhoc") is not False,
        delegated_by=_delegator(row),
        delegator=identifier(row, "delegated_by_uid"),
        asked_by=_asked_by(row),
        digest=digest_of([evidence_of(row)]),
    )


def evidence_of(row: Record) -> Mapping[str, str]:
    """The named fields of a row as text, for the digest: an instant as one, whatever its spelling."""
    fields = {key: str(row[key]) for key in EVIDENCE if row.get(key) not in (None, "")}
    answered = moment(row, "dateapproved")
    return {**fields, "dateapproved": answered.isoformat() if answered else ""}


def with_people(votes: tuple[Vote, ...], look: Look) -> tuple[Vote, ...]:
    """The rows with what HaloPSA's users tell about people whom a row names without an address.

    Asked for only where it matters, so an ordinary approval costs no call: a yes without an address, and whoever
    passed a decision on.

    Args:
        look: Gives the user with an id; `None` where there is none that we may see.
    """
    return tuple(_with_people(vote, look) for vote in votes)


def _with_people(vote: Vote, look: Look) -> Vote:
    if vote.said is Said.YES and not vote.person.email:
        user = look(vote.user_id) if vote.user_id else None
        vote = replace(vote, person=user.joined(vote.person)) if user else vote
    if vote.delegated_by and vote.delegator:
        delegator = look(vote.delegator)
        # Whether the number is one of a user or of an agent is UNVERIFIED, so the name has to be the user's own.
        if delegator and _same_name(delegator, vote.delegated_by):
            vote = replace(vote, delegated_by=delegator.joined(vote.delegated_by))
    return vote


def _name(row: Record, key: str) -> str:
    """A name on one line, cut where it is no name any more: it stands in notes and reasons."""
    return " ".join(text(row, key).split())[:LONGEST_NAME]


def _same_name(user: User, person: Person) -> bool:
    return " ".join(user.name.split()).casefold() == " ".join(person.name.split()).casefold()


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
    name = _name(row, "name") or _name(row, "agent_name")
    email = address(row, "emailaddress")
    return Person(name=name or email or "an approver without a name", email=email or None, ids=frozenset(ids))


def _delegator(row: Record) -> Person | None:
    uid, name = identifier(row, "delegated_by_uid"), _name(row, "delegated_by_username")
    if not uid and not name:
        return None
    # Whether the number is one of a user or of an agent is UNVERIFIED. Both are named: they only serve to refuse.
    ids = frozenset({f"halo.user:{uid}", f"halo.agent:{uid}"}) if uid else frozenset[str]()
    return Person(name=name or "somebody", ids=ids)


def _asked_by(row: Record) -> Person | None:
    user, agent = identifier(row, "requestor_user_id"), identifier(row, "requestor_agent_id")
    if not user and not agent:
        return None
    ids = {f"halo.user:{user}"} if user else set[str]()
    if agent:
        ids.add(f"halo.agent:{agent}")
    return Person(name=_name(row, "requestor_name") or "who asked for the approval", ids=frozenset(ids))
