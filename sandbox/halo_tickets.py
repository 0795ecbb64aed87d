"""HaloPSA's tickets: listed, read, logged and changed.

Sources, read 2026-11-22: the public Halo swagger; uktrade/help-desk-service. A write is an array and answers the last
object; *that an unknown team, agent or priority is passed over in silence is a guess*, the unkinder one.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from sandbox import desk_rules, halo_query
from sandbox import halo_json as spell
from sandbox.desk_records import CustomField, Refusal, Ticket
from sandbox.halo_request import Denied, array_of, is_true, numbers_in, path_id, query_of, whole
from sandbox.halo_settings import Handler, paged
from sandbox.world import World


class Tickets:
    """The handlers; one instance per world."""

    def __init__(self, world: World) -> None:
        self.world = world

    def routes(self) -> list[tuple[str, str, Handler]]:
        return [
            ("GET", "/api/tickets", self.list_tickets),
            ("POST", "/api/tickets", self.post_tickets),
            ("GET", "/api/tickets/{id}", self.get_ticket),
        ]

    async def list_tickets(self, request: Request) -> Response:
        query = query_of(request)
        build = partial(
            spell.ticket_row,
            self.world.desk,
            status=is_true(query.get("includestatus")),
            agent=is_true(query.get("includeagent")),
            fields=set(numbers_in(query.get("include_custom_fields", ""))),
        )
        found = [] if self.world.desk.habits.without_teams else halo_query.tickets(self.world.desk, query)
        return JSONResponse(paged(self.world, "tickets", found, query, build))

    async def get_ticket(self, request: Request) -> Response:
        ticket = self.world.desk.ticket(path_id(request))
        if self.world.desk.habits.without_teams:
            raise Denied(403)
        return JSONResponse(
            spell.ticket_detail(self.world.desk, ticket, details=is_true(query_of(request).get("includedetails")))
        )

    async def post_tickets(self, request: Request) -> Response:
        """Create or update; each object with an `id` is an update. The answer is the last one."""
        answer: dict[str, Any] = {}
        for index, body in enumerate(await array_of(request)):
            ticket = self._update_ticket(index, body) if body.get("id") else self._create_ticket(index, body)
            answer = spell.ticket_detail(self.world.desk, ticket)
            desk_rules.set_back(self.world.desk, ticket)
        return JSONResponse(answer, status_code=201)

    def _update_ticket(self, index: int, body: dict[str, Any]) -> Ticket:
        desk = self.world.desk
        ticket = desk.ticket(whole(body, "id", index))
        # Custom fields first: one that is wanted at closing may come with the closing.
        before = dict(ticket.custom)
        self._set_custom_fields(ticket, body)
        if body.get("status_id") is not None:
            try:
                wanted = whole(body, "status_id", index)
                desk_rules.move(desk, ticket, wanted, appointment_ok=body.get("_appointment01_ok") is True)
            except desk_rules.NotAllowed:
                ticket.custom = before
                raise Denied(403) from None
            except Refusal:
                ticket.custom = before
                raise
        if isinstance(body.get("summary"), str):
            ticket.summary = body["summary"]
        self._assign(ticket, index, body)
        if body.get("priority_id") is not None:
            desk.set_priority(ticket, whole(body, "priority_id", index))
        desk.touch(ticket)
        return ticket

    def _assign(self, ticket: Ticket, index: int, body: dict[str, Any]) -> None:
        """Give it to a team, by id or name, and to an agent; whoever does not exist or is inactive gets nothing."""
        desk = self.world.desk
        team_id = whole(body, "team_id", index) if body.get("team_id") is not None else None
        for team in desk.teams.values():
            if not team.inactive and (team.id == team_id or (team_id is None and team.name == body.get("team"))):
                ticket.team = team.name
        if body.get("agent_id") is not None:
            agent = desk.agents.get(whole(body, "agent_id", index))
            if agent is not None and not agent.inactive:
                ticket.agent_id = agent.id

    def _create_ticket(self, index: int, body: dict[str, Any]) -> Ticket:
        desk = self.world.desk
        if not body.get("summary"):
            raise Refusal("A Summary must be entered for this Ticket")
        contact = desk.contacts.get(whole(body, "user_id", index)) if body.get("user_id") else None
        client_id = whole(body, "client_id", index) if body.get("client_id") else (contact.client_id if contact else 12)
        ticket = desk.raise_ticket(
            type_id=whole(body, "tickettype_id", index) if body.get("tickettype_id") else 1,
            client_id=client_id,
            contact_id=contact.id if contact else 0,
            summary=str(body["summary"]),
            details=str(body.get("details", "")),
        )
        self._set_custom_fields(ticket, body)
        self._assign(ticket, index, body)
        return ticket

    def _set_custom_fields(self, ticket: Ticket, body: dict[str, Any]) -> None:
        for entry in body.get("customfields") or []:
            for custom_field in self.world.desk.fields.values():
                if entry.get("id") == custom_field.id or entry.get("name") == custom_field.name:
                    ticket.custom[custom_field.name] = stored_text(custom_field, entry.get("value", ""))


def stored_text(custom_field: CustomField, value: object) -> str:
    """What is kept of a value that came in: the words of a choice, a user's number, a date in UTC."""
    text = str(value).strip()
    if custom_field.sort == "choice" and text.isdigit() and 0 < int(text) <= len(custom_field.values):
        return custom_field.values[int(text) - 1]
    if custom_field.sort == "choices":
        parts = [part.strip() for part in text.split(",")]
        known = {str(number): name for number, name in enumerate(custom_field.values, start=1)}
        return ", ".join(known.get(part, part) for part in parts)
    if custom_field.sort == "date":
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC).isoformat()
    if custom_field.sort == "checkbox":
        return str(text.lower() in ("true", "1", "yes")).lower()
    return str(value)
