"""What conditions may ask of a ticket, read from the record without spelling it, and which tickets to look at."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from sandbox.connectwise_conditions import Expression, Getter, Value, certain, compiled, parse
from sandbox.connectwise_desk import ConnectWiseDesk
from sandbox.connectwise_json import custom_value
from sandbox.connectwise_records import Rejected, Ticket

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z")


def moment_of(text: str) -> Value:
    """A date where the text is one, else the text."""
    return datetime.fromisoformat(text).astimezone(UTC) if _DATE.fullmatch(text) else text


def ticket_columns(desk: ConnectWiseDesk) -> dict[str, Getter]:
    """By lower-case path. `lastUpdated` and `dateEntered` can be asked although they stand in `_info` only."""

    def named(records: Mapping[int, Any], key: Callable[[Ticket], int | None], attribute: str) -> Getter:
        def read(ticket: Ticket) -> Value:
            number = key(ticket)
            value: Value = None
            if number is not None and number in records:
                value = getattr(records[number], attribute)
            return value

        return read

    references: dict[str, tuple[Mapping[int, Any], Callable[[Ticket], int | None]]] = {
        "board": (desk.boards, lambda ticket: ticket.board_id),
        "status": (desk.statuses, lambda ticket: ticket.status_id),
        "type": (desk.types, lambda ticket: ticket.type_id),
        "subtype": (desk.subtypes, lambda ticket: ticket.subtype_id),
        "team": (desk.teams, lambda ticket: ticket.team_id),
        "company": (desk.companies, lambda ticket: ticket.company_id),
        "contact": (desk.contacts, lambda ticket: ticket.contact_id),
        "owner": (desk.members, lambda ticket: ticket.owner_id),
        "priority": (desk.priorities, lambda ticket: ticket.priority_id),
        "source": (desk.sources, lambda ticket: ticket.source_id),
    }
    columns: dict[str, Getter] = {
        "id": lambda ticket: ticket.id,
        "summary": lambda ticket: ticket.summary,
        "recordtype": lambda ticket: ticket.record_type,
        "closedflag": lambda ticket: desk.statuses[ticket.status_id].closed,
        "closeddate": lambda ticket: ticket.closed_at,
        "closedby": lambda ticket: ticket.closed_by,
        "approved": lambda _ticket: True,
        "contactname": lambda ticket: ticket.contact_name,
        "contactemailaddress": lambda ticket: ticket.contact_email,
        "lastupdated": lambda ticket: ticket.updated_at,
        "dateentered": lambda ticket: ticket.created_at,
        "enteredby": lambda ticket: ticket.entered_by,
        "updatedby": lambda ticket: ticket.updated_by,
        "severity": lambda ticket: ticket.severity,
        "impact": lambda ticket: ticket.impact,
        "mergedparentticket": lambda ticket: ticket.merged_into,
        "mergedparentticket/id": lambda ticket: ticket.merged_into,
        "hasmergedchildticketflag": lambda ticket: ticket.has_merged_child,
        "parentticketid": lambda _ticket: None,
        "resources": lambda ticket: desk.members[ticket.owner_id].identifier if ticket.owner_id else None,
    }
    for name, (records, key) in references.items():
        # Reading the number needs no look-up, and a poll asks it of every ticket.
        columns[name] = columns[f"{name}/id"] = key
        columns[f"{name}/name"] = named(records, key, "name")
    columns["company/identifier"] = named(desk.companies, lambda ticket: ticket.company_id, "identifier")
    columns["owner/identifier"] = named(desk.members, lambda ticket: ticket.owner_id, "identifier")
    return columns


DATES = frozenset({"lastupdated", "dateentered", "closeddate"})
FLAGS = frozenset({"closedflag", "approved", "hasmergedchildticketflag"})


def kind_of(path: str, columns: Mapping[str, Getter]) -> type:
    """What a ticket's field holds: a date, a flag, a number or text."""
    if path in DATES:
        return datetime
    if path in FLAGS:
        return bool
    # A reference is its number.
    return float if path.endswith("id") or f"{path}/id" in columns else str


def chosen_tickets(desk: ConnectWiseDesk, query: Mapping[str, str]) -> list[Ticket]:
    """Those that `conditions` and `customFieldConditions` want, by number.

    Raises:
        Rejected: A condition cannot be read, or names an unknown field.
    """
    expression = parse(query.get("conditions", ""))
    columns = ticket_columns(desk)
    test = compiled(expression, columns, {path: kind_of(path, columns) for path in columns})
    custom = parse(query.get("customfieldconditions", ""))
    child = _custom_test(desk, custom)
    if query.get("childconditions"):
        raise Rejected(400, "ApiFindCondition", "Tickets have no lists to ask child conditions of.")
    found = [ticket for ticket in _candidates(desk, expression) if test(ticket) and child(ticket)]
    return sorted(found, key=lambda ticket: ticket.id)


def _candidates(desk: ConnectWiseDesk, expression: Expression | None) -> Iterable[Ticket]:
    """As few tickets as the certain parts of the condition allow."""
    types: set[int] | None = None
    since: datetime | None = None
    for one in certain(expression):
        values = {one.value} if one.operator == "=" else set(one.value) if one.operator == "in" else set()
        wanted = {value for value in values if isinstance(value, int)}
        if one.negated or one.value is None:
            continue
        if one.path == "id" and values:
            return desk.tickets.with_ids(wanted)
        if one.path in ("type/id", "type") and values:
            types = wanted
        if one.path == "lastupdated" and one.operator in (">", ">=") and isinstance(one.value, datetime):
            since = one.value
    if types is not None and (since is None or desk.tickets.count_of_types(types) < 1000):
        return desk.tickets.of_types(types)
    return desk.tickets.changed_since(since) if since is not None else desk.tickets.values()


def _property(name: str) -> Getter:
    return lambda row: row.get(name)


def _custom_test(desk: ConnectWiseDesk, expression: Expression | None) -> Callable[[Ticket], bool]:
    """`caption="Approval" AND value="Approved"`: both about the same field."""
    if expression is None:
        return lambda _ticket: True
    getters: dict[str, Getter] = {name: _property(name) for name in ("id", "caption", "value", "type")}
    test = compiled(expression, getters)

    def some(ticket: Ticket) -> bool:
        return any(test(custom_value(desk, one, ticket.custom.get(one.id))) for one in desk.fields.values())

    return some
