"""A `Psa` in memory. It passes `tests.contracts.psa.PsaContract`, like the real ones.

Trouble is ordered, not patched in: `raise_before` and `raise_after` make one coming call fail without or with its
effect; `on_call` sees every call twice (before and after its effect) and may raise whatever it likes.
"""

from __future__ import annotations

import threading
from collections import defaultdict, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal

from connector.core.case import Action, Approval, Person
from connector.core.evidence import digest_of
from connector.core.ports import (
    ApprovalReading,
    ChangedTicket,
    Changes,
    Clock,
    Finding,
    Level,
    Note,
    Push,
    Rules,
    Stance,
    StatusTarget,
    Ticket,
)
from connector.errors import PermanentError, PushRefused, TicketGone

Call = Literal["check", "changed", "raised_since", "read", "add_note", "has_note", "move"]
Moment = Literal["before", "after"]

REQUESTER = Person(name="Rita", email="rita@contoso.example.com", ids=frozenset({"fake.user:1"}))
APPROVER = Person(name="Anna", email="anna@contoso.example.com", ids=frozenset({"fake.user:2"}))
NEW, APPROVED, REJECTED = "New", "Approved", "Rejected"
CLOSED, HAND_OFF, RETRY, ALARM = "Closed", "Needs technician", "Retry reset", "Security alarm"
NORMAL, URGENT = "Normal", "Critical"


@dataclass(kw_only=True)
class FakeTicket:
    """One ticket; a test may change any of it (and calls `FakePsa.touch` where the list is to show the change).

    Attributes:
        stance: What the approval says; `None` reckons it from `decisions` and `approvers`.
        approval_reason: Why it is not a yes, as an adapter would say it.
        deleted: Out of sight from now on.
    """

    id: str
    created_at: datetime
    updated_at: datetime
    number: str = ""
    title: str = "Please reset"
    mapped: bool = True
    client_id: str = "12"
    client_name: str = "Contoso"
    requester: Person | None = REQUESTER
    subject_text: str = "lea@contoso.example.com"
    action: Action | None = Action.PASSWORD
    reason: str = ""
    status: str = NEW
    priority: str = NORMAL
    stance: Stance | None = None
    decisions: list[Approval] = field(default_factory=list)
    approvers: tuple[Person, ...] = (APPROVER,)
    approval_reason: str = ""
    request_changed_at: datetime | None = None
    subject_id: str = ""
    taken_by: str = ""
    also_not_approvers: tuple[Person, ...] = ()
    deleted: bool = False
    notes: list[Note] = field(default_factory=list)
    seq: int = 0

    def reading(self, psa: str) -> Ticket:
        """What `read` answers."""
        return Ticket(
            psa=psa,
            id=self.id,
            number=self.number or self.id,
            title=self.title,
            mapped=self.mapped,
            client_id=self.client_id,
            client_name=self.client_name,
            requester=self.requester,
            subject_text=self.subject_text if self.mapped else "",
            action=self.action if self.mapped else None,
            reason=self.reason,
            status=self.status,
            closed=self.status == CLOSED,
            retry_requested=self.status == RETRY,
            handed_off=self.status == HAND_OFF,
            approval=self._approval(),
            created_at=self.created_at,
            updated_at=self.updated_at,
            request_changed_at=self.request_changed_at,
            subject_id=self.subject_id,
            taken_by=self.taken_by,
            also_not_approvers=self.also_not_approvers,
            url=f"https://psa.example.com/ticket?id={self.id}",
        )

    def _approval(self) -> ApprovalReading:
        decided = {decision.approver for decision in self.decisions}
        waiting = tuple(person for person in self.approvers if person not in decided)
        if self.stance is not None:
            stance = self.stance
        elif any(not decision.approved for decision in self.decisions):
            stance = Stance.REJECTED
        elif self.decisions and not waiting:
            stance = Stance.APPROVED
        else:
            stance = Stance.PENDING if waiting else Stance.NONE
        return ApprovalReading(
            stance,
            decisions=tuple(sorted(self.decisions, key=lambda decision: decision.decided_at)),
            approvers=waiting,
            reason=self.approval_reason,
        )


class FakePsa:
    """Tickets in memory. Safe to share between threads.

    Everything that happens to a ticket, our own notes and moves included, makes it show up in the next `changed`,
    as it does in real systems.

    Attributes:
        tickets: By id.
        calls: Every call in order, refused ones too: its name and the ticket's id (or the cursor, or empty).
        notes: Every note written, in order, with the ticket's id.
        moves: Every status change made through the port, in order.
        statuses: The mapping's status for each target; `None` or absent means "leave it", and for an alarm "as a
            hand-off".
        alarm_priority: What the mapping names for alarms; empty leaves it.
        reopens: Whether a closed ticket may be brought into another status; alarms are refused where not.
        on_call: Called before and after the effect of each call; what it raises is what the caller sees.
        repeat_rows: `changed` tells every mapped ticket at every poll, as a careless overlap would.
        findings: What `check` yields instead of "all is well".
        push_word: What a push must bring as the header `x-word`; empty demands nothing.
    """

    def __init__(
        self,
        name: str = "halo",
        *,
        clock: Clock = lambda: datetime.now(UTC),
        rules: Rules | None = None,
    ) -> None:
        self.tickets: dict[str, FakeTicket] = {}
        self.calls: list[tuple[Call, str]] = []
        self.notes: list[tuple[str, Note]] = []
        self.moves: list[tuple[str, StatusTarget]] = []
        self.statuses: dict[StatusTarget, str | None] = {
            StatusTarget.CLOSED: CLOSED,
            StatusTarget.HAND_OFF: HAND_OFF,
            StatusTarget.ALARM: ALARM,
        }
        self.alarm_priority = URGENT
        self.reopens = True
        self.on_call: Callable[[Call, Moment], None] | None = None
        self.repeat_rows = False
        self.findings: list[Finding] = []
        self.push_word = ""
        self._name = name
        self._clock = clock
        self.rules = rules or Rules(approvers_listed=False)
        self._ordered: dict[tuple[Call, Moment], deque[Exception]] = defaultdict(deque)
        self._seq = 0
        self._lock = threading.RLock()

    # -- orders

    def raise_before(self, call: Call, *errors: Exception) -> None:
        """The next calls of this name fail one after the other, without an effect."""
        self._ordered[call, "before"].extend(errors)

    def raise_after(self, call: Call, *errors: Exception) -> None:
        """The next calls of this name have their effect and fail all the same."""
        self._ordered[call, "after"].extend(errors)

    # -- what people do

    def add_ticket(self, **fields: object) -> FakeTicket:
        """A new ticket; `fields` are those of `FakeTicket`. Ids count up from 4242 where none is given."""
        with self._lock:
            now = self._clock()
            id_ = str(fields.pop("id", 4242 + len(self.tickets)))
            ticket = FakeTicket(**{"id": id_, "created_at": now, "updated_at": now, **fields})  # type: ignore[arg-type]
            self.tickets[id_] = ticket
            self.touch(id_)
            return ticket

    def approve(
        self,
        ticket_id: str,
        approver: Person = APPROVER,
        at: datetime | None = None,
        *,
        comment: str = "",
        overridden: bool = False,
        delegated_by: Person | None = None,
    ) -> Approval:
        """The approver says yes, now or at the given moment."""
        return self._decide(ticket_id, approver, True, at, comment, overridden, delegated_by)

    def reject(
        self, ticket_id: str, approver: Person = APPROVER, at: datetime | None = None, *, comment: str = ""
    ) -> Approval:
        """The approver says no."""
        return self._decide(ticket_id, approver, False, at, comment, False, None)

    def change_subject(self, ticket_id: str, text: str) -> None:
        self._change_request(ticket_id).subject_text = text

    def change_action(self, ticket_id: str, action: Action | None) -> None:
        self._change_request(ticket_id).action = action

    def retype(self, ticket_id: str) -> None:
        """Make it a ticket of another type, which the mapping does not know."""
        self.tickets[ticket_id].mapped = False
        self.touch(ticket_id)

    def set_status(self, ticket_id: str, status: str) -> None:
        self.tickets[ticket_id].status = status
        self.touch(ticket_id)

    def close(self, ticket_id: str) -> None:
        """An agent closes it by hand."""
        self.set_status(ticket_id, CLOSED)

    def ask_retry(self, ticket_id: str) -> None:
        """An agent moves it to the retry status."""
        self.set_status(ticket_id, RETRY)

    def delete(self, ticket_id: str) -> None:
        self.tickets[ticket_id].deleted = True

    def touch(self, ticket_id: str) -> None:
        """Make the ticket show up in the next `changed`."""
        with self._lock:
            self._seq += 1
            self.tickets[ticket_id].seq = self._seq
            self.tickets[ticket_id].updated_at = self._clock()

    def notes_of(self, ticket_id: str) -> list[Note]:
        return list(self.tickets[ticket_id].notes)

    # -- the port

    @property
    def name(self) -> str:
        return self._name

    def check(self) -> Iterable[Finding]:
        self._at("check", "before", "")
        yield from self.findings or [Finding(Level.OK, f"psa.{self._name}", "The PSA answers.")]

    def changed(self, cursor: str | None) -> Changes:
        self._at("changed", "before", cursor or "")
        with self._lock:
            since = 0 if self.repeat_rows or cursor is None else int(cursor)
            rows = [
                ticket
                for ticket in self.tickets.values()
                if ticket.mapped
                and not ticket.deleted
                and ticket.seq > since
                and (cursor is not None or ticket.status != CLOSED)
            ]
            changes = Changes(
                tuple(ChangedTicket(ticket.id, ticket.number or ticket.id) for ticket in rows), str(self._seq)
            )
        self._at("changed", "after", cursor or "")
        return changes

    def raised_since(self, since: datetime) -> list[ChangedTicket]:
        self._at("raised_since", "before", "")
        with self._lock:
            rows = [one for one in self.tickets.values() if one.mapped and not one.deleted and one.created_at >= since]
            rows.sort(key=lambda one: one.created_at)
            return [ChangedTicket(one.id, one.number or one.id) for one in rows]

    def heard(self, push: Push) -> list[str]:
        """A push names its ticket in the query, and proves itself by the header `x-word`, where one is set."""
        if self.push_word and push.headers.get("x-word") != self.push_word:
            raise PushRefused(f"{self._name} refused a push without the right word. Send x-word.")
        return [push.query["ticket"]] if "ticket" in push.query else []

    def read(self, ticket_id: str) -> Ticket:
        self._at("read", "before", ticket_id)
        with self._lock:
            reading = self._get(ticket_id).reading(self._name)
        self._at("read", "after", ticket_id)
        return reading

    def add_note(self, ticket_id: str, note: Note) -> None:
        self._at("add_note", "before", ticket_id)
        with self._lock:
            self._get(ticket_id).notes.append(note)
            self.notes.append((ticket_id, note))
            self.touch(ticket_id)
        self._at("add_note", "after", ticket_id)

    def has_note(self, ticket_id: str, marker: str) -> bool:
        self._at("has_note", "before", ticket_id)
        with self._lock:
            found = any(note.marker == marker for note in self._get(ticket_id).notes)
        self._at("has_note", "after", ticket_id)
        return found

    def move(self, ticket_id: str, target: StatusTarget) -> bool:
        self._at("move", "before", ticket_id)
        with self._lock:
            ticket = self._get(ticket_id)
            alarm = target is StatusTarget.ALARM
            status = self.statuses.get(target) or (self.statuses.get(StatusTarget.HAND_OFF) if alarm else None)
            priority = self.alarm_priority if alarm and status else ""
            if alarm and status and ticket.status == CLOSED and not self.reopens:
                raise PermanentError(
                    f"{self._name} keeps closed tickets closed: open ticket {ticket_id} again, set it to {status!r}, "
                    f"priority {priority!r}."
                )
            if status and (ticket.status != status or ticket.priority != (priority or ticket.priority)):
                self.moves.append((ticket_id, target))
                ticket.priority = priority or ticket.priority
                self.set_status(ticket_id, status)
        self._at("move", "after", ticket_id)
        return status is not None

    # -- inside

    def _decide(
        self,
        ticket_id: str,
        approver: Person,
        approved: bool,
        at: datetime | None,
        comment: str,
        overridden: bool,
        delegated_by: Person | None,
    ) -> Approval:
        with self._lock:
            ticket = self.tickets[ticket_id]
            decision = Approval(
                approver=approver,
                approved=approved,
                decided_at=at or self._clock(),
                comment=comment,
                step="Manager",
                overridden=overridden,
                delegated_by=delegated_by,
                evidence=f"fake approval {ticket_id}/{len(ticket.decisions) + 1}",
                digest=digest_of([{"ticket": ticket_id, "number": str(len(ticket.decisions) + 1)}]),
            )
            ticket.decisions.append(decision)
            self.set_status(ticket_id, APPROVED if approved else REJECTED)
            return decision

    def _change_request(self, ticket_id: str) -> FakeTicket:
        ticket = self.tickets[ticket_id]
        ticket.request_changed_at = self._clock()
        self.touch(ticket_id)
        return ticket

    def _at(self, call: Call, moment: Moment, about: str) -> None:
        if moment == "before":
            self.calls.append((call, about))
        if self.on_call:
            self.on_call(call, moment)
        if self._ordered[call, moment]:
            raise self._ordered[call, moment].popleft()

    def _get(self, ticket_id: str) -> FakeTicket:
        ticket = self.tickets.get(ticket_id)
        if ticket is None or ticket.deleted:
            raise TicketGone(f"{self._name} has no ticket {ticket_id} any more. It may have been deleted or merged.")
        return ticket
