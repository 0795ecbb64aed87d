"""What a mapping means for Request Tracker's tickets."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from pydantic import Field, model_validator

from connector.core.case import Action
from connector.psa.mapping import ApprovalRules, FieldSource, Name, PsaMapping, Request
from connector.psa.requesttracker.approval import ENDED
from connector.psa.requesttracker.rest import TicketRow, any_of, fold, quoted

SUBJECT_LINE = "Subject"
"""Written as a field, it means the ticket's own subject line, unless a custom field has that name."""


class RequestTrackerRequest(Request):
    queue: Name

    @property
    def selector(self) -> tuple[str, ...]:
        return (self.queue,)


class RequestTrackerMapping(PsaMapping):
    """`kind: requesttracker`. The approval itself stands in RT's approval queue, so no status needs to be named.

    Attributes:
        client: The field that names the customer. Without it the queue's name does (one queue per customer).
        claim: The connector takes a ticket when it begins to work on it, so that agents see who does. Of two
            connectors one wins. A ticket that a person owns is left to that person: `Ticket.taken_by`. A hand-off gives
            it to the mapped owner, or back to nobody.
    """

    requests: Annotated[tuple[RequestTrackerRequest, ...], Field(min_length=1)]
    approval: ApprovalRules = ApprovalRules()
    client: FieldSource | None = None
    claim: bool = False

    @model_validator(mode="after")
    def _alarm_is_open(self) -> RequestTrackerMapping:
        if self.statuses.alarm and fold(self.statuses.alarm) in ENDED:
            raise ValueError(f"statuses.alarm: a ticket that is {self.statuses.alarm} has ended: name an active status")
        return self

    @model_validator(mode="after")
    def _no_team(self) -> RequestTrackerMapping:
        # A team is a queue in RT. In another queue the ticket is no request of ours any more: nothing would be read
        # there, not the retry status either, and its case would end.
        for place, rules in (("hand_off", self.hand_off), ("alarm", self.alarm)):
            if rules.team is not None:
                raise ValueError(
                    f"{place}.team: in Request Tracker that would move the ticket to another queue, where it is no "
                    f"longer a mapped request. Name an owner, or let a scrip act on the {place} status"
                )
        return self


def request_of(mapping: RequestTrackerMapping, row: TicketRow) -> RequestTrackerRequest | None:
    """The mapped request that a ticket is; `None` when it is none of ours.

    A queue holds all kinds of tickets, so one whose field says none of the mapped values is not ours. One whose field
    says two of them that mean different things is ours, with an unclear action.
    """
    if row.type != "ticket":
        return None
    for request in mapping.requests:
        if fold(request.queue) not in (fold(row.queue), row.queue_id):
            continue
        if request.action.always is not None:
            return request
        known = {fold(text) for text in request.action.values}
        if any(fold(text) in known for text in texts(row, request.action.field or "")):
            return request
    return None


def action_of(request: RequestTrackerRequest, row: TicketRow) -> Action | None:
    """What is asked for; `None` when the field says nothing known, or two things at once."""
    return request.action.action_for(*texts(row, request.action.field or ""))


def texts(row: TicketRow, field: str) -> tuple[str, ...]:
    """The values of a field of a ticket."""
    custom = row.field(field)
    if custom is not None:
        return custom.values
    return (row.subject,) if fold(field) == fold(SUBJECT_LINE) and row.subject else ()


def text(row: TicketRow, source: FieldSource | None) -> str:
    """The same as one text; several values are separated by newlines, so that two addresses stay two."""
    return "\n".join(texts(row, source.field)) if source else ""


def client_of(mapping: RequestTrackerMapping, row: TicketRow) -> str:
    """The customer's key: the value of the client field, or the queue's name. Empty when the field is empty."""
    return text(row, mapping.client).strip() if mapping.client else row.queue


def fields_of(mapping: RequestTrackerMapping, request: RequestTrackerRequest) -> Iterator[tuple[str, str]]:
    """Every field that a request is made of: its place in the mapping and its name."""
    if request.action.field:
        yield "action.field", request.action.field
    yield "subject.field", request.subject.field
    if request.reason:
        yield "reason.field", request.reason.field
    if mapping.client:
        yield "client.field", mapping.client.field


def watched(mapping: RequestTrackerMapping, request: RequestTrackerRequest, row: TicketRow) -> frozenset[str]:
    """What RT's history calls the fields whose change makes another request: custom field ids, `Subject`.

    The reason counts too: the approver read it.
    """
    names: set[str] = set()
    for _, name in fields_of(mapping, request):
        custom = row.field(name)
        names.add(custom.id if custom else SUBJECT_LINE if fold(name) == fold(SUBJECT_LINE) else name)
    return frozenset(names)


def is_status(status: str, mapped: str | None) -> bool:
    """Whether a ticket's status is the one that the mapping names."""
    return mapped is not None and fold(status) == fold(mapped)


def is_number(priority: str) -> bool:
    """Whether the mapping gives a priority as RT keeps it; otherwise it is one of RT's names for priorities."""
    return priority.isascii() and priority.isdigit()


def our_queues(mapping: RequestTrackerMapping) -> str:
    """TicketSQL for tickets in the mapped queues."""
    queues = sorted({request.queue for request in mapping.requests})
    return f"(Type = 'ticket' AND {any_of('Queue', queues)})"


def our_requests(mapping: RequestTrackerMapping) -> str:
    """TicketSQL for tickets of the mapped requests, to keep the full listing short; rows are checked again."""
    parts = []
    for request in mapping.requests:
        part = f"Queue = {quoted(request.queue)}"
        field = request.action.field
        if field and fold(field) != fold(SUBJECT_LINE) and not set("{}") & set(field):
            part += f" AND {any_of(quoted('CF.{' + field + '}'), sorted(request.action.values))}"
        parts.append(f"({part})")
    return f"(Type = 'ticket' AND ({' OR '.join(parts)}))"
