"""HaloPSA's approvals as records of their own: `TicketApproval`.

Sources, read 2026-11-22: Halo guide 2345; the swagger. *What the list answers without a ticket is a guess: all rows.*
"""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from sandbox import halo_json as spell
from sandbox.desk_records import NotThere
from sandbox.halo_request import array_of, is_true, number_in, path_id, query_of, whole
from sandbox.halo_settings import API_AGENT, Handler
from sandbox.world import World


class Approvals:
    """The handlers; one instance per world."""

    def __init__(self, world: World) -> None:
        self.world = world

    def routes(self) -> list[tuple[str, str, Handler]]:
        return [
            ("GET", "/api/ticketapproval", self.list_approvals),
            ("POST", "/api/ticketapproval", self.post_approvals),
            ("GET", "/api/ticketapproval/{id}", self.get_approval),
        ]

    async def list_approvals(self, request: Request) -> Response:
        query = query_of(request)
        desk = self.world.desk
        tickets = (
            [desk.ticket(number_in(query, "ticket_id", 0))] if "ticket_id" in query else list(desk.tickets.values())
        )
        mine = is_true(query.get("mine"))
        number = number_in(query, "action_number", 0)
        rows = [
            spell.approval_row(desk, ticket, row)
            for ticket in tickets
            for row in ticket.approvals
            if (not number or row.action_number == number) and (not mine or row.agent_id == API_AGENT)
        ]
        return JSONResponse(rows)

    async def get_approval(self, request: Request) -> Response:
        wanted = path_id(request)
        for ticket in self.world.desk.tickets.values():
            for row in ticket.approvals:
                if row.id == wanted:
                    return JSONResponse(spell.approval_row(self.world.desk, ticket, row))
        raise NotThere("approval")

    async def post_approvals(self, request: Request) -> Response:
        """The API agent answers somebody's approval: recorded as overridden. A connector must never do this."""
        answer: dict[str, Any] = {}
        for index, body in enumerate(await array_of(request)):
            ticket = self.world.desk.ticket(whole(body, "ticket_id", index))
            row = next((r for r in ticket.approvals if r.seq == body.get("seq") and r.result is None), None)
            if row is None:
                raise NotThere("approval")
            approve = whole(body, "result", index) == 1
            voted = self.world.desk.vote(ticket, approve=approve, approver=row.email, override_agent=API_AGENT)
            answer = spell.approval_row(self.world.desk, ticket, voted)
        return JSONResponse(answer, status_code=201)
