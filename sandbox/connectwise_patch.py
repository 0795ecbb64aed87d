"""ConnectWise's PATCH of a ticket: a bare array of `{op, path, value}`, all or nothing.

Sources, read 2026-11-22: the Developer Guide; amp-labs/connectors (array places in a path, tried on a live server).
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

from sandbox.connectwise_call import reference_in
from sandbox.connectwise_desk import ConnectWiseDesk
from sandbox.connectwise_records import Actor, NoRecord, Rejected, Ticket, invalid

IGNORED = frozenset({"processNotifications", "skipCallback", "customerUpdatedFlag", "resources"})
"""Taken without an effect that this sandbox would show."""


@dataclass(frozen=True)
class Operation:
    """`path` has no leading slash: both spellings are in use."""

    op: str
    path: str
    value: Any


def operations_in(body: Any) -> list[Operation]:
    """The operations of a PATCH.

    Raises:
        Rejected: Not a bare array of operations.
    """
    if not isinstance(body, list) or not all(isinstance(item, dict) for item in body):
        raise Rejected(400, "InvalidObject", "patch operations are a list")
    operations = []
    for item in body:
        op, path = item.get("op"), item.get("path")
        if op not in ("add", "replace", "remove") or not isinstance(path, str):
            raise Rejected(400, "InvalidObject", "a patch operation has an op of add, replace or remove, and a path")
        operations.append(Operation(op, path.removeprefix("/"), None if op == "remove" else item.get("value")))
    return operations


def apply(desk: ConnectWiseDesk, ticket: Ticket, operations: list[Operation], actor: Actor) -> None:
    """Carry out all operations, or none of them.

    Raises:
        Rejected: One of them is refused; the ticket is as it was.
    """
    before = copy.copy(ticket)
    before.custom, before.audit = dict(ticket.custom), list(ticket.audit)
    try:
        for operation in operations:
            _apply(desk, ticket, operation, actor)
    except Rejected:
        desk.tickets.retype(ticket, before.type_id)
        for one in fields(ticket):
            setattr(ticket, one.name, getattr(before, one.name))
        raise


def _apply(desk: ConnectWiseDesk, ticket: Ticket, operation: Operation, actor: Actor) -> None:
    head, _, rest = operation.path.partition("/")
    if head == "customFields":
        _custom_fields(desk, ticket, operation, rest, actor)
        return
    if head in IGNORED:
        return
    setter = _SETTERS.get(head)
    if setter is None:
        # The path is case-sensitive, says the guide; the words of the refusal are UNVERIFIED.
        raise invalid("ticket", operation.path, f"{operation.path} is not a property of the ticket")
    if rest:
        # "You may receive a false 200": a part of a reference is taken and nothing happens.
        return
    setter(desk, ticket, operation, actor)


def _summary(desk: ConnectWiseDesk, ticket: Ticket, operation: Operation, actor: Actor) -> None:
    text = operation.value
    if not isinstance(text, str) or not text or len(text) > 100:
        raise invalid("ticket", "summary", "The summary field has 1 to 100 characters.")
    desk.trail(ticket, "Summary", ticket.summary, text, actor)
    ticket.summary = text


def _status(desk: ConnectWiseDesk, ticket: Ticket, operation: Operation, actor: Actor) -> None:
    key = _key(operation, "status")
    own = [one for one in desk.statuses.values() if one.board_id == ticket.board_id]
    found = next((one for one in own if key in (one.id, one.name)), None)
    if found is None and key in desk.statuses and desk.habits.wrong_board_status == "ignore":
        return
    if found is not None and desk.is_closed(ticket) and not found.closed and desk.habits.reopening != "allow":
        # How a board that keeps its tickets closed answers is UNVERIFIED, words and all.
        if desk.habits.reopening == "forbid":
            raise Rejected(403, "ConnectWiseApi", "You do not have security permission to perform this action.")
        if desk.habits.reopening == "refuse":
            raise invalid("ticket", "status/id", "This ticket is closed and cannot be reopened.")
        return
    desk.set_status(ticket, found.id if found else -1, actor)


def _board(desk: ConnectWiseDesk, ticket: Ticket, operation: Operation, actor: Actor) -> None:
    desk.set_board(ticket, _found(desk.board_named, _key(operation, "board"), "board/id"), actor)


def _type(desk: ConnectWiseDesk, ticket: Ticket, operation: Operation, actor: Actor) -> None:
    if operation.value is None:
        desk.set_type(ticket, None, actor)
        return
    key = _key(operation, "type")
    desk.set_type(ticket, _found(lambda name: desk.type_named(ticket.board_id, name), key, "type/id"), actor)


def _subtype(desk: ConnectWiseDesk, ticket: Ticket, operation: Operation, _actor: Actor) -> None:
    key = _key(operation, "subType") if operation.value is not None else None
    found = next(
        (o.id for o in desk.subtypes.values() if o.board_id == ticket.board_id and key in (o.id, o.name)), None
    )
    if key is not None and found is None:
        raise invalid("ticket", "subType/id", f"SubType {key} not found", "NotFound")
    ticket.subtype_id = found


def _team(desk: ConnectWiseDesk, ticket: Ticket, operation: Operation, _actor: Actor) -> None:
    key = _key(operation, "team") if operation.value is not None else None
    found = next((o.id for o in desk.teams.values() if o.board_id == ticket.board_id and key in (o.id, o.name)), None)
    if key is not None and found is None:
        raise invalid("ticket", "team/id", f"Team {key} not found", "NotFound")
    ticket.team_id = found


def _company(desk: ConnectWiseDesk, ticket: Ticket, operation: Operation, actor: Actor) -> None:
    desk.set_company(ticket, _found(desk.company_named, _key(operation, "company"), "company/id"), actor)


def _contact(desk: ConnectWiseDesk, ticket: Ticket, operation: Operation, actor: Actor) -> None:
    key = _key(operation, "contact") if operation.value is not None else None
    if key is not None and not isinstance(key, int):
        raise invalid("ticket", "contact/id", f"Contact {key} not found", "NotFound")
    desk.set_contact(ticket, key, actor)


def _owner(desk: ConnectWiseDesk, ticket: Ticket, operation: Operation, actor: Actor) -> None:
    key = _key(operation, "owner") if operation.value is not None else None
    if isinstance(key, str):
        member = desk.member_with(key)
        key = member.id if member else -1
    desk.set_owner(ticket, key, actor)


def _priority(desk: ConnectWiseDesk, ticket: Ticket, operation: Operation, actor: Actor) -> None:
    key = _key(operation, "priority")
    found = next((one for one in desk.priorities.values() if key in (one.id, one.name)), None)
    if found is None:
        raise invalid("ticket", "priority/id", f"Priority {key} not found", "NotFound")
    desk.trail(ticket, "Priority", desk.priorities[ticket.priority_id].name, found.name, actor)
    ticket.priority_id = found.id


def _weight(_desk: ConnectWiseDesk, ticket: Ticket, operation: Operation, _actor: Actor) -> None:
    if operation.value not in ("Low", "Medium", "High"):
        raise invalid("ticket", operation.path, f"{operation.path} is Low, Medium or High")
    setattr(ticket, operation.path, operation.value)


def _contact_text(_desk: ConnectWiseDesk, ticket: Ticket, operation: Operation, _actor: Actor) -> None:
    text = None if operation.value is None else str(operation.value)
    if operation.path == "contactName":
        ticket.contact_name = text
    else:
        ticket.contact_email = text


_SETTERS: dict[str, Callable[[ConnectWiseDesk, Ticket, Operation, Actor], None]] = {
    "summary": _summary,
    "status": _status,
    "board": _board,
    "type": _type,
    "subType": _subtype,
    "team": _team,
    "company": _company,
    "contact": _contact,
    "owner": _owner,
    "priority": _priority,
    "severity": _weight,
    "impact": _weight,
    "contactName": _contact_text,
    "contactEmailAddress": _contact_text,
}


def _custom_fields(desk: ConnectWiseDesk, ticket: Ticket, operation: Operation, rest: str, actor: Actor) -> None:
    """The whole array, or one place of it as `customFields/0/value`."""
    if rest:
        place, _, name = rest.partition("/")
        known = list(desk.fields)
        if name != "value" or not place.isdigit() or int(place) >= len(known):
            raise invalid("ticket", operation.path, f"{operation.path} is not a property of the ticket")
        desk.set_custom(ticket, known[int(place)], _text(operation.value), actor)
        return
    if not isinstance(operation.value, list) or not all(isinstance(item, dict) for item in operation.value):
        raise invalid("ticket", "customFields", "customFields is a list")
    named = {item.get("id"): item.get("value") for item in operation.value}
    for field_id, value in named.items():
        desk.set_custom(ticket, field_id if isinstance(field_id, int) else -1, _text(value), actor)
    if desk.habits.custom_fields_left_out == "clear":
        for field_id in set(ticket.custom) - set(named):
            desk.set_custom(ticket, field_id, None, actor)


def _text(value: Any) -> str | None:
    return None if value is None or value == "" else str(value)


def _key(operation: Operation, name: str) -> Any:
    """What the reference names; a bare number or word is no reference."""
    key = reference_in({name: operation.value}, name, "ticket")
    if key is None:
        raise invalid("ticket", f"{name}/id", f"The {name} field is required.", "MissingRequiredField")
    return key


def _found(find: Callable[[Any], Any], key: Any, path: str) -> int:
    try:
        return int(find(key).id)
    except NoRecord:
        raise invalid("ticket", path, f"{path.partition('/')[0].title()} {key} not found", "NotFound") from None
