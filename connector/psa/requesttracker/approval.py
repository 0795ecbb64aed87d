"""What counts as a yes in Request Tracker. Pure: rows in, an `ApprovalReading` out.

An approval is a ticket of the type `approval` in RT's queue `___Approvals` that RT itself created and on which the
request depends. It is a yes when all of this holds; whatever is missing makes it something else than a yes:

- its status is `resolved`, and the newest change of status in its history says the same (one that was reopened is not);
- a person resolved it, not RT itself;
- nobody has changed the request since the approver was asked: the approval's text shows subject and action as they
  were when it was created, so a decision on an older text is a decision on something else. An approval that a person
  reopened was asked for anew at that moment;
- the person is neither a requestor (RT knows several) nor the creator of the request.

What a helpdesk agent can forge without any right on approvals, and why it does not help: an approval-type ticket in
another queue (wrong queue, wrong creator); status `open` of the request (not looked at); another field value after the
decision, merging an approved ticket into this one, an approval borrowed by a link, another requestor (all are changes
of the request, ordered by the ids of RT's transactions, which grow over all tickets).

Tried against Request Tracker 5.0.3, and read in its source, on 2026-11-22.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from connector.core.case import Approval, Person
from connector.core.evidence import digest_of
from connector.core.ports import ApprovalReading, Stance
from connector.psa.requesttracker.rest import APPROVALS, TicketRow, Transaction, user_name

APPROVED = "resolved"
REFUSED = frozenset({"rejected", "deleted"})
ENDED = REFUSED | {APPROVED}
LINKS = ("DependsOn", "MergedInto")


@dataclass(frozen=True)
class History:
    """The transactions that matter, oldest first, of the request and of its approvals."""

    of: dict[str, tuple[Transaction, ...]]

    @classmethod
    def sort(cls, transactions: Iterable[Transaction]) -> History:
        of: dict[str, tuple[Transaction, ...]] = {}
        for one in sorted(transactions, key=lambda one: one.id):
            of[one.ticket] = (*of.get(one.ticket, ()), one)
        return cls(of)

    def lines(self, ticket: str) -> tuple[Transaction, ...]:
        return self.of.get(ticket, ())


def last_change(request: TicketRow, history: History, *, watched: Collection[str]) -> Transaction | None:
    """The newest transaction that made the request another one.

    Args:
        watched: What `Field` says for the fields of subject, action, client and reason: custom field ids, or `Subject`.

    Counted too: a move to another queue (another customer, perhaps), another requestor (the link goes to them),
    a merge and a link to another approval (both bring decisions that were made about something else).
    """
    changes = [line for line in history.lines(request.id) if _changes_the_request(line, watched)]
    return changes[-1] if changes else None


def _changes_the_request(line: Transaction, watched: Collection[str]) -> bool:
    match line.type:
        case "CustomField":
            return line.field in watched
        case "Set":
            return line.field == "Queue" or line.field in watched
        case "AddWatcher" | "DelWatcher" | "SetWatcher":
            return line.field == "Requestor"
        case "AddLink" | "DeleteLink":
            # RT links the approvals that it creates without writing it down, or as itself.
            return line.field in LINKS and not line.by_rt
        case _:
            return False


def change_moment(
    request: TicketRow, approvals: Sequence[TicketRow], history: History, change: Transaction | None
) -> datetime:
    """When the request became what it is: `Ticket.request_changed_at`.

    RT tells whole seconds. Where a change came after a decision of the same second, as the ids tell, the end of that
    second is given, so that the decision is older than the change.
    """
    if change is None:
        return request.created
    same_second = any(
        (decision := _decision(history.lines(approval.id))) is not None
        and decision.created == change.created
        and decision.id < change.id
        for approval in approvals
    )
    return change.created + (timedelta(microseconds=999_999) if same_second else timedelta(0))


def read_approval(
    request: TicketRow,
    approvals: Sequence[TicketRow],
    history: History,
    change: Transaction | None,
    *,
    anyone: bool,
    asked_by: Callable[[TicketRow], tuple[Person, ...] | None],
    note_of: Callable[[str, Sequence[Transaction]], str],
) -> ApprovalReading:
    """The approval of a request.

    Args:
        approvals: What the search for approvals brought; checked here once more.
        change: From `last_change`.
        anyone: Whether anybody's decision is handed on, because the configuration lists who may approve. Otherwise
            only the decision of somebody whom the approval asks counts.
        asked_by: Who is to decide an approval, groups resolved; `None` when a group cannot be read.
        note_of: The approver's words, given the approval's id and the transactions that may carry them.
    """
    ours = [one for one in approvals if one.type == "approval" and one.queue == APPROVALS and one.by_rt]
    if not ours:
        return ApprovalReading(
            Stance.NONE,
            reason="RT has created no approval for this ticket (one is created when the ticket is, if its type asks "
            "for one; a ticket whose type was changed later never gets any)",
        )
    decisions: list[Approval] = []
    reasons: list[str] = []
    pending: list[TicketRow] = []
    for one in sorted(ours, key=lambda one: int(one.id)):
        lines = history.lines(one.id)
        decision = _decision(lines)
        if one.status not in ENDED or decision is None or decision.new != one.status:
            pending.append(one)
            continue
        asked = asked_by(one)
        words = note_of(one.id, _words(lines, decision))
        yes = one.status == APPROVED
        decisions.append(
            Approval(
                approver=decision.creator,
                approved=yes,
                decided_at=decision.created,
                comment=words,
                step=one.subject,
                overridden=asked is not None and not any(decision.creator.is_same(person) for person in asked),
                evidence=f"approval {one.id}, transaction {decision.id}",
                digest=digest_of(_rows(request, one, decision, words)),
            )
        )
        if yes:
            reasons += _objections(request, one, lines, decision, change, asked=asked, anyone=anyone)
    decisions.sort(key=lambda decision: decision.decided_at)
    if any(not decision.approved for decision in decisions):
        return ApprovalReading(Stance.REJECTED, tuple(decisions), reason="the approval was rejected in RT")
    waiting_for = tuple({person: None for one in pending for person in asked_by(one) or ()})
    if reasons:
        return ApprovalReading(Stance.NONE, tuple(decisions), waiting_for, "; ".join(reasons))
    if pending:
        return ApprovalReading(Stance.PENDING, tuple(decisions), waiting_for)
    return ApprovalReading(Stance.APPROVED, tuple(decisions))


def _objections(
    request: TicketRow,
    approval: TicketRow,
    lines: Sequence[Transaction],
    decision: Transaction,
    change: Transaction | None,
    *,
    asked: tuple[Person, ...] | None,
    anyone: bool,
) -> Iterable[str]:
    name = f"approval {approval.id}"
    who = decision.creator
    if decision.by_rt:
        yield f"{name} was resolved by RT itself, not by a person"
    if change is not None and change.id > _asked_at(lines):
        yield (
            f"the request was changed (transaction {change.id}) after {name} was asked for, so the approver saw "
            "another one; reopen the approval and decide it again, or raise a new request"
        )
    if any(who.is_same(person) for person in request.requestors):
        yield f"{name} was given by a requestor of this ticket"
    elif who.is_same(request.creator):
        yield f"{name} was given by the person who created this ticket"
    if not who.email:
        yield (
            f"{name} was given by {who.name}, who has no proper address in RT, so nobody can tell whether it is their "
            "own account"
        )
    if not anyone and asked is None:
        yield f"nobody can tell whether {who.name} was asked for {name}: its group cannot be read (right SeeGroup)"
    elif not anyone and asked is not None and not any(who.is_same(person) for person in asked):
        yield f"{name} was given by {who.name}, who was not asked"


def _rows(request: TicketRow, approval: TicketRow, decision: Transaction, words: str) -> list[dict[str, str]]:
    """What a decision was read from, in RT's own field names: the approval, the line of its history, the words."""
    return [
        {
            "id": approval.id,
            "Type": approval.type,
            "Queue": approval.queue,
            "Subject": approval.subject,
            "Creator": user_name(approval.creator),
            "Created": approval.created.isoformat(),
            "DependedOnBy": request.id,
        },
        {
            "id": str(decision.id),
            "ObjectId": decision.ticket,
            "Type": decision.type,
            "OldValue": decision.old,
            "NewValue": decision.new,
            "Creator": user_name(decision.creator),
            "Created": decision.created.isoformat(),
        },
        {"TransactionId": str(decision.id), "Content": words},
    ]


def _decision(lines: Sequence[Transaction]) -> Transaction | None:
    """The newest change of status; the last one wins."""
    changes = [line for line in lines if line.type == "Status"]
    return changes[-1] if changes else None


def _asked_at(lines: Sequence[Transaction]) -> int:
    """The transaction with which the approver was asked: the creation, or the last reopening by a person."""
    asked = [
        line.id
        for line in lines
        if line.type == "Create"
        or (line.type == "Status" and line.old in ENDED and line.new not in ENDED and not line.by_rt)
    ]
    return max(asked, default=0)


def _words(lines: Sequence[Transaction], decision: Transaction) -> tuple[Transaction, ...]:
    """What the approver wrote for the request's people to read, since they were asked; comments are private."""
    since = _asked_at(lines)
    return tuple(
        line
        for line in lines
        if line.type == "Correspond" and line.id > since and line.creator.is_same(decision.creator)
    )
