"""What exists in HaloPSA, as far as a mapping's names need it.

Lists come bare or in an envelope, so both are read. Sources: CIPP-API, redanthrax/halopsa-mcp, panoramicdata/
HaloPsa.Api, the public Halo swagger; read 2026-11-22.
"""

from __future__ import annotations

from collections.abc import Callable

from connector.psa.halopsa.api import HaloApi
from connector.psa.halopsa.values import Record, flag, identifier, number, records, text
from connector.psa.mapping import Named

TICKET_STATUS = ("", "0", "ticket")
"""`type` of a status that tickets can have; opportunities, tasks and others have their own "Closed"."""


def ticket_types(api: HaloApi) -> list[Named]:
    return _named(records(api.get("TicketType", {"showall": "true"}).body, "tickettypes"), _name)


def statuses(api: HaloApi) -> list[Named]:
    """Statuses of tickets; every status where none says that it is one of tickets."""
    rows = records(api.get("Status").body, "statuses")
    of_tickets = [row for row in rows if text(row, "type").strip().casefold() in TICKET_STATUS]
    return _named(of_tickets or rows, _name)


def outcomes(api: HaloApi) -> list[Named]:
    return outcomes_in(outcome_rows(api))


def outcome_rows(api: HaloApi) -> list[Record]:
    return records(api.get("Outcome", {"showhidden": "true"}).body, "outcomes")


def outcomes_in(rows: list[Record]) -> list[Named]:
    """Action outcomes; the button's label is another way to name one."""
    return _named(rows, lambda row: text(row, "outcome") or text(row, "name"), lambda row: text(row, "buttonname"))


def teams(api: HaloApi) -> list[Named]:
    """Teams of tickets. The list is not in the public description's part that we check our traffic against; its
    address and shape are those of homotechsual/HaloAPI's Get-HaloTeam, read 2026-11-22."""
    return _named(records(api.get("Team").body, "teams"), _name)


def agents(api: HaloApi) -> list[Named]:
    """Agents, by name or e-mail address. Source: homotechsual/HaloAPI's Get-HaloAgent, read 2026-11-22."""
    return _named(records(api.get("Agent").body, "agents"), _name, lambda row: text(row, "email"))


def priorities(api: HaloApi) -> dict[int, list[Named]]:
    """Priorities by the number of their service level agreement (SLA).

    A row's `id` is a GUID; a ticket holds its `priorityid`, which is unique within one SLA only. Sources: GET /Priority
    in the public Halo swagger ("List of Policy"; not in the part that we check our traffic against); a real priority in
    the answer of POST /Tickets in uktrade/help-desk-service; read 2026-11-22.
    """
    found: dict[int, list[Named]] = {}
    for row in records(api.get("Priority").body, "priorities"):
        agreement, priority = number(row.get("slaid")), identifier(row, "priorityid")
        if priority is not None and text(row, "name") and not flag(row, "ishidden"):
            found.setdefault(agreement or 0, []).append(Named(str(priority), text(row, "name")))
    return found


def processes(api: HaloApi) -> list[Named]:
    return _named(records(api.get("ApprovalProcess").body, "approvalprocesses"), _name)


def fields(api: HaloApi) -> list[Named]:
    return _named(records(api.get("FieldInfo").body, "fields"), _name)


def _named(
    rows: list[Record], name: Callable[[Record], str], alias: Callable[[Record], str] | None = None
) -> list[Named]:
    named = []
    for row in rows:
        id_ = identifier(row, "id")
        if id_ is not None and name(row):
            other = alias(row) if alias else ""
            named.append(Named(str(id_), name(row), (other,) if other else ()))
    return named


def _name(row: Record) -> str:
    return text(row, "name")
