"""Which tickets and users a list call means: known parameters become tests, unknown ones are ignored.

An index answers for the type of ticket, and rows are built for the shown page only, so that a hundred thousand tickets
cost little. Sources, read 2026-11-22: the public Halo swagger; panoramicdata/HaloPsa.Api; CIPP-API for
`advanced_search`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from sandbox.desk import Desk
from sandbox.desk_records import Contact, Refusal, Ticket
from sandbox.halo_request import is_true, moment_in, numbers_in

Query = Mapping[str, str]
Test = Callable[[Ticket], bool]

LEAST = timedelta(milliseconds=1)
CONTAINS, EQUALS = 4, 2
"""`filter_type` of an advanced search. Source: CIPP-API and a Rust client."""


def tickets(desk: Desk, query: dict[str, str]) -> list[Ticket]:
    """The wanted tickets in the wanted order."""
    tests = _tests(desk, query)
    found = [ticket for ticket in _candidates(desk, query) if all(test(ticket) for test in tests)]
    _sort(found, query)
    return found


def _candidates(desk: Desk, query: Query) -> Iterable[Ticket]:
    wanted = [set(numbers_in(query[name])) for name in ("requesttype_id", "requesttype") if query.get(name)]
    if not wanted:
        return desk.tickets.values()
    return [ticket for type_id in set.intersection(*wanted) for ticket in desk.by_type.get(type_id, {}).values()]


def _tests(desk: Desk, query: dict[str, str]) -> list[Test]:
    tests: list[Test] = [lambda ticket: not ticket.deleted]
    numbers: dict[str, Callable[[Ticket], int | None]] = {
        "status_id": lambda ticket: ticket.status_id,
        "status": lambda ticket: ticket.status_id,
        "client_id": lambda ticket: ticket.client_id,
        "client_ids": lambda ticket: ticket.client_id,
        "user_id": lambda ticket: ticket.contact_id,
        "agent_id": lambda ticket: ticket.agent_id,
        "agent": lambda ticket: ticket.agent_id,
        "ticketids": lambda ticket: ticket.id,
    }
    for name, read in numbers.items():
        if query.get(name):
            tests.append(_one_of(read, set(numbers_in(query[name]))))
    if team := query.get("team", "").lower():
        names = {one.name.lower() for one in desk.teams.values() if team in (str(one.id), one.name.lower())}
        tests.append(lambda ticket: ticket.team.lower() in names)
    if is_true(query.get("open_only")):
        tests.append(lambda ticket: not desk.is_closed(ticket))
    if is_true(query.get("closed_only")):
        tests.append(desk.is_closed)
    tests += _date_tests(query, exclusive=desk.habits.exclusive_bounds)
    if search := query.get("search", "").lower():
        tests.append(lambda ticket: search in ticket.summary.lower() or search == str(ticket.id))
    if summary := query.get("search_summary", "").lower():
        tests.append(lambda ticket: summary in ticket.summary.lower())
    if query.get("includeapproval", "") in ("0", "1"):
        # "1 = approval, 0 = not approval" says the swagger; read here as "is an approval awaited".
        awaited = query["includeapproval"] == "1"
        tests.append(lambda ticket: (ticket.id in desk.waiting_for) == awaited)
    for name, fits in _advanced(query, TICKET_PROPERTIES):
        tests.append(_text_test(TICKET_PROPERTIES[name], fits))
    return tests


def _one_of(read: Callable[[Ticket], int | None], wanted: set[int]) -> Test:
    return lambda ticket: read(ticket) in wanted


def _text_test(read: Callable[[Ticket], object], fits: Callable[[str], bool]) -> Test:
    return lambda ticket: fits(str(read(ticket)))


def _date_tests(query: dict[str, str], *, exclusive: bool) -> list[Test]:
    """Changed since and until, both bounds inclusive unless a habit says otherwise, and what `datesearch` names.

    An unknown `datesearch`, such as the one with two r, is ignored with its dates.
    """
    tests: list[Test] = []
    since, until = moment_in(query, "lastupdatefromdate"), moment_in(query, "lastupdatetodate")
    if since is not None:
        tests.append(_from(lambda ticket: ticket.updated_at, since + LEAST if exclusive else since))
    if until is not None:
        tests.append(_to(lambda ticket: ticket.updated_at, until - LEAST if exclusive else until))
    by_name: dict[str, Callable[[Ticket], datetime | None]] = {
        "dateoccured": lambda ticket: ticket.created_at,
        "datecleared": lambda ticket: ticket.closed_at,
    }
    read = by_name.get(query.get("datesearch", "").lower())
    if read is not None:
        start, end = moment_in(query, "startdate"), moment_in(query, "enddate")
        tests.append(lambda ticket: read(ticket) is not None)
        if start is not None:
            tests.append(_from(read, start))
        if end is not None:
            tests.append(_to(read, end))
    return tests


def _from(read: Callable[[Ticket], datetime | None], bound: datetime) -> Test:
    return lambda ticket: (moment := read(ticket)) is not None and _shown(moment) >= bound


def _to(read: Callable[[Ticket], datetime | None], bound: datetime) -> Test:
    return lambda ticket: (moment := read(ticket)) is not None and _shown(moment) <= bound


def _shown(moment: datetime) -> datetime:
    # List rows carry three decimals, so the comparison does too.
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def _sort(found: list[Ticket], query: Query) -> None:
    keys: dict[str, Callable[[Ticket], Any]] = {
        "id": lambda ticket: ticket.id,
        "dateoccurred": lambda ticket: ticket.created_at,
        "last_update": lambda ticket: ticket.updated_at,
        "lastactiondate": lambda ticket: ticket.updated_at,
        "summary": lambda ticket: ticket.summary.lower(),
        "status_id": lambda ticket: ticket.status_id,
    }
    order = query.get("order", "").lower()
    descending = is_true(query.get("orderdesc")) if order in keys else True
    found.sort(key=keys.get(order, keys["id"]), reverse=descending)


# -- users --------------------------------------------------------------------------------------------------------


def users(desk: Desk, query: dict[str, str]) -> list[Contact]:
    """The wanted users. The plain search looks at name, mail address and login, never at `azureoid`."""
    clients = set(numbers_in(query.get("client_id", "")))
    search = query.get("search", "").lower()
    advanced = _advanced(query, USER_PROPERTIES)
    return [
        contact
        for contact in desk.contacts.values()
        if (not clients or contact.client_id in clients)
        and not (contact.inactive and query.get("includeinactive", "").lower() == "false")
        and not (not contact.inactive and query.get("includeactive", "").lower() == "false")
        and any(search in text.lower() for text in (contact.name, contact.email, contact.login or ""))
        and all(fits(str(USER_PROPERTIES[name](contact) or "")) for name, fits in advanced)
    ]


TICKET_PROPERTIES: dict[str, Callable[[Ticket], object]] = {
    "summary": lambda ticket: ticket.summary,
    "details": lambda ticket: ticket.details,
    "status_id": lambda ticket: ticket.status_id,
    "tickettype_id": lambda ticket: ticket.type_id,
    "client_id": lambda ticket: ticket.client_id,
    "team": lambda ticket: ticket.team,
}
USER_PROPERTIES: dict[str, Callable[[Contact], object]] = {
    "azureoid": lambda contact: contact.azure_id,
    "emailaddress": lambda contact: contact.email,
    "login": lambda contact: contact.login or contact.email,
    "name": lambda contact: contact.name,
    "client_id": lambda contact: contact.client_id,
}


def _advanced(query: Query, known: Mapping[str, object]) -> list[tuple[str, Callable[[str], bool]]]:
    """The filters of `advanced_search`; an unknown field is refused, as CIPP reports."""
    text = query.get("advanced_search")
    if not text:
        return []
    try:
        filters = json.loads(text)
        read = [
            (str(one["filter_name"]).lower(), int(one["filter_type"]), str(one["filter_value"]).lower())
            for one in filters
        ]
    except (ValueError, KeyError, TypeError):
        raise Refusal("Invalid advanced search parameter") from None
    if any(name not in known or kind not in (CONTAINS, EQUALS) for name, kind, _ in read):
        raise Refusal("Invalid advanced search parameter")
    return [(name, _fitting(kind, wanted)) for name, kind, wanted in read]


def _fitting(kind: int, wanted: str) -> Callable[[str], bool]:
    return lambda text: wanted == text.lower() if kind == EQUALS else wanted in text.lower()
